import Bytes
public import JSON
public import PKI

/// A public key in JSON (JWK, RFC 7517): for verification and nothing else. Immutable.
public struct JWK: Sendable {
    /// Most characters of a `kid`.
    public static let keyIDLimit = 256

    /// `kid`.
    public let keyID: String?
    /// `alg`: the only algorithm that the key is for.
    public let algorithm: JWSAlgorithm?
    /// The key.
    public let key: PublicKey
    /// SHA-256 of the required members, base64url (RFC 7638): the key's name in `cnf.jkt`.
    public let thumbprint: String

    /// A key of our own.
    ///
    /// Errors: `unsupported_key`.
    public init(_ key: PublicKey, keyID: String? = nil, algorithm: JWSAlgorithm? = nil) throws(JOSEError) {
        guard let parameters = key.parameters else {
            throw JOSEError(
                .unsupportedKey, "a key of the kind \(key.kind) cannot be written as JWK",
                hint: "use an Ed25519, P-256 or RSA key")
        }
        self.init(keyID: keyID, algorithm: algorithm, key: key, parameters: parameters)
    }

    /// For the reader.
    init(keyID: String?, algorithm: JWSAlgorithm?, key: PublicKey, parameters: PublicKey.Parameters) {
        self.keyID = keyID
        self.algorithm = algorithm
        self.key = key
        thumbprint = Hash.thumbprint(JSONValue.object(Self.required(parameters)).text(.canonical))
    }

    /// Why the key cannot verify an algorithm's signatures; nil when it can.
    func objection(to algorithm: JWSAlgorithm) -> AuthenticationReason? {
        guard algorithm.fits(key.kind) else { return .wrongKeyType }
        if let own = self.algorithm, own != algorithm { return .keyAlgorithmMismatch }
        return nil
    }

    /// The key as JSON, public members only.
    public var json: JSONValue {
        guard let parameters = key.parameters else { return [:] }
        var object = Self.required(parameters)
        object["use"] = "sig"
        if let algorithm { object["alg"] = .string(algorithm.rawValue) }
        if let keyID { object["kid"] = .string(keyID) }
        return .object(object)
    }

    /// The members of RFC 7638, section 3.2, and nothing else.
    static func required(_ parameters: PublicKey.Parameters) -> JSONObject {
        switch parameters {
        case .rsa(let modulus, let exponent):
            ["kty": "RSA", "n": .string(Base64URL.encode(modulus)), "e": .string(Base64URL.encode(exponent))]
        case .ec(let curve, let x, let y):
            [
                "kty": "EC", "crv": .string(curve.rawValue), "x": .string(Base64URL.encode(x)),
                "y": .string(Base64URL.encode(y)),
            ]
        case .ed25519(let bytes): ["kty": "OKP", "crv": "Ed25519", "x": .string(Base64URL.encode(bytes))]
        }
    }
}
