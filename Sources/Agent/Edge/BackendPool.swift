import Bytes
import EventLoop
import HTTP

/// Who waits for a backend connection.
protocol BackendWaiter: AnyObject {
    /// Here it is; `use(by:)` was not called yet.
    func backendReady(_ connection: BackendConnection)
    /// There is none.
    func backendUnavailable(_ failure: BackendFailure)
}

/// Connections to services, kept by service and principal: a stream is authorised for one principal, so nobody else's
/// request is ever sent on it.
///
/// One for each loop. A key has at most `limits.connections`, in use and idle; further requests wait their turn. What is
/// idle longest is closed after the idle timeout.
final class BackendPool: TimerHandler {
    /// How often idle connections are looked at, in nanoseconds.
    private static let sweepInterval: UInt64 = 1_000_000_000
    /// Requests that wait for a connection of one key; more are turned away.
    private static let maximumWaiting = 1024

    private final class Entry {
        var idle: [BackendConnection] = []
        /// In use, idle and being opened.
        var open = 0
        var waiting: [Weak] = []
    }

    private struct Weak {
        weak var waiter: (any BackendWaiter)?
    }

    private unowned let core: EdgeCore
    private var entries: [BackendKey: Entry] = [:]
    private var sweep: TimerID?
    /// Connections on their way; they keep themselves alive here.
    private var openings: [ObjectIdentifier: Opening] = [:]
    private(set) var idleCount = 0
    private(set) var openCount = 0

    init(core: EdgeCore) { self.core = core }

    /// Requests that wait for a connection.
    var waitingCount: Int { entries.values.reduce(0) { $0 + $1.waiting.count } }

    /// A connection of its own for what lives long, a WebSocket: never from the pool, never back into it, and not among
    /// those of which a key has a limited number.
    func acquireOwn(_ key: BackendKey, for waiter: any BackendWaiter) {
        connect(Opening(key, waiter, self, isOwn: true))
    }

    /// A connection for `key`, at once from the pool or later. `fresh`: not one that has been idle.
    func acquire(_ key: BackendKey, for waiter: any BackendWaiter, fresh: Bool = false) {
        let entry = entries[key] ?? Entry()
        entries[key] = entry
        if !fresh, let connection = entry.idle.popLast() {
            idleCount -= 1
            core.counters.backendReused &+= 1
            return waiter.backendReady(connection)
        }
        guard entry.open < core.runtime.configuration.backend.connections else {
            // One that idles makes room for one that is asked for.
            if let oldest = entry.idle.first {
                entry.idle.removeFirst()
                idleCount -= 1
                oldest.close()
                // It may have been the only one.
                entries[key] = entry
                return open(key, entry, for: waiter)
            }
            if entry.waiting.count >= Self.maximumWaiting { entry.waiting.removeAll { $0.waiter == nil } }
            guard entry.waiting.count < Self.maximumWaiting else {
                return waiter.backendUnavailable(
                    BackendFailure(.overloaded, "backend_overloaded", "too many requests wait for \(key.service)"))
            }
            entry.waiting.append(Weak(waiter: waiter))
            return
        }
        open(key, entry, for: waiter)
    }

    private func open(_ key: BackendKey, _ entry: Entry, for waiter: any BackendWaiter) {
        entry.open += 1
        connect(Opening(key, waiter, self, isOwn: false))
    }

    private func connect(_ opening: Opening) {
        openCount += 1
        openings[ObjectIdentifier(opening)] = opening
        opening.attempt = core.connector.connect(
            opening.key, timeout: core.runtime.configuration.backend.connectTimeout.nanoseconds, for: opening)
    }

    /// A request is over and its connection may serve the next one.
    func release(_ connection: BackendConnection) {
        guard !connection.channel.isClosed else { return }
        let timeout = core.runtime.configuration.backend.idleTimeout.nanoseconds
        guard !connection.isOwn, !connection.isRetired, connection.parser.canBeReused,
            case .open = connection.channel.inputEnd,
            connection.channel.input.isEmpty, connection.channel.waitingBytes == 0, timeout > 0, !core.isDraining,
            let entry = entries[connection.key]
        else { return connection.close() }
        while let next = entry.waiting.first {
            entry.waiting.removeFirst()
            guard let waiter = next.waiter else { continue }
            core.counters.backendReused &+= 1
            return waiter.backendReady(connection)
        }
        connection.idleSince = core.loop.now
        entry.idle.append(connection)
        idleCount += 1
        if sweep == nil { sweep = core.loop.schedule(after: Self.sweepInterval, self, tag: 0) }
    }

