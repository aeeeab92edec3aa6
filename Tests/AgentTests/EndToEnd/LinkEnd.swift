import Bytes
import EventLoop
import Foundation
import Link
import PKI
import TLS
import WebSocket

/// A node that a test plays itself, one frame at a time: what it says in OPEN is the test's choice.
final class LinkEnd {
    /// What became of a stream.
    enum Fate: Equatable {
        case bytes([UInt8])
        case accepted
        case refused(LinkReason, String)
        case reset(LinkReason, String)
        case finished
    }

    let session: Session
    /// By what it can come back as the same run of the same node.
    let credentials: Credentials
    let bootID: BootID
    private let tls: TLSSession
    private let wire: Wire
    private var plain: ByteQueue
    private var frames: FrameReader
    private var fates: [StreamHandle: [Fate]] = [:]
    /// How many streams the other end has said that it takes.
    let saidStreams: UInt32
    /// What it was told when the other end went away.
    private(set) var farewell: Notice?
    /// What it answers on every stream that the other end opens; nil to refuse them.
    var answer: String?
    /// Streams that the other end has opened.
    private(set) var opened = 0
    /// What it was told of the number of lanes.
    private(set) var lanesSeen: [Int] = []

    /// Links with `node` as the node `name`, whose certificate the mesh's CA makes, by clocks that are so many seconds ahead.
    ///
    /// - Parameters:
    ///   - documents: what it says in HELLO about mesh documents; nil for an agent that knows none.
    ///   - lane: which lane the link is for.
    ///   - lanes: how many it says that it takes; nil for an agent that knows nothing of lanes.
    ///   - boot: its boot id; nil for `former`'s, or one of its own.
    ///   - given: its certificate and key; nil for the former one's, or new ones.
    ///   - former: a link whose node this is, in the same run: the other end may have kept its session.
    ///   - address: where it dials; nil for the node's usual address.
    ///   - beforeHello: what happens between the handshake and its HELLO.
    ///   - beforeDecline: it resumes sessions, and says no to one that is offered; this comes before the answer.
    ///   - ignoresLimits: it opens more streams than the other end has said.
    init(
        _ mesh: TestMesh, as name: String, to node: TestNode, documents: [UInt8]? = nil, lane: UInt8 = 0,
        lanes: Int? = nil, boot: BootID? = nil, clockAhead: Int64 = 0, issuedAhead: Int64 = 0,
        after former: LinkEnd? = nil, with given: Credentials? = nil, at address: String? = nil,
        beforeHello: () throws -> Void = {}, beforeDecline: (() throws -> Void)? = nil, ignoresLimits: Bool = false
    ) throws {
        credentials =
            try given ?? former?.credentials
            ?? mesh.authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)) + issuedAhead)
        var random = SystemRandomNumberGenerator()
        bootID = boot ?? former?.bootID ?? .random(using: &random)
        let context = try TLSContext(
            TLSContext.Configuration(
                role: .client, credentials: credentials, trust: TrustBundle(roots: [mesh.authority.root]),
                alpn: ["http/1.1"]))
        tls = try TLSSession(context: context, expecting: .node(node.name))
        wire = try Wire(address ?? node.meshAddress)
        plain = ByteQueue()
        frames = FrameReader(role: .client, maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
        let masks = MaskKeys()
        var hello = Hello(
            bootID: bootID, intent: .initial, unixMilliseconds: UInt64(Clock.unixMilliseconds()), agent: "test",
            configuration: SessionConfiguration())
        hello.documents = documents
        hello.lane = lane
        hello.lanes = lanes
        if beforeDecline != nil { hello.resumptionEpoch = 0 }
        let (own, said) = try Self.meet(tls, wire, &plain, &frames, masks, hello, beforeHello)
        if said.resumptionEpoch != nil, let beforeDecline {
            try Self.decline(tls, wire, &plain, &frames, masks, after: beforeDecline)
        }
        var peer = said
        saidStreams = said.maximumStreams
        if ignoresLimits { peer.maximumStreams = .max }
        session = Session(
            role: .dialler, parity: StreamParity(local: name, peer: node.name), configuration: own, peer: peer,
            budget: ReceiveBudget(), pool: SegmentPool(), masks: masks, seed: 1,
            now: Clock.monotonicNanoseconds(),
            unixMilliseconds: UInt64(Clock.unixMilliseconds() + clockAhead * 1000))
    }

    /// TLS, the upgrade, and HELLO.
    private static func meet(
        _ tls: TLSSession, _ wire: Wire, _ plain: inout ByteQueue, _ frames: inout FrameReader, _ masks: MaskKeys,
        _ own: Hello, _ beforeHello: () throws -> Void
    ) throws -> (SessionConfiguration, Hello) {
        try shakeHands(tls, wire, &plain)
        let key = Handshake.key(random: (1, 2))
        try send(
            try Handshake.clientRequest(
                host: "mesh", path: "/mesh", protocols: ["conduit.link.v1"], key: key), tls, wire)
        while plain.copyBytes().firstRange(of: Array("\r\n\r\n".utf8)) == nil { try receive(tls, wire, into: &plain) }
        let head = plain.copyBytes()
        guard head.starts(with: Array("HTTP/1.1 101 ".utf8)), let end = head.firstRange(of: Array("\r\n\r\n".utf8))
        else { throw Failure("no upgrade: \(String(decoding: head, as: UTF8.self))") }
        plain.consume(end.upperBound)
        try beforeHello()
        var (handshake, hello) = LinkHandshake.dial(own)
        try send(LinkHandshake.wireMessage(hello, role: .dialler, masks: masks), tls, wire)
        while true {
            let step: (LinkHandshake.Step?, Int)? = plain.withMutableReadable { bytes in
                switch frames.next(bytes) {
                case .message(_, let payload, let consumed):
                    return (handshake.received(UnsafeRawBufferPointer(rebasing: bytes[payload])), consumed)
                case .control(_, _, let consumed): return (nil, consumed)
                default: return nil
                }
            }
            if let step {
                plain.consume(step.1)
                if case .complete(let peer)? = step.0 { return (SessionConfiguration(), peer) }
                if let other = step.0 { throw Failure("no link: \(other)") }
            }
            try receive(tls, wire, into: &plain)
        }
    }

    /// TLS, of either end.
    static func shakeHands(_ tls: TLSSession, _ wire: Wire, _ plain: inout ByteQueue) throws {
        while true {
            let step = tls.handshake()
            try flush(tls, wire)
            switch step {
            case .complete: return
            case .failed(let error): throw error
            case .wantsInput: try receive(tls, wire, into: &plain)
            }
        }
    }

    /// Takes the offer of a session and declines it, late.
    private static func decline(
        _ tls: TLSSession, _ wire: Wire, _ plain: inout ByteQueue, _ frames: inout FrameReader, _ masks: MaskKeys,
        after body: () throws -> Void
    ) throws {
        var resumption = LinkResumption.awaitOffer(nil)
        while true {
            let step: (LinkResumption.Step, Int)? = plain.withMutableReadable { bytes in
                guard case .message(_, let payload, let consumed) = frames.next(bytes) else { return nil }
                return (resumption.received(UnsafeRawBufferPointer(rebasing: bytes[payload])), consumed)
            }
            if let (step, consumed) = step {
                plain.consume(consumed)
                if step == .more { continue }
                guard case .offered = step else { throw Failure("no offer: \(step)") }
                try body()
                return try send(
                    LinkHandshake.wireMessage(resumption.decline(), role: .dialler, masks: masks), tls, wire)
            }
            try receive(tls, wire, into: &plain)
        }
    }

    /// The connection is gone, without a word.
    func abort() { wire.abort() }

    /// Waits for the other end to close the connection.
    func waitClosed() throws {
        let end = Deadline.now + Deadline.patience
        while Deadline.now < end {
            do { try turn() } catch { return }
        }
        throw Failure("the connection stays")
    }

    // MARK: - Streams

    /// Opens a stream and sends `first` on it.
    func open(_ request: OpenRequest, sending first: String = "") throws -> StreamHandle {
        let stream = try session.open(request, now: Clock.monotonicNanoseconds())
        fates[stream] = []
        if !first.isEmpty { send(first, on: stream) }
        try transmit()
        return stream
    }

    /// Sends a few bytes.
    func send(_ text: String, on stream: StreamHandle) {
        session.markReadable(stream)
        if let room = session.sendRoom(stream, atMost: text.utf8.count) {
            room.copyBytes(from: Array(text.utf8))
            session.commit(stream, text.utf8.count)
        }
        session.clearReadable(stream)
        try? transmit()
    }

    /// Waits for what becomes of a stream next.
    func next(of stream: StreamHandle) throws -> Fate {
        // Pings keep coming where nothing else does.
        let end = Deadline.now + Deadline.patience
        while true {
            if let fate = fates[stream]?.first {
                fates[stream]?.removeFirst()
                return fate
            }
            guard Deadline.now < end else { throw Failure("nothing becomes of the stream") }
            try turn()
        }
    }

    /// Reads until the node ends the link; throws when it does not.
    func waitEnd() throws {
        let end = Deadline.now + Deadline.patience
        while Deadline.now < end {
            do { try turn() } catch is Failure { return }
        }
        throw Failure("the link stays")
    }

    /// Takes what comes until `isDone`.
    func turn(until isDone: () -> Bool) throws {
        let end = Deadline.now + Deadline.patience
        while !isDone() {
            guard Deadline.now < end else { throw Failure("what was waited for did not come") }
            try turn()
        }
    }

    /// Takes no new streams, since another run of this node is there already; those under way go on.
    func leave() throws {
        session.goAway(.goingAway, retryAfter: 1)
        try transmit()
    }

    /// Ends the link for good.
    func end(_ reason: LinkReason) throws {
        session.goAway(reason)
        try transmit()
        wire.close()
    }

    private func turn() throws {
        if plain.isEmpty { try Self.receive(tls, wire, into: &plain) }
        var isHungry = false
        while !isHungry, !plain.isEmpty {
            let consumed: Int? = plain.withMutableReadable { bytes in
                switch frames.next(bytes) {
                case .message(_, let payload, let consumed):
                    note(UnsafeRawBufferPointer(rebasing: bytes[payload]))
                    return consumed
                case .control(_, _, let consumed): return consumed
                default: return nil
                }
            }
            if let consumed { plain.consume(consumed) } else { isHungry = true }
        }
        if isHungry { try Self.receive(tls, wire, into: &plain) }
        try transmit()
    }

    private func note(_ frame: UnsafeRawBufferPointer) {
        switch session.received(frame, now: Clock.monotonicNanoseconds()) {
        case .accepted(let stream): fates[stream, default: []].append(.accepted)
        case .refused(let stream, let reason):
            fates[stream, default: []].append(.refused(reason, session.lastNotice.detail))
        case .reset(let stream, let reason):
            fates[stream, default: []].append(.reset(reason, session.lastNotice.detail))
        case .data(let stream, let range, let isLast):
            fates[stream, default: []].append(.bytes(Array(frame[range])))
            session.consumed(stream, range.count)
            if isLast { fates[stream, default: []].append(.finished) }
        case .finished(let stream): fates[stream, default: []].append(.finished)
        case .opened(let stream):
            opened += 1
            guard let answer else { return session.refuse(stream, .noSuchService) }
            session.accept(stream)
            send(answer, on: stream)
        case .lanes(let count): lanesSeen.append(count)
        case .goAway: farewell = session.lastNotice
        default: break
        }
    }

    private func transmit() throws {
        session.flushControl(now: Clock.monotonicNanoseconds())
        while session.unsentBytes > 0 {
            var piece: [UInt8] = []
            _ = session.withUnsent { bytes in
                piece = Array(bytes)
                return bytes.count
            }
            try Self.send(piece, tls, wire)
        }
    }

    // MARK: - Bytes

    static func send(_ bytes: [UInt8], _ tls: TLSSession, _ wire: Wire) throws {
        if case .failed(let error) = bytes.withUnsafeBytes({ tls.write($0) }) { throw error }
        try flush(tls, wire)
    }

    private static func flush(_ tls: TLSSession, _ wire: Wire) throws {
        while tls.pendingOutput > 0 {
            var bytes: [UInt8] = []
            tls.withOutput { output in
                bytes = Array(output)
                return output.count
            }
            try wire.send(bytes)
        }
    }

    static func receive(_ tls: TLSSession, _ wire: Wire, into plain: inout ByteQueue) throws {
        guard case .bytes(let bytes) = wire.receive() else { throw Failure("the link is gone") }
        try bytes.withUnsafeBytes { window in
            tls.setInput(window)
            guard tls.isConnected else {
                // The caller goes on with the handshake; what belongs to it must be read while it is there.
                if case .failed(let error) = tls.handshake() { throw error }
                try flush(tls, wire)
                if !tls.isConnected { return }
                return try open(tls, into: &plain)
            }
            try open(tls, into: &plain)
        }
    }

    private static func open(_ tls: TLSSession, into plain: inout ByteQueue) throws {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let step = buffer.withUnsafeMutableBytes { tls.read(into: $0) }
            switch step {
            case .bytes(let count): plain.append(buffer[..<count])
            case .wantsInput: return
            case .closed: return
            case .failed(let error): throw error
            }
        }
    }
}

extension LinkEnd {
    /// What the node `name` shows to whoever dials it.
    static func acceptor(_ mesh: TestMesh, as name: String) throws -> TLSContext {
        let credentials = try mesh.authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)))
        return try TLSContext(
            TLSContext.Configuration(
                role: .server, credentials: credentials, trust: TrustBundle(roots: [mesh.authority.root]),
                alpn: ["http/1.1"]))
    }

    /// Plays the node of `context` for whoever has dialled `wire`, up to the upgrade: what comes next is their HELLO.
    static func answer(_ context: TLSContext, on wire: Wire) throws -> TLSSession {
        let tls = try TLSSession(context: context, expecting: .anyIdentity)
        var plain = ByteQueue()
        try shakeHands(tls, wire, &plain)
        while plain.copyBytes().firstRange(of: Array("\r\n\r\n".utf8)) == nil { try receive(tls, wire, into: &plain) }
        let head = String(decoding: plain.copyBytes(), as: UTF8.self)
        let request = try Handshake.checkRequest(
            method: "GET", headers: { WireReader.field($0, head).map { [$0] } ?? [] },
            protocols: ["conduit.link.v1"], protocolRequired: true
        ).get()
        try send(try Handshake.response(to: request), tls, wire)
        return tls
    }
}
