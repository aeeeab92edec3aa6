import PKI

/// A secret that an issuer and the edge share, for HS256 to HS512. In guarded memory.
public struct SharedSecret: Sendable {
    /// Fewest bytes: those of the shortest hash (RFC 7518, section 3.2).
    public static let minimumBytes = 32

    let secret: Passphrase

    /// Takes the bytes; the caller should wipe its own copy.
    ///
    /// Errors: `weak_secret`.
    public init(_ bytes: [UInt8]) throws(JOSEError) {
        guard bytes.count >= Self.minimumBytes else {
            throw JOSEError(
                .weakSecret, "the shared secret has \(bytes.count) bytes; at least \(Self.minimumBytes) are needed",
                hint: "make one: openssl rand -out FILE 64, and give it to the issuer as well")
        }
        secret = Passphrase(bytes: bytes)
    }

    /// Length in bytes.
    var count: Int { secret.count }
}
