/// A DPoP proof that is about to be used: what has to be remembered so that it is used once.
public struct ProofUse: Sendable, Hashable {
    /// Who used it: a hash of the proof key's thumbprint.
    let key: UInt64
    /// Which proof: 128 bits of a hash of key and `jti`.
    let proof: ReplayCache.Proof
    /// The last second at which the proof could be accepted, unix seconds.
    let until: Int64
    /// Whether the client is to get a new nonce.
    let isNonceAging: Bool

    init(thumbprint: String, identifier: String, until: Int64, isNonceAging: Bool) {
        func word(_ hash: [UInt8], _ index: Int) -> UInt64 {
            hash[(8 * index)..<(8 * index + 8)].reduce(0) { $0 << 8 | UInt64($1) }
        }
        key = word(Hash.sha256(Array(thumbprint.utf8)), 0)
        // The thumbprint has a fixed length, so the two cannot run into each other.
        let hash = Hash.sha256(Array(thumbprint.utf8) + Array(identifier.utf8))
        proof = ReplayCache.Proof(high: word(hash, 0), low: word(hash, 1))
        self.until = until
        self.isNonceAging = isNonceAging
    }
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

    /// A proof's name.
    struct Proof: Hashable, Sendable {
        let high: UInt64
        let low: UInt64
    }

    private struct Entry: Sendable {
        let proof: Proof
        let key: UInt64
        let until: Int64
    }

    /// Most proofs that are remembered; one takes about 80 bytes.
    public let capacity: Int
    /// Most proofs of one key.
    public let capacityPerKey: Int

    private var proofs: Set<Proof> = []
    private var perKey: [UInt64: Int] = [:]
    /// In the order of use, which is that of their end as long as the clock goes forward.
    private var entries: [Entry] = []
    private var first = 0

    /// An empty cache.
    public init(capacity: Int = 200_000, capacityPerKey: Int = 20_000) {
        self.capacity = max(1, capacity)
        self.capacityPerKey = max(1, capacityPerKey)
    }

    /// How many proofs are remembered.
    public var count: Int { proofs.count }

    /// Remembers the use of a proof, unless it was used before.
    public mutating func remember(_ use: ProofUse, at now: Int64) -> Outcome {
        forget(before: now)
        guard !proofs.contains(use.proof) else { return .replayed }
        guard perKey[use.key, default: 0] < capacityPerKey else { return .tooManyOfKey }
        guard proofs.count < capacity else { return .full }
        proofs.insert(use.proof)
        perKey[use.key, default: 0] += 1
        entries.append(Entry(proof: use.proof, key: use.key, until: use.until))
        return .firstUse
    }

    private mutating func forget(before now: Int64) {
        while first < entries.count, entries[first].until < now {
            let entry = entries[first]
            first += 1
            proofs.remove(entry.proof)
            let left = perKey[entry.key, default: 1] - 1
            perKey[entry.key] = left > 0 ? left : nil
        }
        // Moving the rest now and then costs a constant for each entry.
        if first > 1024, first * 2 > entries.count {
            entries.removeFirst(first)
            first = 0
        }
    }
}
