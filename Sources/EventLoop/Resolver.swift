internal import CLinux
internal import Glibc
internal import Synchronization

/// Receives what a `Resolver` found.
public protocol ResolveHandler: AnyObject {
    /// The addresses of `endpoint`, best first and never none, or why there are none. Called on the loop's thread, not
    /// from within `resolve`.
    func resolved(_ result: Result<[SocketAddress], ResolveError>, endpoint: Endpoint, loop: EventLoop)
}

/// Turns endpoints into addresses without blocking a loop.
///
/// Names are looked up by the C library (`getaddrinfo`: /etc/hosts, DNS and whatever nsswitch.conf names) on helper
/// threads, of which there are at most four and, when nothing is to be resolved, none. Literal addresses need no thread.
public enum Resolver {
    /// How many names are looked up at the same time.
    public static let threadLimit = 4
    /// How many questions may wait for a thread; more are refused as overloaded.
    public static let queueLimit = 1024
    /// Nanoseconds after which a caller who does not say otherwise gives up: one try of the C library's DNS client.
    public static let defaultTimeout: UInt64 = 5 * Clock.second

    /// Resolves `endpoint` for a handler on `loop`. To be called on the loop's thread.
    ///
    /// When `timeout` (nanoseconds) is over, the handler is told so; the helper thread may stay busy longer, since
    /// `getaddrinfo` cannot be interrupted.
    public static func resolve(
        _ endpoint: Endpoint, timeout: UInt64 = defaultTimeout, loop: EventLoop, handler: any ResolveHandler
    ) -> Resolution {
        Resolution(endpoint, timeout: timeout, loop: loop) { result, loop in
            handler.resolved(result, endpoint: endpoint, loop: loop)
        }
    }

    /// Resolves `endpoint` and calls `completion` on the thread of `handle`'s loop. Any thread may call this.
    public static func resolve(
        _ endpoint: Endpoint, timeout: UInt64 = defaultTimeout, on handle: EventLoop.Handle,
        completion: @escaping @Sendable (Result<[SocketAddress], ResolveError>) -> Void
    ) {
        handle.withLoop { loop in
            _ = Resolution(endpoint, timeout: timeout, loop: loop) { result, _ in completion(result) }
        }
    }
}

/// A question to the resolver that is under way. Dropping it does not end it.
///
/// Unchecked: it is used on its loop's thread only; helper threads carry it there and back, and read nothing of it.
public final class Resolution: TimerHandler, @unchecked Sendable {
    private let query: Query
    private var timer: TimerID?
    private var completion: ((Result<[SocketAddress], ResolveError>, EventLoop) -> Void)?
    private var ready: Result<[SocketAddress], ResolveError>?

    init(
        _ endpoint: Endpoint, timeout: UInt64, loop: EventLoop,
        completion: @escaping (Result<[SocketAddress], ResolveError>, EventLoop) -> Void
    ) {
        query = Query(endpoint)
        self.completion = completion
        if let address = endpoint.address {
            ready = .success([address])
            timer = loop.schedule(after: 0, self)
            return
        }
        timer = loop.schedule(after: timeout, self)
        let handle = loop.handle
        query.report.withLock { report in
            report = { result in handle.withLoop { loop in self.finish(result, loop) } }
        }
        guard ResolverPool.shared.submit(query) else {
            loop.cancel(timer.unsafelyUnwrapped)
            ready = .failure(ResolveError(endpoint, .overloaded))
            timer = loop.schedule(after: 0, self)
            return
        }
    }

    /// The handler will not be called any more. To be called on the loop's thread.
    public func cancel(loop: EventLoop) {
        completion = nil
        end(loop)
    }

    /// The time is up, or the result was there from the start.
    public func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        finish(ready ?? .failure(ResolveError(query.endpoint, .timedOut)), loop)
    }

    private func finish(_ result: Result<[SocketAddress], ResolveError>, _ loop: EventLoop) {
        let completion = completion.take()
        end(loop)
        completion?(result, loop)
    }

    private func end(_ loop: EventLoop) {
        if let timer = timer.take() { loop.cancel(timer) }
        query.abandon()
    }
}

/// One question, as the helper threads see it.
private final class Query: Sendable {
    let endpoint: Endpoint
    /// Whom to tell; nil once nobody waits.
    let report = Locked<(@Sendable (Result<[SocketAddress], ResolveError>) -> Void)?>(nil)

    init(_ endpoint: Endpoint) { self.endpoint = endpoint }

    var isAbandoned: Bool { report.withLock { $0 == nil } }

    func abandon() {
        // Released outside of the lock.
        _ = report.withLock { $0.take() }
    }

    func answer() {
        guard !isAbandoned else { return }
        let result = Self.lookUp(endpoint)
        report.withLock { $0.take() }?(result)
    }

    private static func lookUp(_ endpoint: Endpoint) -> Result<[SocketAddress], ResolveError> {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(endpoint.host, String(endpoint.port ?? 0), &hints, &list)
        guard status == 0 else { return .failure(ResolveError(endpoint, status: status, errno: errno)) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            var storage = sockaddr_storage()
            let length = min(Int(entry.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
            withUnsafeMutableBytes(of: &storage) { target in
                target.copyMemory(from: UnsafeRawBufferPointer(start: entry.ai_addr, count: length))
            }
            if let address = SocketAddress(storage, length: socklen_t(length)), !addresses.contains(address) {
                addresses.append(address)
            }
            next = entry.ai_next
        }
        return addresses.isEmpty ? .failure(ResolveError(endpoint, .notFound)) : .success(addresses)
    }
}

/// The helper threads. Each answers questions until there are none, and ends.
private final class ResolverPool: Sendable {
    static let shared = ResolverPool()

    private struct State {
        var waiting: [Query] = []
        var threads = 0
    }
    private let state = Locked(State())

    /// Takes a question; false where too many wait or no thread can be had.
    func submit(_ query: Query) -> Bool {
        let (isTaken, startsThread) = state.withLock { state -> (Bool, Bool) in
            guard state.waiting.count < Resolver.queueLimit else { return (false, false) }
            state.waiting.append(query)
            guard state.threads < Resolver.threadLimit else { return (true, false) }
            state.threads += 1
            return (true, true)
        }
        guard startsThread else { return isTaken }
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { _ in ResolverPool.shared.work() }, nil)
        if error == 0 {
            pthread_detach(thread)
            return true
        }
        // The other threads, if there are any, answer it; else nobody would.
        return state.withLock { state in
            state.threads -= 1
            if state.threads > 0 { return true }
            state.waiting.removeAll { $0 === query }
            return false
        }
    }

    private func work() -> UnsafeMutableRawPointer? {
        LoopThread.setCurrentThreadName("resolver")
        while let query = next() { query.answer() }
        return nil
    }

    /// The next question; nil ends the calling thread.
    private func next() -> Query? {
        state.withLock { state in
            if state.waiting.isEmpty {
                state.threads -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
    }
}
