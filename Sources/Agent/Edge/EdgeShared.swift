import EventLoop
import Gateway
import JOSE
import Synchronization

/// What the loops of one edge share: counts and rates that hold for all of them together, and the log.
///
/// Locks are taken once a connection and once or twice a request, never for bytes.
final class EdgeShared: Sendable {
    /// Where records go.
    let log: Log

    private struct Admission {
        var addresses = ConnectionCounter<IPAddress>()
        var principals = ConnectionCounter<String>()
        var handshakes: RateLimiter<IPAddress>?
        var addressRate: RateLimiter<IPAddress>?
        var principalRate: RateLimiter<String>?
        var routeRates: [String: RateLimiter<String>] = [:]
        var penalties = FailurePenalty<IPAddress>()
    }

    private let admission = Locked(Admission())
    private let replays = Locked(ReplayCache())
    private let loopList = Locked<[EdgeLoop]>([])
    private let connectionIDs = Atomic<UInt64>(1)

    init(log: Log, limits: Configuration.EdgeLimits) {
        self.log = log
        apply(limits)
    }

    /// The loops, once they were made.
    var loops: [EdgeLoop] {
        get { loopList.withLock { $0 } }
        set { loopList.withLock { $0 = newValue } }
    }

    /// A number for a new connection, unique in this run.
    func newConnectionID() -> UInt64 { connectionIDs.add(1, ordering: .relaxed).oldValue }

    /// Takes over limits. Rates that did not change keep what they remember.
    func apply(_ limits: Configuration.EdgeLimits) {
        admission.withLock { admission in
            admission.addresses.total = limits.connections
            admission.addresses.perKey = limits.connectionsPerAddress
            admission.principals.perKey = limits.connectionsPerPrincipal
            Self.update(
                &admission.handshakes, Self.policy("handshakes", limits.handshakesPerSecond, limits.handshakesPerSecond)
            )
            Self.update(&admission.addressRate, Self.policy("address", limits.addressRate, limits.addressBurst))
            Self.update(&admission.principalRate, Self.policy("principal", limits.principalRate, limits.principalBurst))
        }
    }

    /// A policy of `rate` a second; nil where there is no limit.
    static func policy(_ name: String, _ rate: Int, _ burst: Int) -> RatePolicy? {
        rate > 0 ? RatePolicy(name: name, perSecond: Double(rate), burst: burst > 0 ? burst : rate) : nil
    }

    private static func update<Key>(_ limiter: inout RateLimiter<Key>?, _ policy: RatePolicy?) {
        if limiter?.policy != policy { limiter = policy.map { RateLimiter($0) } }
    }

    // MARK: - Connections

    /// Counts a connection, or tells which limit forbids it.
    func admit(_ address: IPAddress) -> ConnectionCounter<IPAddress>.Limit? {
        admission.withLock { $0.addresses.acquire(address) }
    }

    /// Counts a connection in the place of another one that was counted, or tells which limit forbids it; the other one is
    /// not counted any more.
    func admit(_ address: IPAddress, inPlaceOf other: IPAddress) -> ConnectionCounter<IPAddress>.Limit? {
        admission.withLock { $0.addresses.exchange(other, for: address) }
    }

    /// A counted connection is over.
    func leave(_ address: IPAddress) { admission.withLock { $0.addresses.release(address) } }

    /// Counts a connection for the principal that authenticated on it; false where it has too many.
    func admit(principal: String) -> Bool { admission.withLock { $0.principals.acquire(principal) == nil } }

    /// A connection of the principal is over.
    func leave(principal: String) { admission.withLock { $0.principals.release(principal) } }

    /// Connections that are open.
    var openConnections: Int { admission.withLock { $0.addresses.open } }

    /// Whether that address may begin another handshake.
    func mayShakeHands(_ address: IPAddress, at now: UInt64) -> Bool {
        admission.withLock { $0.handshakes?.take(address, at: now).isAllowed ?? true }
    }

    // MARK: - Requests

    /// The penalty and the rate of an address: nil where the request may go on.
    func refusal(of address: IPAddress, at now: UInt64) -> EdgeRefusal? {
        admission.withLock { admission in
            let penalty = admission.penalties.check(address, at: now)
            guard penalty.isAllowed else { return .tooMany(.tooManyFailures, penalty, policy: nil) }
            guard let decision = admission.addressRate?.take(address, at: now), !decision.isAllowed else { return nil }
            return .tooMany(.rateLimited, decision, policy: admission.addressRate?.policy)
        }
    }

    /// The rates of a principal and of a route: nil where the request may go on.
    func refusal(of caller: String, isPrincipal: Bool, route: EdgeRouteRuntime, at now: UInt64) -> EdgeRefusal? {
        admission.withLock { admission in
            if isPrincipal, let decision = admission.principalRate?.take(caller, at: now), !decision.isAllowed {
                return .tooMany(.rateLimited, decision, policy: admission.principalRate?.policy)
            }
            guard let policy = route.rate else { return nil }
            if admission.routeRates[route.name]?.policy != policy {
                admission.routeRates[route.name] = RateLimiter(policy)
            }
            guard let decision = admission.routeRates[route.name]?.take(caller, at: now), !decision.isAllowed else {
                return nil
            }
            return .tooMany(.rateLimited, decision, policy: policy)
        }
    }

    /// Somebody at that address failed to authenticate.
    func failed(_ address: IPAddress, at now: UInt64) {
        admission.withLock { _ = $0.penalties.failed(address, at: now) }
    }

    /// Remembers the use of a DPoP proof.
    func remember(_ use: ProofUse, at now: Int64) -> ReplayCache.Outcome {
        replays.withLock { $0.remember(use, at: now) }
    }
}
