import Bytes
import EventLoop
import Link
import PKI
import Policy
import TLS
import WebSocket

/// An established link on its worker: socket, TLS, WebSocket frames and the session it carries.
///
/// The way of a byte out: the pump asks the session which stream may send, reads that application's socket straight
/// into the session's log, and seals what the log has not sent yet with one TLS write and one `send`. The way in: one
/// `recv`, TLS, frames unmasked in place, payload written to the application's socket from the same buffer.
final class LinkConnection: EventHandler, TimerHandler, TickHandler {
    /// Which link this is, unique in the running agent.
    let id: UInt64
    /// What the peer's certificate proved.
    let peer: PeerIdentity
    /// Which lane to which node it is.
    let lane: Lane
    /// The node at the other end.
    var node: String { lane.node }
    /// The peer after mapping, under the policy in force.
    var principal: Principal
    /// When the link was established, milliseconds since 1970.
    let establishedAt: Int64
    /// Who dialled.
    let isDialler: Bool

    let session: Session
    /// How busy the lane is, for all workers.
    var load = LaneLoad()
    /// Proves the session on its next link; nil where sessions end with their links.
    let key: SessionKey?
    let tls: TLSSession
    /// What the check of the peer's pins came to: that of the handshake, or of a reload since.
    lazy var pins = tls.pinOutcome
    var owned: FileDescriptor?
    let descriptor: Int32
    unowned let core: WorkerCore
    var frames: FrameReader
    var partial = ByteQueue()
    var registration: Registration?
    var wantsWritable = false
    var locals: [LocalConnection?] = []
    /// Streams on their way from or to another lane.
    var transfers = LinkTransfers()
    var roundTrip: UInt64?
    /// What the control plane knows of the peer's clock.
    var toldClock: Int64?
    var isRetiring = false
    /// The peer takes no new streams here, because another run of its agent does.
    var hasSuccessor = false
    var isProbed = false
    var flushScheduled = false
    var deadline: (id: TimerID, at: UInt64)?
    var isClosed = false
    /// The link from which the session moves to this one, until everything on it was processed.
    var predecessor: LinkConnection?
    /// The link to which the session moves from this one: what still comes here is handled there.
    var successor: LinkConnection?
    /// The session has left this link for another one, and is of no concern to it any more.
    var hasNoSession = false
    /// Whether frames are taken from this link; not while the peer's are still on their way on the old one.
    var isHeard = true
    /// What came along with the handshake is still to be worked on.
    var hasLeftover = false
    /// Whether streams may be opened, as far as mesh documents are concerned.
    var gate: DocumentGate
    /// The session waits for segments that others hold.
    var awaitsMemory = false
    /// See `catchUp`.
    var isCatchingUp = false
    /// The root of the peer's certificate is retired: it may only get documents, until it has another certificate.
    var isLate = false
    /// See `part`.
    var parting: Parting?
    /// Nobody but this worker knows of the link (`WorkerCore.visit`).
    var isGuest = false
    /// Whether the peer is known to have the session on this link; the dialler of one that resumes it learns that from the
    /// first frame.
    var isConfirmed = true
    private(set) var bytesReceived: UInt64 = 0
    /// The peer's kernel ended the connection, without a reset.
    private(set) var endedInOrder = false
    private(set) var bytesSent: UInt64 = 0
    /// Since when the bytes are counted that tell a quiet link, and how many had come and gone then.
    private var quietWindow: (start: UInt64, bytes: UInt64) = (0, 0)

    /// A link is quiet that carried less than so many bytes for at least so many nanoseconds: what keeps it alive, no more.
    private static let quiet: (bytes: UInt64, time: UInt64) = (4096, 1_000_000_000)

    /// Plaintext sealed in one pump before the socket is asked again: many full TLS records, and little enough that a
    /// new small message waits behind not much of it.
    static let pumpBytes = 256 * 1024

    /// Ciphertext that may wait in user space for the socket before the pump stops choosing frames.
    static let maximumWaitingCiphertext = 16 * 1024

    /// Plaintext that is sealed with one TLS write.
    static let sealBytes = 128 * 1024

