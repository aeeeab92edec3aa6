import Bytes
import JSON
import PKI

/// Compact serialisation of a JWS (RFC 7515, section 7.1).
enum TokenSigning {
    /// Signs claims. `header` has everything but `alg`.
    static func sign(
        _ claims: JSONObject, header: JSONObject, algorithm: JWSAlgorithm, key: PrivateKey
    ) throws(JOSEError) -> String {
        var whole: JSONObject = ["alg": .string(algorithm.rawValue)]
        for member in header { whole[member.key] = member.value }
        let input =
            Base64URL.encode(JSONValue.object(whole).serialized()) + "."
            + Base64URL.encode(JSONValue.object(claims).serialized())
        guard let scheme = algorithm.scheme else {
            throw JOSEError(
                .unsupportedKey, "\(algorithm.rawValue) is not for a private key", hint: "use an Ed25519 key")
        }
        do throws(CertificateError) {
            return input + "." + Base64URL.encode(try key.sign(Array(input.utf8), scheme: scheme))
        } catch {
            throw JOSEError(.libraryFailure, error.message, hint: error.hint)
        }
    }
}
