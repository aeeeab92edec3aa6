public import PKI

/// A secret that an issuer and the edge share, for HS256 to HS512. In guarded memory.
public struct SharedSecret: Sendable {
    /// Fewest bytes: those of the shortest hash (RFC 7518, section 3.2).
    public static let minimumBytes = 32

    let secret: Passphrase

    /// Takes the bytes; the caller should wipe its own copy.
    ///
    /// Errors: `weak_secret`.
    public init(_ bytes: [UInt8]) throws(JOSEError) { try self.init(Passphrase(bytes: bytes)) }

    /// Takes a secret that is in guarded memory already.
    ///
    /// Errors: `weak_secret`.
    public init(_ secret: Passphrase) throws(JOSEError) {
        guard secret.count >= Self.minimumBytes else {
            throw JOSEError(
                .weakSecret, "the shared secret has \(secret.count) bytes; at least \(Self.minimumBytes) are needed",
                hint: "make one: openssl rand -out FILE 64, and give it to the issuer as well")
        }
        self.secret = secret
    }

    /// Length in bytes.
    var count: Int { secret.count }
}
