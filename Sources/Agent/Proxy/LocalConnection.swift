import Bytes
import EventLoop
import Link

/// What carries a local connection's bytes: a link's stream, or the other socket of a pair on the same node.
protocol StreamCarrier: AnyObject {
    /// There may be something to read from `local`.
    func localReadable(_ local: LocalConnection)
    /// `local`'s socket took `count` bytes that had waited.
    func localTook(_ local: LocalConnection, _ count: Int)
    /// `local`'s socket is broken: reset by its application, or not writable any more.
    func localFailed(_ local: LocalConnection)
    /// The connection was given up before `local` had a use.
    func localTimedOut(_ local: LocalConnection)
    /// `local`'s connect succeeded.
    func localConnected(_ local: LocalConnection)
    /// `local`'s connect failed.
    func localConnectFailed(_ local: LocalConnection, _ error: TargetError)
    /// The right to the stream was withdrawn.
    func withdraw(_ local: LocalConnection, _ text: String)
}

/// One local socket whose bytes travel on a stream: an application that came in through an upstream, or a service's
/// target.
///
/// Reading is done by the carrier, straight into outgoing frames; this class remembers whether there may be something
/// to read. Writing is done as frames arrive; what the socket does not take waits in `pending`, which is bounded by the
/// credit that the stream granted.
final class LocalConnection: EventHandler, TimerHandler {
    /// Which side of the stream this socket is.
    enum Role {
        /// An application that asked for a service.
        case application(OpenAttempt)
        /// A target of a local service, connected for a peer or for an application of this node.
        case target(InboundStream)
    }

    /// What came of one attempt to read the application.
    enum ReadOutcome {
        /// Bytes are in the room. `drained`: there is nothing more until the loop says so.
        case bytes(Int, drained: Bool)
        /// Nothing there now.
        case wouldBlock
        /// The application finished its direction.
        case end
        /// The connection is broken.
        case failed
    }

    let role: Role
    /// The stream on the carrier, where the carrier is a link.
    var stream: StreamHandle?
    /// Its place in the carrier's table.
    private(set) weak var carrier: (any StreamCarrier)?

    private var owned: FileDescriptor?
    private var descriptor: Int32
    /// Instead of a socket, for the edge's own streams.
    private var pipe: PipeEnd?
    private var registration: Registration?
    private unowned let core: WorkerCore
    private var mayRead = false
    private var sawHangup = false
    private var connecting: Bool
    /// Stands between this socket and the target, where there is a name to resolve or TLS to speak.
    var bridge: TargetBridge?
    /// What `connecting` waits for is the bridge, not the socket.
    private let isBridged: Bool
    private let target: SocketAddress
    private var closesWhenWritten = false
    private var pending = ByteQueue()
    /// Bytes at the head of `pending` that are the agent's own and no credit was spent on.
    private var pendingAnswer = 0
    private(set) var peerFinished = false
    private var sentFinish = false
    private var wroteShutdown = false
    private var timer: TimerID?
    private(set) var isClosed = false
    /// When the stream may be asked to change its lane again, on the loop's clock.
    var mayMoveAt: UInt64 = 0
    /// The same for a change that only makes room for others.
    var mayBalanceAt: UInt64 = 0
    /// What the stream had moved when that was looked at last, in bytes.
    var seenTraffic: UInt64 = 0

    /// Takes over `owned`, which is non-blocking. `connectingTo`: a connect to there is under way on it. `isBridged`: a
    /// bridge has the socket's other end and will say when the target is there.
    init(
        _ owned: consuming FileDescriptor, role: Role, connectingTo target: SocketAddress? = nil,
        isBridged: Bool = false, core: WorkerCore
    ) {
        descriptor = owned.rawValue
        self.owned = consume owned
        self.role = role
        connecting = target != nil || isBridged
        self.isBridged = isBridged
        self.target = target ?? .unix(path: "")
        self.core = core
    }

    /// Takes over one end of a pipe, whose other end is the edge's.
    init(_ pipe: PipeEnd, role: Role, core: WorkerCore) {
        self.pipe = pipe
        descriptor = -1
        self.role = role
        connecting = false
        isBridged = false
        target = .unix(path: "")
        self.core = core
    }

    /// Goes on with a connection that another worker gave away.
    init(_ handover: LocalHandover, core: WorkerCore) {
        descriptor = handover.descriptor
        owned = FileDescriptor(owning: handover.descriptor)
        role = handover.role
        connecting = false
        isBridged = false
        target = .unix(path: "")
        self.core = core
        handover.pending.withUnsafeBytes { pending.append($0) }
        pendingAnswer = handover.pendingAnswer
        peerFinished = handover.peerFinished
        sentFinish = handover.sentFinish
        wroteShutdown = handover.wroteShutdown
    }

    /// Bytes that wait for the socket.
    var waitingBytes: Int { pending.count }

    /// The wish behind an application's socket.
    var attempt: OpenAttempt? {
        if case .application(let attempt) = role { attempt } else { nil }
    }

    /// The authorised stream behind a target's socket.
    var inbound: InboundStream? {
        if case .target(let inbound) = role { inbound } else { nil }
    }

