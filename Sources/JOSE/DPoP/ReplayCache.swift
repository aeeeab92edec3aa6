/// A DPoP proof that is about to be used: what has to be remembered so that it is used once.
public struct ProofUse: Sendable, Hashable {
    /// Who used it: a hash of the proof key's thumbprint.
    let key: UInt64
    /// Which proof: a hash of key and `jti`.
    let proof: [UInt64]
    /// The last second at which the proof would be accepted, unix seconds.
    let until: Int64
}

/// Remembers which DPoP proofs were used (RFC 9449, section 11.1). Bounded; one for all workers, behind a lock.
public struct ReplayCache: Sendable {
    /// What remembering a proof's use came to.
    public enum Outcome: Sendable, Hashable {
        /// It was not used before.
        case firstUse
        /// It was used before: `dpop_proof_replayed`.
        case replayed
        /// This key has used more proofs than one client may within their lifetime: `too_many_dpop_proofs` (429).
        case tooManyOfKey
        /// No room. Nothing is forgotten before its time, so the proof is refused: `replay_cache_full` (503).
        case full
    }

    /// Most proofs that are remembered; one takes about 80 bytes.
    public let capacity: Int
    /// Most proofs of one key.
    public let capacityPerKey: Int

    /// An empty cache.
    public init(capacity: Int = 200_000, capacityPerKey: Int = 20_000) {
        self.capacity = max(1, capacity)
        self.capacityPerKey = max(1, capacityPerKey)
    }

    /// How many proofs are remembered.
    public var count: Int { 0 }

    /// Remembers the use of a proof, unless it was used before.
    public mutating func remember(_ use: ProofUse, at now: Int64) -> Outcome { .firstUse }
}
