import Documents
import EventLoop
import Gateway
import JSON
import PKI
import Policy
import TLS

/// The edge on one loop: its clients' connections and the connections to services that it opened for them.
///
/// Knows nothing of links and workers: how services are reached is the connector's affair.
final class EdgeCore {
    /// The loop that all this happens on.
    let loop: EventLoop
    /// What this loop's byte channels share.
    let parts: ChannelLoop
    /// What all loops of the edge share.
    let shared: EdgeShared
    /// This loop as others see it.
    let handle: EdgeLoop
    /// How services are reached.
    let connector: any BackendConnector
    /// What is decided with.
    private(set) var runtime: EdgeRuntime
    /// Connections to services.
    private(set) var pool: BackendPool!
    var counters = EdgeCounters()
    /// For ids and masks.
    var random = BufferedRandom()
    /// Tokens that need no second look at their signature under `runtime`.
    var verifiedTokens = VerifiedTokens()
    /// Those that may be closed to make room.
    var evictable = EvictionList()
    /// Fetches keys for tokens that name unknown ones; nil where no issuer has a URL.
    var wantsKeys: KeyFetch?
    /// What the mesh has revoked, at the moment; nothing where there is no mesh.
    var revoked: () -> RevocationCheck = { .none }

    /// What is asked about clients' certificates; nil where there is no mesh.
    var ocsp: OCSPGate?

    /// The certificates by which clients are connected here, by fingerprint.
    var certificatesInUse: Set<String> {
        Set(connections.values.flatMap { $0.channel.session?.peerChain.map(\.fingerprintSHA256) ?? [] })
    }

    /// Fetches an issuer's keys if that may help, and calls back when it has ended, or at once.
    typealias KeyFetch = @Sendable (_ issuer: String, _ done: @escaping @Sendable () -> Void) -> Void

    /// Clients that are to prove themselves by their first message.
    var firstMessages = 0
    private(set) var connections: [UInt64: EdgeConnection] = [:]
    /// Those that have ended in this tick. What is still under way for them may look at them until its end.
    private var ended: [EdgeConnection] = []
    private var listeners: [ObjectIdentifier: EdgeListener] = [:]
    private(set) var isDraining = false
    /// Counts how often all certificates were looked at again.
    var recheckRound: UInt64 = 0
    /// Another process accepts now. Connections that wait for a request get an answer to it, so that none is closed while a
    /// request is on its way.
    private var isHandedOver = false

    init(
        loop: EventLoop, parts: ChannelLoop, shared: EdgeShared, handle: EdgeLoop, connector: any BackendConnector,
        runtime: EdgeRuntime
    ) {
        self.loop = loop
        self.parts = parts
        self.shared = shared
        self.handle = handle
        self.connector = connector
        self.runtime = runtime
        pool = BackendPool(core: self)
    }

    // MARK: - Listeners

    /// Starts a listener on this loop.
    func listen(_ listener: EdgeListener) throws(SystemError) {
        try listener.start(on: loop)
        listeners[ObjectIdentifier(listener)] = listener
    }

    /// Stops a listener; its connections go on.
    func stopListening(_ listener: EdgeListener) {
        listeners[ObjectIdentifier(listener)] = nil
        listener.close()
    }

    // MARK: - Connections

    /// What is said of a client's certificate.
    func statusKnown(_ connection: UInt64, _ verdict: OCSPVerdict) { connections[connection]?.statusKnown(verdict) }

    /// Takes over a connection that was accepted for this loop.
    func accept(_ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener name: String) {
        counters.accepted &+= 1
        guard let listener = runtime.listeners[name] else {
            handle.didClose()
            return
        }
        let facts = ConnectionFacts(peer: SocketPeer(peer), isTLS: false)
        if peer.port != nil {
            try? Socket.setNoDelay(descriptor.rawValue)
            try? Socket.setKeepAlive(descriptor.rawValue)
            try? Socket.setNotSentLowat(descriptor.rawValue, Self.notSentLowat)
        }
        let connection = EdgeConnection(
            descriptor, id: shared.newConnectionID(), facts: facts, listenerName: name, listener: listener, core: self)
        connections[connection.id] = connection
        connection.start()
    }

    /// What may wait unsent in the kernel for a client, in bytes. Without a bound each client that does not read could make it
    /// hold megabytes, and some hundred of them bring the host's TCP to its limit, at which everybody's connections crawl.
    private static let notSentLowat: Int32 = 128 << 10

    /// Counts a connection of that address. At a limit somebody who waits makes room; false where nobody does.
    func admit(_ address: IPAddress, for newcomer: EdgeConnection) -> Bool {
        guard var limit = shared.admit(address) else { return true }
        counters.limited(limit == .total ? "connections" : "connections_per_address")
        // Once for the total, once for the address.
        for _ in 0..<2 {
            guard let victim = oldest(for: limit, address, sparing: newcomer), let place = victim.leavePlace() else {
                break
            }
            victim.evict()
            guard let next = shared.admit(address, inPlaceOf: place) else { return true }
            limit = next
        }
        // Perhaps another loop has somebody: then there is room for the next one.
        Self.evict(for: limit, address, on: shared.loops.filter { $0 !== handle }[...])
        return false
    }

