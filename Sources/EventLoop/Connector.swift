internal import Glibc

/// Receives the outcome of a `Connector`.
public protocol ConnectHandler: AnyObject {
    /// Connected to `address`; the descriptor is non-blocking and now the handler's.
    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop)

    /// No address could be connected to.
    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop)
}

/// Why no connection came about.
public struct ConnectError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The reason of the last attempt, or why there was none.
    public enum Code: String, Sendable {
        /// Nobody listens there.
        case refused = "connect_refused"
        /// No answer in time.
        case timedOut = "connect_timed_out"
        /// There is no way to the host.
        case unreachable = "connect_unreachable"
        /// This process may not connect there.
        case notPermitted = "connect_not_permitted"
        /// This host has no descriptor, port or memory left for it.
        case exhausted = "connect_exhausted"
        /// The peer or the network ended the attempt.
        case broken = "connect_broken"
        /// The name could not be resolved, or no address was given.
        case unresolved = "connect_unresolved"
    }

    /// What was to be reached, in the caller's words.
    public let target: String
    /// The failed attempts, in order, one for each address tried.
    public let attempts: [SystemError]
    /// Why the name could not be resolved, if that was it.
    public let resolution: ResolveError?

    /// The reason of the last attempt.
    public var code: Code {
        guard let last = attempts.last else { return .unresolved }
        return switch last.errno {
        case ECONNREFUSED, ENOENT: .refused
        case ETIMEDOUT: .timedOut
        case EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN: .unreachable
        case EACCES, EPERM: .notPermitted
        case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: .exhausted
        default: .broken
        }
    }

    /// What failed, for each address, and what to do about the last.
    public var description: String {
        if let resolution { return resolution.description }
        guard let last = attempts.last else { return "connect \(target): no address" }
        let reasons = attempts.map(\.description).joined(separator: "; ")
        return last.hint.map { "\(reasons); \($0)" } ?? reasons
    }
}

/// Connects to the first of several addresses that answers, without blocking.
///
/// The addresses are tried in order. Each gets an equal share of what is left of the overall timeout, so that one that
/// swallows packets does not use up the time of those behind it. TCP_NODELAY is set. The loop keeps the connector alive
/// until its handler was told the outcome, which never happens from within `init`, or until `cancel()`.
public final class Connector {
    /// Nanoseconds within which a caller who does not say otherwise wants a connection.
    public static let defaultTimeout: UInt64 = 10 * Clock.second
    /// How soon (nanoseconds) a Unix socket whose queue was full is tried again.
    private static let queueFullPause: UInt64 = 5 * Clock.millisecond

    private enum Tag: Int {
        /// The outcome was known at once and waits to be delivered.
        case deliver
        /// The current attempt took too long.
        case giveUp
        /// The current address may be tried again.
        case retry
    }

    private let target: String
    private let loop: EventLoop
    private var handler: (any ConnectHandler)?
    private let deadline: UInt64
    /// The longest time for one address.
    private let longestShare: UInt64
    private var resolution: Resolution?
    private var resolveError: ResolveError?

    private var addresses: [SocketAddress]
    /// Index of the address that is being tried.
    private var current = 0
    private var attemptDeadline: UInt64 = 0
    private var attempts: [SystemError] = []

    private var descriptor: FileDescriptor?
    private var registration: Registration?
    private var timer: TimerID?
    private var isConnected = false
    private var isStarting = true

    /// Starts to connect to one of `addresses` within `timeout` nanoseconds.
    ///
    /// - Parameter longestShare: the longest time for one address, in nanoseconds, however much of the timeout is left.
    public init(
        _ addresses: [SocketAddress], timeout: UInt64 = defaultTimeout, longestShare: UInt64 = .max, loop: EventLoop,
        handler: any ConnectHandler
    ) {
        self.longestShare = longestShare
        target = addresses.map(\.description).joined(separator: ", ")
        self.loop = loop
        self.handler = handler
        self.addresses = addresses
        deadline = loop.now.addingSaturated(timeout)
        begin()
        isStarting = false
    }

