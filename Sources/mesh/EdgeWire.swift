import Bytes
import EventLoop
import Glibc
import PKI
import TLS

/// A connection to an edge, with TLS where the URL says so. One thread; waiting is the caller's.
final class EdgeWire {
    /// What receiving came to.
    enum Received {
        /// There are new bytes in `input`.
        case some
        /// There is nothing now.
        case nothing
        /// The edge ended its direction.
        case end
        /// The connection broke.
        case broken
    }

    /// How long connecting and shaking hands may take, in nanoseconds.
    static let patience: UInt64 = 15 * Clock.second

    /// What was received and not taken.
    var input = ByteQueue()

    private let socket: FileDescriptor
    private let session: TLSSession?
    private var output = ByteQueue()
    private let window = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

    /// Connects and shakes hands.
    init(_ edge: EdgeAddress, _ context: TLSContext?) throws(CommandFailure) {
        socket = try EdgeDial.connect(edge)
        if let context {
            do throws(TLSError) {
                session = try TLSSession(
                    context: context, serverName: edge.endpoint.address == nil ? edge.host : nil,
                    expecting: .foreignServer(host: edge.host))
            } catch {
                throw Self.failure(error, edge)
            }
        } else {
            session = nil
        }
        try shakeHands(edge)
    }

    deinit { window.deallocate() }

    /// The socket, to wait on.
    var descriptor: Int32 { socket.rawValue }

    /// Bytes that wait to be sent.
    var pendingOutput: Int { session?.pendingOutput ?? output.count }

    private func shakeHands(_ edge: EdgeAddress) throws(CommandFailure) {
        guard let session else { return }
        let deadline = Clock.monotonicNanoseconds() + Self.patience
        while true {
            switch session.handshake() {
            case .complete:
                flush()
                return
            case .failed(let error):
                flush()
                throw Self.failure(error, edge)
            case .wantsInput:
                flush()
                guard Self.wait(descriptor, POLLIN, until: deadline) else {
                    throw CommandFailure(
                        .unreachable, "tls_timeout", "\(edge.authority) took the connection and does not speak TLS",
                        hint: "check the port: a plain http:// or ws:// server waits in silence, as this one does")
                }
                switch Syscall.recv(descriptor, window) {
                case .done(0), .failed: session.receivedEOF()
                case .done(let count): session.setInput(UnsafeRawBufferPointer(rebasing: window[..<count]))
                case .wouldBlock: continue
                }
                open(session)
            }
        }
    }

    /// Takes what the window holds as far as the session goes, so that its memory is free again.
    private func open(_ session: TLSSession) {
        if !session.isConnected {
            guard case .complete = session.handshake() else { return }
        }
        reading: while true {
            let step = session.read(into: input.reserve(64 << 10))
            switch step {
            case .bytes(let count): input.commit(count)
            case .wantsInput: break reading
            case .closed, .failed:
                isEnded = true
                if case .failed(let error) = step { failure = error }
                break reading
            }
        }
    }

    private var isEnded = false
    /// Why TLS failed after the handshake: a TLS 1.3 server judges our certificate only then.
    private(set) var failure: TLSError?

    // MARK: - Bytes

    /// Puts bytes into the output.
    func send(_ bytes: UnsafeRawBufferPointer) {
        guard let session else { return output.append(bytes) }
        if session.isKeyUpdateDue { _ = session.requestKeyUpdate() }
        if case .failed = session.write(bytes) { isEnded = true }
    }

    /// Sends what the socket takes. False when the connection is broken.
    @discardableResult
    func flush() -> Bool {
        while pendingOutput > 0 {
            var result = IOResult.wouldBlock
            if let session {
                session.withOutput { bytes in
                    result = Syscall.send(descriptor, bytes)
                    if case .done(let count) = result { return count }
                    return 0
                }
            } else {
                result = output.withReadable { Syscall.send(descriptor, $0) }
                if case .done(let count) = result { output.consume(count) }
            }
            switch result {
            case .done: continue
            case .wouldBlock: return true
            case .failed: return false
            }
        }
        return true
    }