    init(
        _ owned: consuming FileDescriptor, id: UInt64, lane: Lane, peer: PeerIdentity, principal: Principal,
        isDialler: Bool, tls: TLSSession, frames: FrameReader, session: Session, key: SessionKey?,
        gate: DocumentGate, leftover: [UInt8], core: WorkerCore
    ) {
        descriptor = owned.rawValue
        self.owned = consume owned
        self.id = id
        self.lane = lane
        self.peer = peer
        self.principal = principal
        self.isDialler = isDialler
        self.tls = tls
        self.frames = frames
        self.session = session
        self.key = key
        self.gate = gate
        self.core = core
        establishedAt = Clock.unixMilliseconds()
        quietWindow.start = core.loop.now
        partial.append(leftover)
    }

    /// Puts the socket on the loop and works on what came along with the handshake.
    func start() throws(SystemError) {
        registration = try core.loop.register(descriptor, [.readable], self)
        takeLeftover()
        scheduleFlush()
    }

    /// Works on what came behind the peer's HELLO, which may be more than the worker's buffer holds: a peer that has its
    /// link sends at once, and the control plane's answer here takes its time.
    func takeLeftover() {
        var held = 0
        while !partial.isEmpty, !isClosed {
            let room = UnsafeMutableRawBufferPointer(rebasing: core.plaintext[held...])
            let count = partial.withReadable { bytes in
                let count = min(bytes.count, room.count)
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return count
            }
            partial.consume(count)
            held = takeFrames(held: held + count)
        }
        partial.removeAll(keepingCapacity: false)
        if held > 0, !isClosed { partial.append(UnsafeRawBufferPointer(rebasing: core.plaintext[..<held])) }
    }

    // MARK: - The loop

    func ready(_ readiness: Readiness, loop: EventLoop) {
        guard !isClosed else { return }
        if !isHeard || successor != nil { return readyWhileMoving(readiness) }
        takeLeftoverOfMove()
        guard !isClosed else { return }
        if !readiness.isDisjoint(with: [.readable, .hangup, .error, .readHangup]) { receive() }
        if !isClosed, readiness.contains(.writable) { scheduleFlush() }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        if tag == Self.catchUpTag { return catchUpTimedOut() }
        if tag == Self.memoryTag { return memoryMayBeBack() }
        if tag == Self.partingTag { return partingEnded(isAcknowledged: false) }
        deadline = nil
        guard !isClosed else { return }
        releaseMemoryIfQuiet()
        // The wall clock may have been set meanwhile; pings carry it.
        session.setWallClock(unixMilliseconds: UInt64(Clock.unixMilliseconds()), now: loop.now)
        switch session.advance(now: loop.now) {
        case .none: break
        case .flush: scheduleFlush()
        case .peerSilent:
            if isProbed { probeEnded(answered: false) }
            return lost(.peerSilent, "nothing was heard from the peer")
        case .violation(let reason): return close(reason, session.lastNotice.detail)
        }
        scheduleTimer()
    }

    /// Gives back what a quiet link does not need. The timer may fire any moment, between two bytes of a bulk transfer as well,
    /// which would have to allocate it again at once: hence the time.
    private func releaseMemoryIfQuiet() {
        guard core.loop.now - quietWindow.start >= Self.quiet.time else { return }
        let bytes = bytesReceived &+ bytesSent
        if bytes &- quietWindow.bytes < Self.quiet.bytes { releaseIdleMemory() }
        quietWindow = (core.loop.now, bytes)
    }

    /// Gives back what holds no byte; it comes back with the next one.
    func releaseIdleMemory() {
        tls.releaseIdleMemory()
        partial.shrinkIfEmpty()
    }

    func tickEnded(loop: EventLoop) {
        flushScheduled = false
        guard !isClosed, successor == nil else { return }
        takeLeftoverOfMove()
        guard !isClosed else { return }
        pump()
    }

    /// What came along with the handshake of a link that a session moves to. It goes before everything that is received, which
    /// may be in the tick in which the link was registered.
    private func takeLeftoverOfMove() {
        guard hasLeftover, isHeard else { return }
        hasLeftover = false
        takeLeftover()
    }

