/// What the edge counts on one loop. Read by copying on that loop.
struct EdgeCounters: Sendable {
    /// Requests by route and class of status ("2xx").
    struct RequestKey: Hashable, Sendable {
        let route: String
        let statusClass: String
    }

    /// What a handshake agreed on, as links count it.
    typealias HandshakeKey = WorkerCounters.HandshakeKey

    /// Connections that were accepted.
    var accepted: UInt64 = 0
    /// Connections to services that were opened.
    var backendOpened: UInt64 = 0
    /// Requests that used a connection which was there already.
    var backendReused: UInt64 = 0
    /// Requests sent again on a fresh connection.
    var backendRetried: UInt64 = 0
    /// WebSocket connections that were opened.
    var tunnelsOpened: UInt64 = 0
    /// Bytes from and to clients, in the clear, of connections that have ended.
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0
    /// From a request's head to the end of its response; WebSocket: to the 101.
    var requestSeconds = Histogram()
    /// From the client's first byte of TLS to a handshake that succeeded.
    var handshakeSeconds = Histogram()
    private(set) var requests: [RequestKey: UInt64] = [:]
    private(set) var authentications: [String: UInt64] = [:]
    private(set) var refusals: [String: UInt64] = [:]
    private(set) var limits: [String: UInt64] = [:]
    private(set) var handshakes: [HandshakeKey: UInt64] = [:]
    private(set) var handshakeFailures: [String: UInt64] = [:]
    private(set) var validations: [String: UInt64] = [:]
    private(set) var resumptions: [String: UInt64] = [:]
    private(set) var pinChecks: [String: UInt64] = [:]
    private(set) var closings: [String: UInt64] = [:]
    private(set) var backendFailures: [String: UInt64] = [:]

    /// A request was answered.
    mutating func request(route: String, status: Int, seconds: Double) {
        requests[RequestKey(route: route, statusClass: "\(status / 100)xx"), default: 0] += 1
        requestSeconds.observe(seconds: seconds)
    }

    /// Somebody authenticated ("ok"), or did not, for this reason.
    mutating func authenticated(_ result: String) { authentications[result, default: 0] += 1 }
    /// The edge itself refused a request or connection, for this reason.
    mutating func refused(_ reason: String) { refusals[reason, default: 0] += 1 }
    /// A limit was reached.
    mutating func limited(_ limit: String) { limits[limit, default: 0] += 1 }
    /// A TLS handshake succeeded with this, and took so long.
    mutating func negotiated(_ version: String, _ suite: String, seconds: Double) {
        handshakes[HandshakeKey(version: version, suite: suite), default: 0] += 1
        handshakeSeconds.observe(seconds: seconds)
    }
    /// A TLS handshake failed, for this reason.
    mutating func handshakeFailed(_ reason: String) { handshakeFailures[reason, default: 0] += 1 }
    /// A client's certificate was judged: `ok`, or why it was refused.
    mutating func validated(_ result: String) { validations[result, default: 0] += 1 }
    /// A handshake where sessions can be resumed: what became of the client's ticket, or "none".
    mutating func resumption(_ result: String) { resumptions[result, default: 0] += 1 }
    /// A client's certificate was compared with the listener's pins: `matched`, `mismatch` (only reported) or `refused`.
    mutating func pinChecked(_ result: String) { pinChecks[result, default: 0] += 1 }
    /// A live connection was ended by the edge, for this reason.
    mutating func ended(_ reason: String) { closings[reason, default: 0] += 1 }
    /// There was no connection to a service.
    mutating func backendFailed(_ reason: String) { backendFailures[reason, default: 0] += 1 }

    /// Adds another loop's counts.
    mutating func add(_ other: Self) {
        accepted += other.accepted
        backendOpened += other.backendOpened
        backendReused += other.backendReused
        backendRetried += other.backendRetried
        tunnelsOpened += other.tunnelsOpened
        bytesReceived += other.bytesReceived
        bytesSent += other.bytesSent
        requestSeconds.add(other.requestSeconds)
        requests.merge(other.requests, uniquingKeysWith: +)
        authentications.merge(other.authentications, uniquingKeysWith: +)
        refusals.merge(other.refusals, uniquingKeysWith: +)
        limits.merge(other.limits, uniquingKeysWith: +)
        handshakeSeconds.add(other.handshakeSeconds)
        handshakes.merge(other.handshakes, uniquingKeysWith: +)
        handshakeFailures.merge(other.handshakeFailures, uniquingKeysWith: +)
        validations.merge(other.validations, uniquingKeysWith: +)
        resumptions.merge(other.resumptions, uniquingKeysWith: +)
        pinChecks.merge(other.pinChecks, uniquingKeysWith: +)
        closings.merge(other.closings, uniquingKeysWith: +)
        backendFailures.merge(other.backendFailures, uniquingKeysWith: +)
    }
}

/// What one loop of the edge shows of itself.
struct EdgeReport: Sendable {
    var counters = EdgeCounters()
    /// Open connections by what they do: handshake, idle, request, websocket.
    var connections: [String: Int] = [:]
    /// Connections to services in use and idle, and requests that wait for one.
    var backendOpen = 0
    var backendIdle = 0
    var backendWaiting = 0

    /// Adds another loop's report.
    mutating func add(_ other: Self) {
        counters.add(other.counters)
        connections.merge(other.connections, uniquingKeysWith: +)
        backendOpen += other.backendOpen
        backendIdle += other.backendIdle
        backendWaiting += other.backendWaiting
    }
}
