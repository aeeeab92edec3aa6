import EventLoop
import Policy

/// Where a backend connection leads and as whom: connections are pooled by this, so that none is ever used for somebody
/// it was not opened for.
struct BackendKey: Hashable, Sendable {
    /// The service, or the direct target's name.
    let service: String
    /// As whom the stream is opened; a different one, or one with other attributes, gets other connections.
    let acting: ActingAs
}

/// Why there is no connection to a service.
struct BackendFailure: Error, Sendable, Equatable {
    /// What kind of failure it is: decides about the status of the answer.
    enum Kind: Sendable {
        /// Policy says no, here or at the serving node: 403.
        case denied
        /// There is no usable instance: 503.
        case unavailable
        /// An instance is there and cannot be reached, or breaks off: 502.
        case broken
        /// Time is over: 504.
        case timeout
        /// Too many already wait for a connection, or the serving node is at its limits: 503 with Retry-After.
        case overloaded
    }

    let kind: Kind
    /// Stable code.
    let reason: String
    /// For operators: goes to the log, never to the client.
    let detail: String
    /// When it is worth to try again, in milliseconds, where the serving agent said so; zero: it did not.
    let retryAfter: UInt32

    /// The status of the answer.
    var status: Int {
        switch kind {
        case .denied: 403
        case .unavailable, .overloaded: 503
        case .broken: 502
        case .timeout: 504
        }
    }

    init(_ kind: Kind, _ reason: String, _ detail: String, retryAfter: UInt32 = 0) {
        self.kind = kind
        self.reason = reason
        self.detail = detail
        self.retryAfter = retryAfter
    }

    /// A stream of the mesh that did not come about.
    init(_ failure: OpenFailure) {
        let kind: Kind =
            switch failure.kind {
            case .denied: .denied
            case .notFound, .unavailable: .unavailable
            case .unreachable where failure.retryAfter > 0: .overloaded
            case .unreachable: failure.reason == "timeout" ? .timeout : .broken
            }
        self.init(kind, failure.reason, failure.detail, retryAfter: failure.retryAfter)
    }
}

/// Who waits for a connection to a service. Called on the edge's loop, never from inside `connect`.
protocol BackendConnecting: AnyObject {
    /// The service's instance has accepted: bytes flow. The channel is started and belongs to the receiver.
    func backendConnected(_ channel: ByteChannel)
    /// There is none.
    func backendFailed(_ failure: BackendFailure)
    /// A connection that was there was ended by somebody's decision; its channel's end follows.
    func backendWithdrawn(reason: String)
    /// A connection that was there goes on, but shall not be used again.
    func backendLeaves()
    /// A connection that was there broke, whatever its channel's end looks like.
    func backendBroke(reason: String)
}

/// An attempt to connect, which can be given up. Once it has succeeded it stays the way by which a later withdrawal is
/// told, as long as somebody holds it.
protocol BackendAttempt: AnyObject {
    /// Gives up; nothing is told any more.
    func cancel()
    /// The connection's channel is closed after this, and the service is to see a reset.
    func abort()
}

/// How the edge reaches services: over the mesh, or directly. One for each loop.
protocol BackendConnector: AnyObject {
    /// Whether `acting` may use `service`, as far as can be told here: nil, or why not. Asked for every request.
    func refusal(of acting: ActingAs, service: String) -> BackendFailure?

    /// Whether there is such a service at all.
    func knows(service: String) -> Bool

    /// The principal that a verified client certificate stands for; nil where nobody knows it.
    func principal(of subject: Subject) -> PrincipalID?

    /// The groups that the policy gives `acting`, for the caller's fields.
    func groups(of acting: ActingAs) -> [String]

    /// Connects within `timeout` nanoseconds.
    func connect(_ key: BackendKey, timeout: UInt64, for waiter: any BackendConnecting) -> any BackendAttempt
}