    /// Asks for one pump at the end of this tick; frames of one tick go out together.
    func scheduleFlush() {
        if let successor { return successor.scheduleFlush() }
        guard !flushScheduled, !isClosed else { return }
        flushScheduled = true
        core.loop.atTickEnd(self)
    }

    func scheduleTimer() {
        let next = session.nextDeadline
        guard next != .max else { return }
        if let deadline {
            guard next < deadline.at else { return }
            core.loop.cancel(deadline.id)
        }
        deadline = (core.loop.schedule(at: next, self, tag: 0), next)
    }

    // MARK: - In

    func receive() {
        let count: Int
        switch Syscall.recv(descriptor, core.ciphertext) {
        case .done(0):
            endedInOrder = true
            return lost(.linkLost, "the peer closed the connection")
        case .done(let received): count = received
        case .wouldBlock: return
        case .failed(let errno): return lost(.linkLost, SystemError.text(errno))
        }
        bytesReceived &+= UInt64(count)
        tls.setInput(UnsafeRawBufferPointer(rebasing: core.ciphertext[..<count]))
        var held = 0
        if !partial.isEmpty {
            held = partial.withReadable { bytes in
                core.plaintext.copyMemory(from: bytes)
                return bytes.count
            }
            partial.removeAll(keepingCapacity: true)
        }
        reading: while !isClosed {
            switch tls.read(into: UnsafeMutableRawBufferPointer(rebasing: core.plaintext[held...])) {
            case .bytes(let read): held = takeFrames(held: held + read)
            case .wantsInput: break reading
            case .closed(let clean):
                endedInOrder = true
                return lost(.linkLost, clean ? "the peer closed the link" : "the connection ended without a TLS close")
            case .failed(let error):
                // The alert that says why.
                sendOnce()
                return lost(.linkLost, error.message)
            }
        }
        guard !isClosed else { return }
        if held > 0 { partial.append(UnsafeRawBufferPointer(rebasing: core.plaintext[..<held])) }
        scheduleFlush()
    }

    /// Works on the whole frames in the worker's plaintext buffer; moves an unfinished one to its beginning.
    /// - Returns: bytes of the unfinished frame.
    func takeFrames(held: Int) -> Int {
        var offset = 0
        while offset < held, !isClosed {
            let rest = UnsafeMutableRawBufferPointer(rebasing: core.plaintext[offset..<held])
            switch frames.next(rest) {
            case .needMore:
                guard offset > 0 else { return held }
                core.plaintext.copyMemory(from: UnsafeRawBufferPointer(rest))
                return held - offset
            case .message(.binary, let payload, let consumed):
                let frame = UnsafeRawBufferPointer(rebasing: rest[payload])
                take(frame)
                offset += consumed
            case .control(let opcode, let payload, let consumed):
                takeControl(opcode, UnsafeRawBufferPointer(rebasing: rest[payload]))
                offset += consumed
            case .message, .fragment:
                close(.protocolError, "a link frame must be one unfragmented binary WebSocket message")
            case .failed(let violation):
                close(.protocolError, "\(violation)")
            }
        }
        return 0
    }

    /// Takes one frame of the session.
    private func take(_ frame: UnsafeRawBufferPointer) {
        isConfirmed = true
        guard let successor else { return handle(session.received(frame, now: core.loop.now), frame) }
        guard !session.isPeerSwitched else {
            return successor.close(.protocolError, "a frame behind SWITCH")
        }
        successor.handle(session.received(frame, now: core.loop.now), frame)
        successor.finishMove()
    }

    /// WebSocket control frames carry nothing that the link protocol needs, but a close frame says why.
    func takeControl(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) {
        guard opcode == .close else { return }
        if case .success(let close) = ClosePayload.parse(payload) {
            let reason = close.code.flatMap { LinkReason(closeCode: $0.rawValue) } ?? .normal
            if reason == .identityRevoked { core.saidRevoked(by: node, close.reason) }
            // It has the session parked, and gives up a link that it never used, unless it says something that lasts.
            let leavesSession = !isConfirmed && reason.retry != .unlikely
            lost(
                reason, close.reason.isEmpty ? "the peer closed the link" : close.reason, leavesSession: leavesSession)
        } else {
            lost(.protocolError, "the peer sent a malformed close frame")
        }
    }