    /// The connection that has waited longest, of those that count against the limit.
    private func oldest(
        for limit: ConnectionCounter<IPAddress>.Limit, _ address: IPAddress, sparing newcomer: EdgeConnection? = nil
    ) -> EdgeConnection? {
        let now = loop.now
        return evictable.oldest(depth: Self.evictionDepth) { connection in
            guard connection !== newcomer, let counted = connection.countedAddress else { return false }
            return (limit == .total || counted == address) && connection.mayBeEvicted(at: now)
        }
    }

    /// Makes room for one on the first of these loops that can, one after the other.
    private static func evict(
        for limit: ConnectionCounter<IPAddress>.Limit, _ address: IPAddress, on loops: ArraySlice<EdgeLoop>
    ) {
        loops.first?.submit { core in
            if let victim = core.oldest(for: limit, address) { return victim.evict() }
            evict(for: limit, address, on: loops.dropFirst())
        }
    }

    /// How many connections are looked at for one that may be closed: a bound for the time that a newcomer can take.
    private static let evictionDepth = 4096

    /// A connection is over.
    func closed(_ connection: EdgeConnection) {
        evictable.remove(connection)
        connections[connection.id] = nil
        if ended.isEmpty { atTickEnd { [weak self] in self?.ended = [] } }
        ended.append(connection)
        counters.bytesReceived &+= connection.channel.bytesReceived
        counters.bytesSent &+= connection.channel.bytesSent
        handle.didClose()
    }

    // MARK: - Changes

    /// Takes over new settings. Whatever is live is looked at again.
    func apply(_ next: EdgeRuntime) {
        let changesTLS = next.listeners.contains { name, listener in listener.tls !== runtime.listeners[name]?.tls }
        runtime = next
        verifiedTokens.forgetAll()
        recheck()
        if changesTLS { recheckCertificates() }
    }

    /// The policy or the authentication changed: whoever lost his right is closed.
    func recheck() {
        for connection in Array(connections.values) { connection.recheck() }
    }

    /// No new connections; those that wait for a request are closed, the others after their answer.
    func drain() {
        isDraining = true
        for listener in listeners.values { listener.close() }
        listeners = [:]
        for connection in Array(connections.values) { connection.drain() }
        pool.drain()
    }

    /// Accepts nothing more. Each connection ends with its next answer, which says so.
    func handOver() {
        isDraining = true
        isHandedOver = true
        for listener in listeners.values { listener.close() }
        listeners = [:]
        pool.drain()
    }

    /// Requests and WebSocket connections under way, and last answers that are being sent; after a takeover all connections.
    var activity: Int { connections.values.count { isHandedOver || $0.isBusy } + parts.lingering }

    /// The time to drain is over: clients of WebSockets are told that they have to come back (close 1001, RFC 6455,
    /// section 7.4.1), each between two frames of its service.
    func sayGoodbye() {
        for connection in Array(connections.values) { connection.sayGoodbye() }
    }

    /// Those that have not ended since.
    var goodbyes: Int { connections.values.count { $0.isTunnel } + parts.lingering }

    /// Closes everything.
    func shutDown() {
        for listener in listeners.values { listener.close() }
        listeners = [:]
        for connection in Array(connections.values) { connection.abort() }
        pool.shutDown()
    }

    /// What this loop shows of itself.
    var report: EdgeReport {
        var report = EdgeReport()
        report.counters = counters
        for connection in connections.values { report.connections[connection.kind, default: 0] += 1 }
        report.backendOpen = pool.openCount
        report.backendIdle = pool.idleCount
        report.backendWaiting = pool.waitingCount
        return report
    }
}

extension SocketPeer {
    /// The other end of an accepted socket.
    init(_ address: SocketAddress) {
        switch address {
        case .ipv4(let ip, let port): self = .address(IPAddress(v4: ip.value), port: port)
        case .ipv6(let ip, let port, _): self = .address(IPAddress(high: ip.high, low: ip.low), port: port)
        case .unix: self = .unix
        }
    }
}

// MARK: - The end of a tick

extension EdgeCore {
    /// Calls `body` at the end of this tick, after the jobs that were posted before it.
    func atTickEnd(_ body: @escaping () -> Void) { loop.atTickEnd(AtTickEnd(body)) }

    private final class AtTickEnd: TickHandler {
        private let body: () -> Void

        init(_ body: @escaping () -> Void) { self.body = body }

        func tickEnded(loop: EventLoop) { body() }
    }
}