    // MARK: - The loop

    /// Puts the socket on the loop. Edge-triggered: readiness is remembered here, so that a busy stream costs no
    /// `epoll_ctl`.
    func register() throws(SystemError) {
        if let pipe { return pipe.start(self) }
        registration = try core.loop.register(descriptor, Self.interest, self)
    }

    private static let interest: Interest = [.readable, .writable, .edgeTriggered]

    /// Gives up after `nanoseconds` unless `cancelTimer` comes first.
    func startTimer(_ nanoseconds: UInt64) {
        cancelTimer()
        timer = core.loop.schedule(after: nanoseconds, self, tag: 0)
    }

    func cancelTimer() {
        if let timer { core.loop.cancel(timer) }
        timer = nil
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        guard !isClosed else { return }
        if let carrier { carrier.localTimedOut(self) } else { core.opening.timedOut(self) }
    }

    func ready(_ readiness: Readiness, loop: EventLoop) {
        guard !isClosed else { return }
        if connecting {
            guard !isBridged, !readiness.isDisjoint(with: [.writable, .error, .hangup]) else { return }
            connecting = false
            if let error = Socket.finishConnect(descriptor, target) {
                carrier?.localConnectFailed(self, .system(error))
                return
            }
            cancelTimer()
            carrier?.localConnected(self)
            guard !isClosed else { return }
        }
        if !readiness.isDisjoint(with: [.hangup, .error, .readHangup]) { sawHangup = true }
        if sawHangup, attempt?.abort?.isSet == true { return fail() }
        if readiness.contains(.error), pipe != nil || Socket.takeError(descriptor) != 0 {
            // The application reset its connection: so does the stream, also when no credit would let us read.
            return fail()
        }
        if readiness.contains(.writable), !pending.isEmpty { flush() }
        if !isClosed, !readiness.isDisjoint(with: [.readable, .hangup, .error, .readHangup]) {
            mayRead = true
            offerReading()
        }
    }

    // MARK: - The bridge

    /// The target is connected.
    func bridgeConnected() {
        guard !isClosed, connecting else { return }
        connecting = false
        cancelTimer()
        carrier?.localConnected(self)
        guard !isClosed else { return }
        // What the loop said before was not for a socket that waits.
        mayRead = true
        offerReading()
    }

    /// The target could not be connected.
    func bridgeFailed(_ error: TargetError) {
        guard !isClosed, connecting else { return }
        connecting = false
        carrier?.localConnectFailed(self, error)
    }

    /// The target broke the connection.
    func bridgeBroken() {
        if !isClosed { fail() }
    }

    private func fail() {
        if let carrier { carrier.localFailed(self) } else { core.opening.abandoned(self) }
    }

    // MARK: - The stream

    /// The connection's bytes travel on `carrier` from now on.
    func attach(_ carrier: any StreamCarrier, _ stream: StreamHandle?) {
        self.carrier = carrier
        self.stream = stream
        if mayRead || attempt?.hasReplay == true { offerReading() }
    }

    /// The stream goes on over another link; all else stays as it is.
    func carried(by carrier: any StreamCarrier) { self.carrier = carrier }

    /// The stream was refused and another one will be tried: keep the application's bytes and its socket.
    func detach() {
        carrier = nil
        stream = nil
        if sentFinish, let attempt, !attempt.isAccepted {
            // The next stream is told of the end, too: reading the socket gives it again.
            sentFinish = false
            mayRead = true
        }
    }

    private func offerReading() {
        guard !sentFinish else { return }
        carrier?.localReadable(self)
    }

    /// Reads the application's socket into `room`.
    func read(into room: UnsafeMutableRawBufferPointer) -> ReadOutcome {
        if case .application(let attempt) = role, let replayed = attempt.replay(into: room) {
            return .bytes(replayed, drained: false)
        }
        guard mayRead, !isClosed, !connecting else { return .wouldBlock }
        switch pipe?.read(into: room) ?? Syscall.recv(descriptor, room) {
        case .done(0):
            mayRead = false
            if attempt?.abort?.isSet == true { return .failed }
            sentFinish = true
            return .end
        case .done(let count):
            // A short read empties a stream socket; after a hang-up the end of file is still to be read.
            let drained = count < room.count && !sawHangup
            mayRead = !drained
            if case .application(let attempt) = role {
                attempt.remember(UnsafeRawBufferPointer(rebasing: room[..<count]))
            }
            return .bytes(count, drained: drained)
        case .wouldBlock:
            mayRead = false
            return .wouldBlock
        case .failed:
            mayRead = false
            return .failed
        }
    }

    /// Takes bytes from the peer for this socket. Returns how many the socket took at once, the rest waits here; nil
    /// when the socket is broken.
    func deliver(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !isClosed else { return bytes.count }
        guard !connecting, pending.isEmpty else {
            pending.append(bytes)
            return 0
        }
        switch send(bytes) {
        case .done(let count):
            if count < bytes.count { pending.append(UnsafeRawBufferPointer(rebasing: bytes[count...])) }
            return count
        case .wouldBlock:
            pending.append(bytes)
            return 0
        case .failed:
            return nil
        }
    }