    /// A connection is gone.
    func closed(_ connection: BackendConnection) {
        guard connection.leave() else { return }
        openCount -= 1
        guard !connection.isOwn, let entry = entries[connection.key] else { return }
        if let index = entry.idle.firstIndex(where: { $0 === connection }) {
            entry.idle.remove(at: index)
            idleCount -= 1
        }
        left(connection.key, entry)
    }

    /// There is room for somebody who waits.
    private func left(_ key: BackendKey, _ entry: Entry) {
        entry.open -= 1
        while let next = entry.waiting.first {
            entry.waiting.removeFirst()
            guard let waiter = next.waiter else { continue }
            return open(key, entry, for: waiter)
        }
        if entry.open == 0 { entries[key] = nil }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        sweep = nil
        let timeout = core.runtime.configuration.backend.idleTimeout.nanoseconds
        for entry in Array(entries.values) {
            // Those at the front have been idle longest.
            while let oldest = entry.idle.first, oldest.idleSince &+ timeout <= loop.now { oldest.close() }
        }
        if idleCount > 0 { sweep = core.loop.schedule(after: Self.sweepInterval, self, tag: 0) }
    }

    /// Keeps nothing from now on, and closes what is idle.
    func drain() {
        for entry in Array(entries.values) {
            while let idle = entry.idle.first { idle.close() }
        }
    }

    /// Closes what is idle and what is being opened.
    func shutDown() {
        if let sweep { core.loop.cancel(sweep) }
        sweep = nil
        for entry in Array(entries.values) {
            while let idle = entry.idle.first { idle.close() }
        }
        for opening in Array(openings.values) { opening.attempt?.cancel() }
        openings = [:]
    }

    // MARK: - Connections on their way

    fileprivate func opened(_ opening: Opening, _ channel: ByteChannel) {
        openings[ObjectIdentifier(opening)] = nil
        let connection = BackendConnection(channel, key: opening.key, pool: self, isOwn: opening.isOwn)
        connection.attempt = opening.attempt
        opening.connection = connection
        connection.keep(opening)
        core.counters.backendOpened &+= 1
        if let waiter = opening.waiter {
            waiter.backendReady(connection)
        } else {
            release(connection)
        }
    }

    fileprivate func failed(_ opening: Opening, _ failure: BackendFailure) {
        openings[ObjectIdentifier(opening)] = nil
        core.counters.backendFailed(failure.reason)
        let waiter = opening.waiter
        openCount -= 1
        if !opening.isOwn, let entry = entries[opening.key] { left(opening.key, entry) }
        waiter?.backendUnavailable(failure)
    }
}

/// A connection that is being opened for a request. Afterwards it passes on the word of a withdrawal.
private final class Opening: BackendConnecting, BackendOrigin {
    let key: BackendKey
    weak var waiter: (any BackendWaiter)?
    private unowned let pool: BackendPool
    var attempt: (any BackendAttempt)?
    weak var connection: BackendConnection?
    let isOwn: Bool

    init(_ key: BackendKey, _ waiter: any BackendWaiter, _ pool: BackendPool, isOwn: Bool) {
        self.isOwn = isOwn
        self.key = key
        self.waiter = waiter
        self.pool = pool
    }

    func backendConnected(_ channel: ByteChannel) { pool.opened(self, channel) }

    func backendFailed(_ failure: BackendFailure) { pool.failed(self, failure) }

    func backendWithdrawn(reason: String) { connection?.withdrawn = reason }

    func backendLeaves() { connection?.retire() }

    func backendBroke(reason: String) { connection?.broken = reason }
}

/// What a connection came from; kept with it.
protocol BackendOrigin: AnyObject {}
