/// A set of public keys of one issuer (JWKS, RFC 7517, section 5). Immutable.
public struct KeySet: Sendable {
    /// Most bytes of a key set's text. Sets of large providers have about 20 KiB.
    public static let sizeLimit = 256 << 10
    /// Most keys of a set, used or not.
    public static let countLimit = 100

    /// Reads a key set.
    ///
    /// Refused as a whole: what is malformed or ambiguous, or shows that secrets were published. Keys that are merely of
    /// no use here (another `use`, an unknown type or curve, too weak) are left out and remembered with their reason, so
    /// that a token that names one is told why.
    ///
    /// Errors: `malformed_key_set`, `key_set_too_large`, `duplicate_key_id`, `private_key_in_set`,
    /// `symmetric_key_in_set`, `no_usable_key`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        throw JOSEError(.malformedKeySet, "not written yet", hint: "")
    }
}
