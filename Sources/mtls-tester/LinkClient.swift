import Bytes
import EventLoop
import HTTP
import Link
import TLS
import WebSocket

/// One end of a link, for as long as a test takes: HELLO, pings, and requests over streams.
final class LinkClient {
    /// How HELLO was answered.
    enum Answer {
        case linked(Hello)
        case refused(Notice)
        case failed(String)
    }

    /// How a request over a stream was answered.
    enum StreamAnswer {
        case response(Int, [UInt8])
        case refused(LinkReason, String)
        case failed(String)
    }

    private let socket: WebSocketClient
    private let local: String
    private let peer: String
    private let timeout: UInt64
    private let masks = MaskKeys()
    private var frames = FrameReader(
        role: .client, maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
    private var session: Session?
    private var roundTrips: [UInt64] = []
    private var response: Response?
    /// Why nothing more comes.
    private(set) var ending: String?

    private static let agent = "mtls-tester/0.1.0"
    /// Between two pings, in nanoseconds: quick, and far from what a node takes for a flood (64 at once).
    private static let pingInterval: UInt64 = 20 * Clock.millisecond
    /// An answer's body, at most.
    private static let maximumBody = 1 << 20

    private final class Response {
        let stream: StreamHandle
        var parser = ResponseParser()
        var input = ByteQueue()
        var status = 0
        var body: [UInt8] = []
        var answer: StreamAnswer?

        init(_ stream: StreamHandle) { self.stream = stream }
    }

    init(_ socket: WebSocketClient, local: String, peer: String, timeout: UInt64) {
        self.socket = socket
        self.local = local
        self.peer = peer
        self.timeout = timeout
    }

    /// The peer took the link, and it has not ended.
    var isLinked: Bool { session != nil && ending == nil }

    // MARK: - HELLO

    func hello() -> Answer {
        var random = SystemRandomNumberGenerator()
        var configuration = SessionConfiguration()
        configuration.pingInterval = Self.pingInterval
        let own = Hello(
            bootID: .random(using: &random), intent: .initial, unixMilliseconds: UInt64(Clock.unixMilliseconds()),
            agent: Self.agent, configuration: configuration)
        var (handshake, frame) = LinkHandshake.dial(own)
        socket.wire.send(LinkHandshake.wireMessage(frame, role: .dialler, masks: masks))
        while true {
            let step: (LinkHandshake.Step?, consumed: Int)? = socket.plain.withMutableReadable { bytes in
                switch frames.next(bytes) {
                case .needMore: return nil
                case .message(.binary, let payload, let consumed):
                    return (handshake.received(UnsafeRawBufferPointer(rebasing: bytes[payload])), consumed)
                case .control(.close, let payload, let consumed):
                    return (.refused(Self.notice(UnsafeRawBufferPointer(rebasing: bytes[payload]))), consumed)
                case .control(_, _, let consumed): return (nil, consumed)
                case .message, .fragment: return (.failed(.protocolError, "HELLO is not one binary message"), 0)
                case .failed(let violation): return (.failed(.protocolError, "\(violation)"), 0)
                }
            }
            if let step {
                socket.plain.consume(step.consumed)
                switch step.0 {
                case .complete(let hello)?:
                    begin(hello, configuration)
                    return .linked(hello)
                case .refused(let notice)?: return .refused(notice)
                case .failed(_, let text)?: return .failed("the node breaks the link protocol: \(text)")
                case .decide?: return .failed("the node breaks the link protocol: it expects our answer")
                case nil: continue
                }
            }
            switch socket.wire.receive() {
            case .bytes(let bytes): socket.plain.append(bytes)
            case .closed: return .failed("the node closed the connection instead of answering HELLO")
            case .failed(let error): return .failed(error.message)
            case .timedOut: return .failed("no answer to HELLO in time")
            }
        }
    }

    private static func notice(_ payload: UnsafeRawBufferPointer) -> Notice {
        guard case .success(let close) = ClosePayload.parse(payload) else { return Notice(.protocolError) }
        return Notice(close.code.flatMap { LinkReason(closeCode: $0.rawValue) } ?? .normal, detail: close.reason)
    }

    private func begin(_ hello: Hello, _ configuration: SessionConfiguration) {
        session = Session(
            role: .dialler, parity: StreamParity(local: local, peer: peer), configuration: configuration, peer: hello,
            budget: ReceiveBudget(), pool: SegmentPool(), masks: masks, seed: UInt64.random(in: .min ... .max),
            now: Clock.monotonicNanoseconds(), unixMilliseconds: UInt64(Clock.unixMilliseconds()))
    }

    // MARK: - What is asked

    /// Round trips in nanoseconds; fewer than `count` where the time was up.
    func ping(count: Int) -> [UInt64] {
        roundTrips = []
        turn { self.roundTrips.count >= count }
        return roundTrips
    }

    /// One request to a built-in service.
    func get(_ path: String, from service: String) -> StreamAnswer {
        guard let session, ending == nil else { return .failed(ending ?? "there is no link") }
        let opened: StreamHandle
        do throws(SessionError) {
            opened = try session.open(OpenRequest(service: service), now: Clock.monotonicNanoseconds())
        } catch {
            return .failed("no stream could be opened: \(error.code)")
        }
        let response = Response(opened)
        self.response = response
        defer { self.response = nil }
        var request = ByteQueue()
        do throws(HTTPError) {
            let head = try HTTPRequestHead(.get, path, host: service, headers: ["Connection": "close"])
            response.parser.expect(head)
            try HTTPEncoder.encode(head, into: &request)
        } catch {
            return .failed(error.text)
        }
        session.markReadable(opened)
        if let room = session.sendRoom(opened, atMost: request.count), room.count >= request.count {
            request.withReadable { room.copyMemory(from: $0) }
            session.commit(opened, request.count)
        }
        session.clearReadable(opened)
        turn { response.answer != nil }
        if session.isLive(opened) { session.reset(opened, .cancelled) }
        return response.answer ?? .failed(ending ?? "no answer in time")
    }

    /// Tells the node that we leave.
    func close() {
        session?.goAway(.normal)
        session?.flushControl(now: Clock.monotonicNanoseconds())
        transmit()
        var payload = ClosePayload(CloseCode(rawValue: LinkReason.normal.closeCode), reason: "test done").bytes
        let key = UInt32.random(in: .min ... .max)
        let header = FrameHeader(opcode: .close, maskKey: key, payloadLength: payload.count)
        payload.withUnsafeMutableBytes { Masking.apply(key, to: $0) }
        let start = [UInt8](unsafeUninitializedCapacity: FrameHeader.maximumSize) { buffer, count in
            count = buffer.baseAddress.map { header.encode(into: UnsafeMutableRawPointer($0)) } ?? 0
        }
        socket.wire.send(start + payload)
        socket.wire.close()
    }

    // MARK: - Turning

    /// Sends and receives until `isDone`, the end of the link or of patience.
    private func turn(until isDone: () -> Bool) {
        guard let session else { return }
        let limit = Clock.monotonicNanoseconds() + timeout
        while ending == nil, !isDone() {
            takeFrames(session)
            if ending != nil || isDone() { break }
            let now = Clock.monotonicNanoseconds()
            guard now < limit else { return }
            if case .peerSilent = session.advance(now: now) { ending = "the node fell silent" }
            session.flushControl(now: now)
            transmit()
            switch socket.wire.receive(until: min(limit, session.nextDeadline)) {
            case .bytes(let bytes): socket.plain.append(bytes)
            case .closed: ending = "the node closed the link"
            case .failed(let error): ending = error.message
            case .timedOut: break
            }
        }
        session.flushControl(now: Clock.monotonicNanoseconds())
        transmit()
    }

    private func transmit() {
        guard let session else { return }
        while session.unsentBytes > 0 {
            var piece: [UInt8] = []
            _ = session.withUnsent { bytes in
                piece = Array(bytes)
                return bytes.count
            }
            socket.wire.send(piece)
        }
    }

    private func takeFrames(_ session: Session) {
        while ending == nil, !socket.plain.isEmpty {
            let consumed: Int? = socket.plain.withMutableReadable { bytes in
                switch frames.next(bytes) {
                case .needMore: return nil
                case .message(.binary, let payload, let consumed):
                    let frame = UnsafeRawBufferPointer(rebasing: bytes[payload])
                    handle(session.received(frame, now: Clock.monotonicNanoseconds()), frame, session)
                    return consumed
                case .control(.close, let payload, let consumed):
                    let notice = Self.notice(UnsafeRawBufferPointer(rebasing: bytes[payload]))
                    ending = "the node closed the link: \(notice.reason.name) \(notice.detail)"
                    return consumed
                case .control(_, _, let consumed): return consumed
                case .message, .fragment, .failed:
                    ending = "the node breaks the WebSocket protocol"
                    return nil
                }
            }
            guard let consumed else { return }
            socket.plain.consume(consumed)
        }
    }

    private func handle(_ event: SessionEvent, _ frame: UnsafeRawBufferPointer, _ session: Session) {
        switch event {
        case .pong(let roundTrip): roundTrips.append(roundTrip)
        case .opened(let stream): session.refuse(stream, .noSuchService, detail: "a tester offers nothing")
        case .data(let stream, let range, let finished):
            session.consumed(stream, range.count)
            guard let response, response.stream == stream else { break }
            response.input.append(UnsafeRawBufferPointer(rebasing: frame[range]))
            read(response, ended: finished)
        case .finished(let stream):
            if let response, response.stream == stream { read(response, ended: true) }
        case .refused(let stream, let reason):
            if let response, response.stream == stream {
                response.answer = .refused(reason, session.lastNotice.detail)
            }
        case .reset(let stream, let reason):
            if let response, response.stream == stream {
                response.answer = .failed("the stream was reset: \(reason.name) \(session.lastNotice.detail)")
            }
        case .violation(let reason):
            ending = "the node breaks the link protocol: \(reason.name), \(session.lastNotice.detail)"
        case .goAway(let reason): ending = "the node takes no more streams: \(reason.name) \(session.lastNotice.detail)"
        // A tester has one link and makes no other.
        case .transferOffered(let stream): session.refuse(stream, .noSuchInstance, detail: "a tester has one lane")
        case .switched, .moveLost, .moveWanted, .lanes, .taken: break
        case .none, .accepted, .writable: break
        }
    }

    private func read(_ response: Response, ended: Bool) {
        guard response.answer == nil else { return }
        do throws(HTTPError) {
            while let event = try response.parser.next(&response.input) {
                switch event {
                case .head(let head): response.status = head.status
                case .body(let count):
                    guard response.body.count + count <= Self.maximumBody else {
                        response.answer = .failed("the answer is longer than \(Self.maximumBody) bytes")
                        return
                    }
                    response.input.withReadable { response.body += $0[..<count] }
                    response.parser.take(count, from: &response.input)
                case .end: response.answer = .response(response.status, response.body)
                case .interim, .trailers, .switched: break
                }
            }
            if ended, response.answer == nil {
                if case .end? = try response.parser.inputEnded(response.input) {
                    response.answer = .response(response.status, response.body)
                } else {
                    response.answer = .failed("the stream ended without an answer")
                }
            }
        } catch {
            response.answer = .failed("the answer is no HTTP: \(error.text)")
        }
    }
}