    // MARK: - Out

    /// Sends: control frames first, then round robin what the streams have, then seals and writes.
    func pump() {
        guard crossOver() else {
            // Goes behind SWITCH; an acknowledgement that is due would otherwise keep the timer firing.
            session.flushControl(now: core.loop.now)
            return scheduleTimer()
        }
        var budget = Self.pumpBytes
        while budget > 0, tls.pendingOutput <= Self.maximumWaitingCiphertext, let ready = session.nextReady() {
            guard let local = local(ready.stream) else {
                session.clearReadable(ready.stream)
                continue
            }
            guard let room = session.sendRoom(ready.stream, atMost: ready.quantum) else { break }
            switch local.read(into: room) {
            case .bytes(let count, let drained):
                session.commit(ready.stream, count)
                budget -= count
                if drained { session.clearReadable(ready.stream) }
            case .wouldBlock:
                session.commit(ready.stream, 0)
                session.clearReadable(ready.stream)
            case .end:
                session.commit(ready.stream, 0, finish: true)
                local.finishedReading()
                releaseIfDone(local, ready.stream)
            case .failed:
                session.commit(ready.stream, 0)
                localFailed(local)
            }
            if session.unsentBytes >= Self.sealBytes { seal() }
        }
        guard !isClosed else { return }
        session.flushControl(now: core.loop.now)
        seal()
        transmit()
        finishMove()
        load.update(streams: session.streamCount, lastBulk: session.lastBulk)
        scheduleTimer()
    }

    func seal() {
        // While the session moves here, what waits first is the old link's.
        guard predecessor == nil || !session.isCrossingOver else { return }
        guard session.unsentBytes > 0, tls.pendingOutput <= Self.maximumWaitingCiphertext else { return }
        var failure: TLSError?
        while session.unsentBytes > 0, failure == nil {
            _ = session.withUnsent { bytes in
                switch tls.write(bytes) {
                case .written(let count): return count
                case .failed(let error):
                    failure = error
                    return 0
                }
            }
        }
        if let failure { return lost(.protocolError, failure.message) }
        if tls.isKeyUpdateDue { renewKey() }
    }

    /// Changes the sending key before AES-GCM's limit; TLS 1.2 cannot, so the link is replaced.
    func renewKey() {
        switch tls.requestKeyUpdate() {
        case .updated: break
        case .notSupported: close(.replaced, "TLS 1.2 cannot change its key; dial again")
        case .failed(let error): lost(.protocolError, error.message)
        }
    }

    func transmit() {
        guard !isClosed else { return }
        var isBlocked = false
        var failure: Int32?
        while tls.pendingOutput > 0, !isBlocked, failure == nil {
            tls.withOutput { bytes in
                switch Syscall.send(descriptor, bytes) {
                case .done(let count):
                    bytesSent &+= UInt64(count)
                    isBlocked = count < bytes.count
                    return count
                case .wouldBlock:
                    isBlocked = true
                    return 0
                case .failed(let errno):
                    failure = errno
                    return 0
                }
            }
        }
        if let failure { return lost(.linkLost, SystemError.text(failure)) }
        // At the retention limit a writable socket is of no use: the peer's acknowledgement brings the next pump.
        let hasFrames =
            successor == nil
            ? session.unsentBytes > 0 || (session.readyStreams > 0 && session.acceptsData)
            : session.isCrossingOver
        // Nobody tells when another session has given segments back.
        if session.readyStreams > 0, !session.acceptsData, !session.isRetentionFull { retryWhenThereIsMemory() }
        let wants = tls.pendingOutput > 0 || hasFrames
        if wants != wantsWritable, let registration {
            wantsWritable = wants
            let reading: Interest = isHeard ? [.readable] : []
            core.loop.modify(registration, wants ? reading.union(.writable) : reading)
        }
    }
}
