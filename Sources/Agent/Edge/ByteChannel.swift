import Bytes
import EventLoop
import TLS

/// One non-blocking stream socket on a loop, plain or with TLS on either side: bytes in, bytes out, both bounded.
///
/// - **In**: received bytes stand in `input`; the owner takes what it likes. Nothing is received while `input` holds
///   `inputLimit` or more, or while reading is paused, and the peer is held back by its own socket. After taking bytes, or
///   to go on after a pause, `resumeReading` is called.
/// - **Out**: bytes are appended to `output` and sent at the end of the tick (`flush`). An owner that produces more
///   than the peer takes looks at `isCongested`, stops, and goes on with `channelDrained`.
/// - **TLS** may start at any time (`startTLS`): what stands in `input` then is its first ciphertext, so a PROXY header
///   or a look at the first bytes costs nothing.
/// - **Ends**: the peer's end shows as `inputEnd`; `finishWriting` ends our direction (close_notify, then FIN) after what
///   waits; `closeAfterWriting` also waits a moment for the peer to read it; `close` is at once.
///
/// The socket is registered once, edge-triggered. Memory goes back after about a second of silence, and the TLS session's
/// too.
final class ByteChannel: EventHandler, TimerHandler {
    /// How the peer's direction ended.
    enum InputEnd {
        /// Not yet.
        case open
        /// With an end of file, and under TLS with close_notify before it.
        case clean
        /// Under TLS without close_notify: what came last may be missing (RFC 8446, section 6.1).
        case truncated
    }

    /// Bytes that wait to be sent, at which an owner should stop to produce.
    static let highMark = 256 << 10
    /// Bytes that wait to be sent, at which it should go on.
    static let lowMark = 64 << 10
    /// Bytes received that an owner has not taken, at which receiving stops.
    static let defaultInputLimit = 64 << 10
    /// Ciphertext that may wait in the session; the rest waits as plaintext, which can still be chosen.
    private static let sealAhead = 128 << 10
    /// Time for a peer to read what was sent last before the socket is closed, in nanoseconds. Closing with unread input
    /// resets a connection, and a reset can overtake the answer.
    private static let lingerTime: UInt64 = 2_000_000_000
    /// Bytes that are read and thrown away meanwhile.
    private static let lingerLimit = 1 << 20

    /// What was received and not taken yet: plaintext, or before TLS has started its first ciphertext.
    var input = ByteQueue()
    /// What waits to be sent; call `flush` after appending.
    var output = ByteQueue()
    /// Receiving stops while so much of `input` is not taken.
    var inputLimit = ByteChannel.defaultInputLimit
    /// Who is told; weak, since the owner owns the channel.
    weak var owner: (any ByteChannelOwner)?

    /// Called once when the socket is closed, at once where it is closed already.
    var whenClosed: (() -> Void)? {
        didSet { if isClosed, let whenClosed { self.whenClosed = nil; whenClosed() } }
    }

    private(set) var inputEnd = InputEnd.open
    /// The TLS session, once TLS was started.
    private(set) var session: TLSSession?
    /// The handshake is complete, or there is no TLS.
    private(set) var isSecured = true
    private(set) var isClosed = false
    /// The peer takes nothing any more; what it sent before can still be read.
    private(set) var isOutputBroken = false
    private(set) var bytesReceived: UInt64 = 0
    private(set) var bytesSent: UInt64 = 0

    private var owned: FileDescriptor?
    private var descriptor: Int32
    private var pipe: PipeEnd?
    unowned let parts: ChannelLoop
    private var registration: Registration?
    private var mayRead = false
    private var mayWrite = true
    private var sawHangup = false
    private var isPaused = false
    private var willFlush = false
    private var willRead = false
    private var isToReread = false
    private var wasCongested = false
    private var finishes = false
    private var wroteEnd = false
    private(set) var isLingering = false
    private var lingered = 0
    private var lingerTimer: TimerID?
    /// Its place among the loop's channels on which something moved lately. For `ChannelLoop`.
    var activePlace: Int?
    /// Nothing has moved since the last look. See `touch`.
    var isQuiet = false