    /// Receives what is there, once.
    func receive() -> Received {
        let before = input.count
        guard let session else {
            switch Syscall.recv(descriptor, window) {
            case .done(0): return .end
            case .done(let count):
                input.append(UnsafeRawBufferPointer(rebasing: window[..<count]))
                return .some
            case .wouldBlock: return .nothing
            case .failed: return .broken
            }
        }
        if isEnded { return failure == nil ? .end : .broken }
        switch Syscall.recv(descriptor, window) {
        case .done(0): session.receivedEOF()
        case .done(let count): session.setInput(UnsafeRawBufferPointer(rebasing: window[..<count]))
        case .wouldBlock: return .nothing
        case .failed: return .broken
        }
        open(session)
        if input.count > before { return .some }
        if isEnded { return failure == nil ? .end : .broken }
        return .nothing
    }

    /// Says goodbye.
    func close() {
        session?.shutdown()
        flush()
    }

    /// Waits until the descriptor is ready; false when the time is up.
    static func wait(_ descriptor: Int32, _ events: Int32, until limit: UInt64) -> Bool {
        while true {
            let now = Clock.monotonicNanoseconds()
            let left = limit > now ? (limit - now + 999_999) / 1_000_000 : 0
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let result = poll(&entry, 1, Int32(clamping: left))
            if result > 0 { return true }
            if result == 0 { return false }
            guard errno == EINTR else { return true }
        }
    }

    // MARK: - Words

    /// A failure of TLS, in words for somebody who meant an edge.
    static func failure(_ error: TLSError, _ edge: EdgeAddress) -> CommandFailure {
        let place = edge.authority
        switch error.code {
        case .notTLS:
            return CommandFailure(
                .unreachable, error.reason, "\(place) speaks plain text on a port that was meant for TLS",
                hint: "check the port; a plain http:// or ws:// server listens there, or the edge's TLS is off")
        case .certificateRefused:
            let reason = error.certificate?.reason
            let hint =
                reason == .unknownCA || reason == .selfSigned
                ? "name the CA that vouches for the edge: --ca-file FILE (of mesh cert dev: NAME-ca.crt)" : error.hint
            return CommandFailure(
                .certificate, error.reason, "\(place): \(error.message)", hint: hint, showsReason: true)
        case .refusedByPeer:
            return CommandFailure(
                .certificate, error.reason, "\(place): \(error.message)",
                hint: error.alert == .certificateRequired
                    ? "the edge asks for a client certificate: --certificate-file FILE --private-key-file FILE"
                    : error.hint, showsReason: true)
        default:
            return CommandFailure(
                .unreachable, error.reason, "\(place): \(error.message)", hint: error.hint, showsReason: true)
        }
    }
}

/// Connects by a loop of its own, which knows how to look up names with patience.
private final class EdgeDial: ConnectHandler {
    private var socket: FileDescriptor?
    private var error: ConnectError?

    static func connect(_ edge: EdgeAddress) throws(CommandFailure) -> FileDescriptor {
        let dial = EdgeDial()
        do throws(SystemError) {
            let loop = try EventLoop()
            let connector = Connector(to: edge.endpoint, timeout: EdgeWire.patience, loop: loop, handler: dial)
            loop.run()
            withExtendedLifetime(connector) {}
        } catch {
            throw CommandFailure(.failure, error.code, "\(error)", hint: error.hint)
        }
        if let socket = dial.socket.take() { return socket }
        throw CommandFailure(
            .unreachable, dial.error?.code.rawValue ?? "connect_failed",
            "cannot reach the edge: \(dial.error?.description ?? "no answer")",
            hint: "check host and port of --edge \(edge.origin), and whether the edge runs")
    }

    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
    ) {
        socket = consume descriptor
        loop.handle.stop()
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.error = error
        loop.handle.stop()
    }
}