    /// Starts to resolve `endpoint` and to connect to one of its addresses, all within `timeout` nanoseconds.
    ///
    /// - Parameter longestShare: the longest time for one address, in nanoseconds, however much of the timeout is left.
    public init(
        to endpoint: Endpoint, timeout: UInt64 = defaultTimeout, longestShare: UInt64 = .max, loop: EventLoop,
        handler: any ConnectHandler
    ) {
        self.longestShare = longestShare
        target = endpoint.description
        self.loop = loop
        self.handler = handler
        addresses = endpoint.address.map { [$0] } ?? []
        deadline = loop.now.addingSaturated(timeout)
        if addresses.isEmpty {
            resolution = Resolver.resolve(endpoint, timeout: timeout, loop: loop, handler: self)
        } else {
            begin()
        }
        isStarting = false
    }

    /// Gives up; the handler is not called any more. Nothing happens if it was told the outcome before.
    public func cancel() {
        handler = nil
        if let resolution = resolution.take() { resolution.cancel(loop: loop) }
        endAttempt()
    }
}

// MARK: - Attempts

extension Connector {
    private func begin() {
        startShare()
        attempt()
    }

    /// Gives the current address its share of the time that is left.
    private func startShare() {
        let left = UInt64(max(addresses.count - current, 1))
        let now = loop.now
        attemptDeadline = deadline > now ? now + min((deadline - now) / left, longestShare) : now
    }

    /// Tries the current address, and the following ones as long as they fail at once and time is left; the first one
    /// is always tried.
    private func attempt() {
        while current < addresses.count, current == 0 || loop.now < deadline {
            let address = addresses[current]
            do throws(SystemError) {
                switch try Socket.connectStart(address) {
                case .connected(let socket):
                    descriptor = consume socket
                    return complete(address)
                case .inProgress(let socket):
                    registration = try loop.register(socket.rawValue, .writable, self)
                    descriptor = consume socket
                    arm(.giveUp, at: attemptDeadline)
                case .queueFull:
                    retryLater()
                }
                return
            } catch {
                fail(error)
            }
        }
        deliver()
    }

    /// A Unix socket's queue is full: tries again within the address's share of the time.
    private func retryLater() {
        let next = loop.now.addingSaturated(Self.queueFullPause)
        arm(next < attemptDeadline ? .retry : .giveUp, at: min(next, attemptDeadline))
    }

    /// The current address failed: the next one is to be tried.
    private func fail(_ error: SystemError) {
        endAttempt()
        attempts.append(error)
        current += 1
        startShare()
    }

    /// The socket says that the connect is over.
    private func complete(_ address: SocketAddress) {
        guard let fd = descriptor?.rawValue else { return }
        if let error = Socket.finishConnect(fd, address) {
            fail(error)
            return attempt()
        }
        isConnected = true
        deliver()
    }

    private func arm(_ tag: Tag, at time: UInt64) {
        if let timer = timer.take() { loop.cancel(timer) }
        timer = loop.schedule(at: time, self, tag: tag.rawValue)
    }

    /// Ends the current attempt and closes its socket.
    private func endAttempt() {
        disarm()
        descriptor = nil
    }

    private func disarm() {
        if let registration = registration.take() { loop.deregister(registration) }
        if let timer = timer.take() { loop.cancel(timer) }
    }

    /// Tells the handler the outcome; later, if the caller is still inside `init`.
    private func deliver() {
        disarm()
        if isStarting { return arm(.deliver, at: loop.now) }
        guard let handler = handler.take() else { return }
        if isConnected, let descriptor = descriptor.take() {
            handler.connected(descriptor, to: addresses[current], connector: self, loop: loop)
        } else {
            let error = ConnectError(target: target, attempts: attempts, resolution: resolveError)
            handler.connectFailed(error, connector: self, loop: loop)
        }
    }
}

extension Connector: EventHandler, TimerHandler, ResolveHandler {
    /// The connect that was under way is over.
    public func ready(_ readiness: Readiness, loop: EventLoop) {
        complete(addresses[current])
    }

    /// Time for the next step.
    public func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        switch Tag(rawValue: tag) {
        case .retry: attempt()
        case .giveUp:
            fail(SystemError(call: "connect", subject: "\(addresses[current])", errno: ETIMEDOUT))
            attempt()
        case .deliver, nil: deliver()
        }
    }

    /// The endpoint's name was resolved, or not.
    public func resolved(_ result: Result<[SocketAddress], ResolveError>, endpoint: Endpoint, loop: EventLoop) {
        resolution = nil
        switch result {
        case .success(let found):
            addresses = found
            begin()
        case .failure(let error):
            resolveError = error
            deliver()
        }
    }
}

extension UInt64 {
    /// The sum, or the largest number where it would be larger.
    fileprivate func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