    /// A channel on a connected, non-blocking socket, which now belongs to it.
    init(_ owned: consuming FileDescriptor, parts: ChannelLoop, owner: (any ByteChannelOwner)? = nil) {
        descriptor = owned.rawValue
        self.owned = consume owned
        self.parts = parts
        self.owner = owner
    }

    /// A channel on one end of a pipe within the loop.
    init(_ pipe: PipeEnd, parts: ChannelLoop) {
        self.pipe = pipe
        descriptor = -1
        self.parts = parts
    }

    /// Begins with the pipe.
    func startPipe() { pipe?.start(self) }

    /// Puts the socket on the loop.
    func start() throws(SystemError) {
        registration = try parts.loop.register(descriptor, [.readable, .writable, .edgeTriggered], self)
    }

    /// The socket's number, for options and questions about the peer.
    var socket: Int32 { descriptor }

    /// Bytes that wait to be sent, in the clear and sealed.
    var waitingBytes: Int { output.count + (session?.pendingOutput ?? 0) }

    /// More waits than should: produce nothing until `channelDrained`. Asking makes sure that the call comes.
    var isCongested: Bool {
        if waitingBytes >= Self.highMark { wasCongested = true }
        return wasCongested
    }

    // MARK: - TLS

    /// Starts TLS on the bytes from here on; what stands in `input` is its first ciphertext.
    func startTLS(_ session: TLSSession) {
        precondition(self.session == nil, "TLS was started before")
        self.session = session
        isSecured = false
        touch()
        let early = input.copyBytes()
        input.removeAll()
        // A client speaks first, and a server's first ciphertext may be here already.
        early.withUnsafeBytes { open($0) }
        if !isClosed { resumeReading() }
    }

    private func open(_ ciphertext: UnsafeRawBufferPointer) {
        guard let session else { return }
        if !ciphertext.isEmpty { session.setInput(ciphertext) }
        if !isSecured {
            switch session.handshake() {
            case .complete:
                isSecured = true
                flush()
                tellSecured()
                guard !isClosed else { return }
            case .wantsInput: return flush()
            case .failed(let error): return failTLS(error)
            }
        }
        reading: while !isClosed {
            switch session.read(into: parts.opened) {
            case .bytes(let count):
                if !isLingering { input.append(UnsafeRawBufferPointer(rebasing: parts.opened[..<count])) }
                lingered += isLingering ? count : 0
            case .wantsInput: break reading
            case .closed(let isClean):
                inputEnd = isClean ? .clean : .truncated
                break reading
            case .failed(let error): return failTLS(error)
            }
        }
        // Handshake messages and key updates want an answer.
        if session.pendingOutput > 0 { flush() }
    }

    /// The owner is told from the loop: at once, since this only runs from the loop or from `startTLS`, after which its
    /// owner does nothing more.
    private func tellSecured() { owner?.channelSecured(self) }

    private func failTLS(_ error: TLSError) {
        // The alert, if it can still be sent.
        isSecured = false
        sendSealed()
        fail(.tls(error))
    }

    // MARK: - The loop

    func ready(_ readiness: Readiness, loop: EventLoop) {
        guard !isClosed else { return }
        if !readiness.isDisjoint(with: [.hangup, .error, .readHangup]) { sawHangup = true }
        if readiness.contains(.writable) {
            mayWrite = true
            if output.isEmpty, session?.pendingOutput ?? 0 == 0 {} else { flush() }
        }
        guard !readiness.isDisjoint(with: [.readable, .hangup, .error, .readHangup]) else { return }
        mayRead = true
        read()
        // Somebody who is gone altogether is not waited for when nothing of it may be read now.
        if !isClosed, readiness.contains(.error), isPaused || input.count >= inputLimit { failBySocket() }
    }

    private func failBySocket() {
        let error = pipe == nil ? Socket.takeError(descriptor) : Errno.connectionReset
        if error != 0 { fail(.socket(errno: error)) }
    }

    // MARK: - Reading

    /// Receives nothing until `resumeReading`.
    func pauseReading() { isPaused = true }