    private func send(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        pipe?.send(bytes) ?? Syscall.send(descriptor, bytes)
    }

    /// Tells the application something of the agent's own, before the stream's first byte or instead of it.
    func answer(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, !isClosed else { return }
        let taken = bytes.withUnsafeBytes { deliver($0) }
        // A broken socket shows with the next byte, either way.
        pendingAnswer += taken.map { bytes.count - $0 } ?? 0
    }

    /// The peer finished its direction: so do we, when the socket has taken everything.
    func finishWriting() {
        peerFinished = true
        if pending.isEmpty, !connecting { shutdownWriting() }
    }

    /// Writes what waits. Called when the socket can take more, and once a target is connected.
    func flush() {
        guard !isClosed, !connecting else { return }
        var taken = 0
        var isBroken = false
        writing: while !pending.isEmpty {
            switch pending.withReadable({ send($0) }) {
            case .done(let count):
                pending.consume(count)
                taken += count
            case .wouldBlock: break writing
            case .failed:
                isBroken = true
                break writing
            }
        }
        if pending.isEmpty { pending.shrinkIfEmpty() }
        if isBroken { return carrier == nil ? reset() : fail() }
        let own = min(taken, pendingAnswer)
        pendingAnswer -= own
        if taken > own { carrier?.localTook(self, taken - own) }
        guard !isClosed, pending.isEmpty else { return }
        if closesWhenWritten { return close() }
        if peerFinished { shutdownWriting() }
    }

    private func shutdownWriting() {
        guard !wroteShutdown, !isClosed else { return }
        wroteShutdown = true
        // Everything was read: closing ends our direction as well.
        if sentFinish, pipe == nil { return close() }
        // ENOTCONN: the application is gone already, which reading tells too.
        if let pipe { pipe.shutdownWrite() } else { try? Syscall.shutdownWrite(descriptor) }
        if sentFinish { close() }
    }

    /// The carrier has passed on the application's end of file.
    func finishedReading() {
        if wroteShutdown { close() }
    }

    // MARK: - The end

    /// Closes in order.
    func close() {
        end(isReset: false)
    }

    private func end(isReset: Bool) {
        guard !isClosed else { return }
        leaveLoop(closing: true)
        // Before the other end can see it.
        if isReset, let id = attempt?.outcomeID { core.shared.outcomes.wasReset(noting: id) }
        owned = nil
        if let pipe = pipe.take() { if isReset { pipe.reset() } else { pipe.close() } }
        bridge.take()?.localClosed(isReset: isReset)
        core.localClosed(self)
        carrier = nil
    }

    /// Closes in order as soon as the socket has taken what waits.
    func closeWhenWritten() {
        guard !pending.isEmpty else { return close() }
        closesWhenWritten = true
    }

    /// Closes so that the application sees a reset, not an end of file.
    func reset() {
        guard !isClosed else { return }
        if pipe == nil { try? Socket.setLingerZero(descriptor) }
        end(isReset: true)
    }

    /// Takes the socket off this loop and gives it away. The connection is empty afterwards; nil, and as it was, where a pipe
    /// cannot become a socket.
    func takeDescriptor() -> FileDescriptor? {
        if let pipe {
            guard let descriptor = try? pipe.becomeSocket() else { return nil }
            self.pipe = nil
            leaveLoop()
            return descriptor
        }
        leaveLoop()
        return owned.take()
    }

    /// Whether the connection could go to another worker: a bridge to its target keeps it here.
    var isPortable: Bool { !isClosed && !connecting && !isBridged && !closesWhenWritten }

    /// Makes a socket of a pipe, so that the connection can go to another worker (`handOver`). False, and as it was, where that is
    /// not possible: no descriptors are left, say.
    func becomeSocket() -> Bool {
        guard let pipe, !isClosed else { return !isClosed }
        var registered: Registration?
        do throws(SystemError) {
            let socket = try pipe.becomeSocket { (descriptor) throws(SystemError) in
                registered = try core.loop.register(descriptor, Self.interest, self)
            }
            descriptor = socket.rawValue
            owned = consume socket
        } catch {
            return false
        }
        self.pipe = nil
        registration = registered
        // The pipe does not tell its socket.
        if wroteShutdown { try? Syscall.shutdownWrite(descriptor) }
        return true
    }

    /// Gives the connection to another worker, where its stream goes on. Empty afterwards; nil, and as it was, where that is not
    /// possible (`becomeSocket` comes first).
    func handOver() -> LocalHandover? {
        guard isPortable, pipe == nil, let socket = takeDescriptor()?.release() else { return nil }
        carrier = nil
        stream = nil
        return LocalHandover(
            role: role, descriptor: socket, pending: pending.withReadable { Array($0) }, pendingAnswer: pendingAnswer,
            peerFinished: peerFinished, sentFinish: sentFinish, wroteShutdown: wroteShutdown)
    }

    private func leaveLoop(closing: Bool = false) {
        isClosed = true
        cancelTimer()
        if let registration = registration.take() {
            if closing { core.loop.deregisterForClose(registration) } else { core.loop.deregister(registration) }
        }
    }
}
