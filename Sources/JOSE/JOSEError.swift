/// What is wrong with a configuration, key file, key set or list: an operator's trouble, not a client's.
public struct JOSEError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable reason.
    public let reason: JOSEReason
    /// What happened, in one line, without a trailing full stop.
    public let message: String
    /// What to do next, in one line.
    public let hint: String

    /// An error from its parts.
    public init(_ reason: JOSEReason, _ message: String, hint: String) {
        self.reason = reason
        self.message = message
        self.hint = hint
    }

    /// "message (reason)".
    public var description: String { "\(message) (\(reason.rawValue))" }
}

/// Why something of the operator's was refused: a stable code.
public enum JOSEReason: String, Sendable, CaseIterable {
    // Configuration.
    /// An issuer is configured twice.
    case duplicateIssuer = "duplicate_issuer"
    /// An issuer's name is empty, too long or has characters that a principal cannot have.
    case badIssuerName = "bad_issuer_name"
    /// An issuer has no audience, or one that is empty.
    case missingAudience = "missing_audience"
    /// An algorithm that does not go with the issuer's keys, or none at all.
    case badAlgorithms = "bad_algorithms"
    /// A shared secret of less than 32 bytes, or shorter than the hash of an algorithm it is for (RFC 7518, 3.2).
    case weakSecret = "weak_secret"
    /// A leeway or lifetime that is out of range.
    case outOfRange = "out_of_range"
    /// An issuer has DPoP and there are no settings for it.
    case missingDPoPSettings = "missing_dpop_settings"
    /// A realm with characters that cannot stand in a challenge.
    case badRealm = "bad_realm"

    // Key sets.
    /// Not JSON, not an object, or a member of the wrong type.
    case malformedKeySet = "malformed_key_set"
    /// More bytes or keys than a key set may have.
    case keySetTooLarge = "key_set_too_large"
    /// Two keys with one `kid`.
    case duplicateKeyID = "duplicate_key_id"
    /// A key set that holds a private key: that key is known to everybody now.
    case privateKeyInSet = "private_key_in_set"
    /// A symmetric key in a set that is public.
    case symmetricKeyInSet = "symmetric_key_in_set"
    /// No key of the set can be used.
    case noUsableKey = "no_usable_key"

    // Files of our own.
    /// A file that is not what it should be.
    case malformedFile = "malformed_file"
    /// A file of a later version of this program.
    case unknownVersion = "unknown_version"
    /// An id, name or value that cannot be stored.
    case badValue = "bad_value"
    /// No API key with this id.
    case unknownKeyID = "unknown_key_id"
    /// More entries than the file may have.
    case tooManyEntries = "too_many_entries"
    /// A private key of a kind that cannot be used here.
    case unsupportedKey = "unsupported_key"
    /// The cryptographic library failed.
    case libraryFailure = "library_failure"
}