    /// Goes on receiving, at the end of the tick, if there is room in `input`.
    func resumeReading() {
        isPaused = false
        guard mayRead, !willRead, !isClosed else { return }
        willRead = true
        parts.willRead(self)
    }

    /// Calls `channelReceived` again at the end of the tick for what is in `input` already, and goes on receiving.
    func rereadSoon() {
        isPaused = false
        isToReread = true
        guard !willRead, !isClosed else { return }
        willRead = true
        parts.willRead(self)
    }

    /// For `ChannelLoop`.
    func readAgain() {
        willRead = false
        guard !isClosed else { return }
        if isToReread {
            isToReread = false
            owner?.channelReceived(self)
            guard !isClosed else { return }
        }
        read()
    }

    /// One receive; what is left is received at the end of the tick.
    private func read() {
        guard mayRead, !isClosed, case .open = inputEnd, isLingering || (!isPaused && input.count < inputLimit)
        else { return }
        switch pipe?.read(into: parts.received) ?? Syscall.recv(descriptor, parts.received) {
        case .done(0):
            mayRead = false
            receivedEnd()
        case .done(let count):
            bytesReceived &+= UInt64(count)
            touch()
            // A short read empties a stream socket; after a hang-up the end of file is still to be read.
            mayRead = count == parts.received.count || sawHangup
            let bytes = UnsafeRawBufferPointer(rebasing: parts.received[..<count])
            if session != nil {
                open(bytes)
            } else if isLingering {
                lingered += count
            } else {
                input.append(bytes)
            }
        case .wouldBlock:
            mayRead = false
            return
        case .failed(let errno):
            mayRead = false
            return fail(.socket(errno: errno))
        }
        guard !isClosed else { return }
        if isLingering { return lingerOn() }
        if case .open = inputEnd, !isSecured { return readOn() }
        owner?.channelReceived(self)
        readOn()
    }

    private func readOn() {
        if !isClosed, mayRead, !isPaused, input.count < inputLimit { resumeReading() }
    }

    private func receivedEnd() {
        guard let session else {
            inputEnd = .clean
            return
        }
        session.receivedEOF()
        guard isSecured else { return fail(.handshakeTruncated) }
        open(UnsafeRawBufferPointer(start: nil, count: 0))
        if !isClosed, case .open = inputEnd { inputEnd = .truncated }
    }

    // MARK: - Writing

    /// Sends what stands in `output` at the end of the tick.
    func flush() {
        guard !willFlush, !isClosed else { return }
        willFlush = true
        parts.willFlush(self)
    }

    /// For `ChannelLoop`.
    func flushNow() {
        willFlush = false
        guard !isClosed else { return }
        if isOutputBroken {
            dropOutput()
        } else if session == nil {
            sendPlain()
        } else {
            sendSealed()
        }
        guard !isClosed else { return }
        if waitingBytes == 0, finishes { finishNow() }
        if !isClosed, wasCongested, waitingBytes <= Self.lowMark {
            wasCongested = false
            owner?.channelDrained(self)
        }
    }

    private func sendPlain() {
        while mayWrite, !output.isEmpty {
            switch output.withReadable({ pipe?.send($0) ?? Syscall.send(descriptor, $0) }) {
            case .done(let count):
                bytesSent &+= UInt64(count)
                output.consume(count)
                touch()
            case .wouldBlock: mayWrite = false
            case .failed: return breakOutput()
            }
        }
    }

