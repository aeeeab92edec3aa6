import Bytes
import JOSE
import JSON
import PKI

/// The keys of the tests, made once; none is written anywhere.
struct Keys: Sendable {
    let rsa: PrivateKey
    let otherRSA: PrivateKey
    let weakRSA: PrivateKey
    let p256: PrivateKey
    let otherP256: PrivateKey
    let p384: PrivateKey
    let p521: PrivateKey
    let ed25519: PrivateKey
    let otherEd25519: PrivateKey
    /// The client's DPoP key.
    let proof: PrivateKey

    static let shared = Result {
        Keys(
            rsa: try .generate(.rsa2048), otherRSA: try .generate(.rsa2048), weakRSA: try .generateRSA(bits: 1024),
            p256: try .generate(.p256), otherP256: try .generate(.p256), p384: try .generate(.p384),
            p521: try .generate(curve: .p521), ed25519: try .generate(.ed25519), otherEd25519: try .generate(.ed25519),
            proof: try .generate(.p256))
    }

    /// Sixty-four bytes that issuer and edge share.
    static let secret = Array("conduit-mesh test secret, known to everybody who reads this file".utf8)
}

extension PrivateKey {
    /// The public half as JWK with these members besides.
    func jwk(_ more: JSONObject = [:]) throws -> JSONObject {
        var object = JSONObject()
        switch publicKey.parameters {
        case .rsa(let n, let e):
            object = ["kty": "RSA", "n": .string(Base64URL.encode(n)), "e": .string(Base64URL.encode(e))]
        case .ec(let curve, let x, let y):
            object = [
                "kty": "EC", "crv": .string(curve.rawValue), "x": .string(Base64URL.encode(x)),
                "y": .string(Base64URL.encode(y)),
            ]
        case .ed25519(let x): object = ["kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(x))]
        case nil: break
        }
        for member in more { object[member.key] = member.value }
        return object
    }
}

/// How a test signs.
enum Signer {
    case key(PrivateKey, SignatureScheme)
    case hmac(DigestAlgorithm, [UInt8])
    case bytes([UInt8])

    func sign(_ input: String) throws -> [UInt8] {
        switch self {
        case .key(let key, let scheme): try key.sign(Array(input.utf8), scheme: scheme)
        case .hmac(let digest, let secret):
            MessageAuthentication.hmac(digest, key: Passphrase(bytes: secret), over: Array(input.utf8))
        case .bytes(let bytes): bytes
        }
    }
}

/// A JWT to be made: by its members, or by the very text of header and claims.
struct Draft {
    var header: JSONObject
    var claims: JSONObject
    var headerText: String?
    var claimsText: String?
    var signer: Signer
    /// Changes the finished text.
    var edit: (String) -> String = { $0 }

    func text() throws -> String {
        let head = headerText ?? JSONValue.object(header).text()
        let body = claimsText ?? JSONValue.object(claims).text()
        let input = Base64URL.encode(Array(head.utf8)) + "." + Base64URL.encode(Array(body.utf8))
        return edit(input + "." + Base64URL.encode(try signer.sign(input)))
    }
}
