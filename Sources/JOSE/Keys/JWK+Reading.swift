import Bytes
public import JSON
import PKI

extension JWK {
    /// Members that only private and symmetric keys have (RFC 7518, sections 6.2.2, 6.3.2, 6.4.1).
    private static let secretMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

    /// Reads a public key. Members that are not known are ignored (RFC 7517, section 4), as are `x5u`, `x5c`, `x5t`.
    ///
    /// - Parameter isKept: Whether the key stays, so that thorough checks are worth their time; not so for the key in a
    ///   DPoP proof, which can only harm its owner.
    public init(reading object: JSONObject, isKept: Bool = true) throws(JWKProblem) {
        let type = try Self.text(object, "kty")
        if type == "oct" { throw JWKProblem(.symmetricKey, "kty is oct") }
        if let member = Self.secretMembers.first(where: { object[$0] != nil }) {
            throw JWKProblem(.privateKey, "the key has the member \(member)")
        }
        try Self.checkUse(object)
        let parameters = try Self.parameters(object, type)
        let key: PublicKey
        do throws(CertificateError) {
            key = try PublicKey(parameters)
        } catch {
            switch error.reason {
            case .weakKey: throw JWKProblem(.weak, error.message)
            case .unsupportedKey: throw JWKProblem(.tooLarge, error.message)
            default: throw JWKProblem(.invalid, error.message)
            }
        }
        if isKept, !key.isSound { throw JWKProblem(.invalid, "the numbers are no sound \(key.kind) key") }
        self.init(
            keyID: try Self.keyID(object), algorithm: try Self.algorithm(object, key.kind), key: key,
            parameters: parameters)
    }

    /// `kid`, where there is one.
    static func keyID(_ object: JSONObject) throws(JWKProblem) -> String? {
        guard let value = object["kid"] else { return nil }
        guard let text = value.string else { throw JWKProblem(.malformed, "kid is \(value.typeName)") }
        guard !text.isEmpty, text.utf8.count <= keyIDLimit else {
            throw JWKProblem(.badKeyID, "kid has \(text.utf8.count) bytes")
        }
        return text
    }

    private static func algorithm(
        _ object: JSONObject, _ kind: KeyDescription
    ) throws(JWKProblem) -> JWSAlgorithm? {
        guard object["alg"] != nil else { return nil }
        let name = try text(object, "alg")
        guard let algorithm = JWSAlgorithm(rawValue: name) else {
            throw JWKProblem(.unsupportedAlgorithm, "alg is not a signature algorithm that is known")
        }
        guard algorithm.fits(kind) else {
            throw JWKProblem(.wrongAlgorithm, "\(algorithm.rawValue) is not for a key of the kind \(kind)")
        }
        return algorithm
    }

    private static func checkUse(_ object: JSONObject) throws(JWKProblem) {
        if object["use"] != nil, try text(object, "use") != "sig" {
            throw JWKProblem(.wrongUse, "use is not sig")
        }
        guard let value = object["key_ops"] else { return }
        guard let elements = value.array else { throw JWKProblem(.malformed, "key_ops is \(value.typeName)") }
        let operations = elements.compactMap(\.string)
        guard operations.count == elements.count else { throw JWKProblem(.malformed, "key_ops holds no texts") }
        guard Set(operations).count == operations.count else {
            throw JWKProblem(.wrongOperations, "key_ops names one twice")
        }
        guard operations.contains("verify") else { throw JWKProblem(.wrongOperations, "key_ops lacks verify") }
    }

    private static func parameters(
        _ object: JSONObject, _ type: String
    ) throws(JWKProblem) -> PublicKey.Parameters {
        switch type {
        case "RSA": return .rsa(modulus: try bytes(object, "n"), exponent: try bytes(object, "e"))
        case "EC":
            guard let curve = EllipticCurve(rawValue: try text(object, "crv")) else {
                throw JWKProblem(.unsupportedType, "the curve is not P-256, P-384 or P-521")
            }
            return .ec(curve, x: try bytes(object, "x"), y: try bytes(object, "y"))
        case "OKP":
            guard try text(object, "crv") == "Ed25519" else {
                throw JWKProblem(.unsupportedType, "the curve is not Ed25519")
            }
            return .ed25519(try bytes(object, "x"))
        default: throw JWKProblem(.unsupportedType, "kty is not RSA, EC or OKP")
        }
    }

    private static func text(_ object: JSONObject, _ member: String) throws(JWKProblem) -> String {
        guard let value = object[member] else { throw JWKProblem(.malformed, "\(member) is absent") }
        guard let text = value.string else { throw JWKProblem(.malformed, "\(member) is \(value.typeName)") }
        return text
    }

    private static func bytes(_ object: JSONObject, _ member: String) throws(JWKProblem) -> [UInt8] {
        guard let bytes = Base64URL.decode(try text(object, member)) else {
            throw JWKProblem(.badBase64, "\(member) is not base64url without padding")
        }
        return bytes
    }
}
