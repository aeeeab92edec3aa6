/// Why a JWK is not used.
public struct JWKProblem: Error, Sendable, Equatable {
    /// The kinds of problem.
    public enum Reason: String, Sendable, CaseIterable {
        /// Not an object, or a member that is absent or of the wrong type.
        case malformed = "malformed_key"
        /// A member that is not canonical base64url.
        case badBase64 = "bad_base64"
        /// A `kid` that is empty or too long.
        case badKeyID = "bad_key_id"
        /// A `kty` or `crv` that is not used here.
        case unsupportedType = "unsupported_type"
        /// An `alg` that is not for signatures, or is not known.
        case unsupportedAlgorithm = "unsupported_algorithm"
        /// An `alg` that is not for keys of this kind.
        case wrongAlgorithm = "wrong_algorithm"
        /// A `use` other than `sig`.
        case wrongUse = "wrong_use"
        /// `key_ops` without `verify`, with doubles, or against `use`.
        case wrongOperations = "wrong_operations"
        /// Private members.
        case privateKey = "private_key"
        /// A symmetric key.
        case symmetricKey = "symmetric_key"
        /// RSA below 2048 bits, or a bad exponent.
        case weak = "weak_key"
        /// Too large to be of use.
        case tooLarge = "key_too_large"
        /// A point that is not on its curve, a coordinate of the wrong length, a modulus that is none.
        case invalid = "invalid_key"
    }

    /// The kind of problem.
    public let reason: Reason
    /// What was found, in words; never the key.
    public let detail: String

    /// A problem from its parts.
    public init(_ reason: Reason, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }

    /// What a token is told that names such a key.
    var tokenReason: AuthenticationReason {
        switch reason {
        case .malformed, .badBase64, .badKeyID, .invalid, .privateKey, .symmetricKey: .invalidKey
        case .unsupportedType, .unsupportedAlgorithm, .tooLarge: .unsupportedKey
        case .wrongAlgorithm: .keyAlgorithmMismatch
        case .wrongUse, .wrongOperations: .keyNotForSignatures
        case .weak: .weakKey
        }
    }
}
