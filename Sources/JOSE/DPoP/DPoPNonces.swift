import Bytes
public import PKI

/// Server nonces for DPoP (RFC 9449, section 8), without state: time of issue and the process that gave it, under a keyed
/// hash. Immutable.
///
/// A nonce counts only in the process that gave it, so a proof that was used before a restart, or at another edge, is
/// worth nothing here: its sender gets a fresh nonce and sends a new proof. Edges that share a `secret` recognise each
/// other's nonces, so that this costs a well-behaved client one round trip and is no failure.
public struct DPoPNonces: Sendable {
    /// What a nonce turned out to be.
    enum Verdict: Equatable {
        case good
        /// Good, and past half of its time.
        case aging
        /// Given with this secret, and not good any more or not here.
        case stale(String)
        case invalid
    }

    /// How long a nonce counts, in seconds.
    public let lifetime: Int64

    private let secret: Passphrase
    private let instance: [UInt8]
    private let startedAt: Int64
    private let acceptsOthers: Bool

    // Time of issue 8, process 8, keyed hash 16.
    private static let bytes = 32

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
        secret: Passphrase, instance: [UInt8], startedAt: Int64, lifetime: Int64 = 300, acceptsOthers: Bool = false
    ) throws(JOSEError) {
        guard secret.count >= 32, instance.count >= 16 else {
            throw JOSEError(
                .weakSecret, "the nonce secret has \(secret.count) bytes; at least 32 are needed",
                hint: "make one: openssl rand -out FILE 32")
        }
        guard (10...3600).contains(lifetime) else {
            throw JOSEError(
                .outOfRange, "a nonce cannot count for \(lifetime) s", hint: "use 10 to 3600 seconds")
        }
        // A key of its own for this purpose, of a length that BLAKE2b takes whatever the secret's.
        self.secret = secret.derived("conduit-mesh dpop nonce\0")
        self.instance = Array(Hash.sha256(instance).prefix(8))
        self.startedAt = startedAt
        self.lifetime = lifetime
        self.acceptsOthers = acceptsOthers
    }

    /// A nonce, unix seconds given.
    public func make(at now: Int64) -> String {
        let time = UInt64(bitPattern: now)
        let head = (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * UInt64($0))) } + instance
        return Base64URL.encode(head + tag(head))
    }

    func check(_ nonce: String, at now: Int64) -> Verdict {
        guard nonce.utf8.count <= 64, let bytes = Base64URL.decode(nonce), bytes.count == Self.bytes else {
            return .invalid
        }
        let head = Array(bytes.prefix(16))
        guard ConstantTime.equal(Array(bytes.suffix(16)), tag(head)) else { return .invalid }
        let issuedAt = Int64(bitPattern: head.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
        let isOwn = Array(head.suffix(8)) == instance
        guard isOwn || acceptsOthers else { return .stale("the nonce is of another edge or of before a restart") }
        guard isOwn || issuedAt > startedAt else { return .stale("the nonce is of before the start") }
        let age = now - issuedAt
        guard age <= lifetime else { return .stale("the nonce is \(age) s old") }
        // Edges' clocks may differ a little; a nonce of the far future is of a clock that jumped.
        guard age >= -lifetime else { return .stale("the nonce is of the future") }
        return age * 2 > lifetime ? .aging : .good
    }

    private func tag(_ head: [UInt8]) -> [UInt8] { Hash.blake2b(head, key: secret, length: 16) }
}