    private func sendSealed() {
        guard let session else { return }
        repeat {
            while isSecured, !output.isEmpty, session.pendingOutput < Self.sealAhead {
                if session.isKeyUpdateDue { _ = session.requestKeyUpdate() }
                let count = min(output.count, Self.sealAhead)
                let step = output.withReadable { session.write(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                guard case .written = step else { return breakOutput() }
                output.consume(count)
            }
            guard mayWrite, session.pendingOutput > 0 else { return }
            var isBroken = false
            session.withOutput { bytes in
                switch pipe?.send(bytes) ?? Syscall.send(descriptor, bytes) {
                case .done(let count):
                    bytesSent &+= UInt64(count)
                    return count
                case .wouldBlock:
                    mayWrite = false
                    return 0
                case .failed:
                    isBroken = true
                    return bytes.count
                }
            }
            touch()
            if isBroken { return breakOutput() }
        } while mayWrite && !(output.isEmpty && session.pendingOutput == 0)
    }

    /// The peer takes nothing more. What it has sent before can still be read, an early answer for instance; its end
    /// tells the rest.
    private func breakOutput() {
        isOutputBroken = true
        dropOutput()
        mayRead = true
        sawHangup = true
        resumeReading()
    }

    private func dropOutput() {
        output.removeAll()
        session?.withOutput { $0.count }
    }

    // MARK: - The end

    /// Ends our direction after what waits: close_notify under TLS, then FIN. The peer's goes on.
    func finishWriting() {
        guard !finishes, !isClosed else { return }
        finishes = true
        flush()
    }

    private func finishNow() {
        if !wroteEnd {
            wroteEnd = true
            if let session, isSecured {
                session.shutdown()
                sendSealed()
                if !isClosed, session.pendingOutput > 0, !isOutputBroken { return }
            }
        } else if session?.pendingOutput ?? 0 > 0, !isOutputBroken {
            return
        }
        guard !isClosed else { return }
        // ENOTCONN: the peer is gone already, which reading tells too.
        if let pipe { pipe.shutdownWrite() } else { try? Syscall.shutdownWrite(descriptor) }
        finishes = false
        if isLingering { return lingerOn() }
        owner?.channelFinished(self)
    }

    /// Sends what waits, says goodbye, and closes when the peer has closed or after a moment. The owner hears nothing
    /// more.
    func closeAfterWriting() {
        guard !isClosed, !isLingering else { return }
        owner = nil
        isLingering = true
        parts.lingering += 1
        input.removeAll()
        lingerTimer = parts.loop.schedule(after: Self.lingerTime, self, tag: 0)
        if case .open = inputEnd {} else if waitingBytes == 0 { return close() }
        finishWriting()
        mayRead = true
        resumeReading()
    }

    private func lingerOn() {
        if case .open = inputEnd, lingered < Self.lingerLimit { return readOnLingering() }
        if wroteEnd, waitingBytes == 0 || isOutputBroken { close() }
    }

    private func readOnLingering() {
        if mayRead { resumeReading() }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        lingerTimer = nil
        close()
    }

    /// Closes now; what waits is lost. Under TLS the peer is told in order if its socket takes it.
    func close() {
        guard !isClosed else { return }
        if let session, isSecured, !wroteEnd, !isOutputBroken, waitingBytes == 0 {
            wroteEnd = true
            session.shutdown()
            sendSealed()
        }
        release()
    }

    /// Closes so that the peer sees a reset, not an end of file.
    func reset() {
        guard !isClosed else { return }
        if let pipe { pipe.reset() } else { try? Socket.setLingerZero(descriptor) }
        release()
    }

    private func fail(_ error: ChannelError) {
        guard !isClosed else { return }
        let owner = owner
        release()
        owner?.channelFailed(self, error)
    }

    private func release() {
        isClosed = true
        if isLingering { parts.lingering -= 1 }
        if let lingerTimer { parts.loop.cancel(lingerTimer) }
        lingerTimer = nil
        if let registration { parts.loop.deregister(registration) }
        registration = nil
        owned = nil
        pipe?.close()
        pipe = nil
        output.removeAll()
        parts.noteClosed(self)
        if let whenClosed {
            self.whenClosed = nil
            whenClosed()
        }
    }

    /// Goes on with a socket instead of the pipe.
    fileprivate func switchTo(_ socket: consuming FileDescriptor) {
        pipe = nil
        descriptor = socket.rawValue
        owned = consume socket
        mayWrite = true
        mayRead = true
        do throws(SystemError) {
            try start()
        } catch {
            fail(.socket(errno: error.errno))
        }
    }
}

extension ByteChannel: PipeSwitching {
    func pipeBecame(_ socket: consuming FileDescriptor) { switchTo(socket) }
}
