import Bytes
import Link
import WebSocket

/// A session under a hostile peer and a restless application. The first byte chooses role, parity and limits; then come
/// steps, one byte each with what they need behind it: frames from the peer, and calls of the owner.
///
/// Whatever comes, budget and retention keep their bounds, everything sent is legal, and the end gives all memory back.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)
    guard input.count > 1 else { return 0 }
    payloads(UnsafeRawBufferPointer(rebasing: input[1...]))
    handshakes(UnsafeRawBufferPointer(rebasing: input[1...]))
    var run = Run(setup: input[0])
    run.play(UnsafeRawBufferPointer(rebasing: input[1...]))
    run.end()
    return 0
}

/// What parses is written again and parses to the same.
private func payloads(_ bytes: UnsafeRawBufferPointer) {
    if let hello = try? Hello(payload: bytes) {
        let again = hello.encodedPayload().withUnsafeBytes { try? Hello(payload: $0) }
        // Extensions beyond what an implementation may send are dropped when written.
        precondition(again?.bootID == hello.bootID && again?.agent == hello.agent, "HELLO changed on the way")
    }
    if let (request, credit) = try? OpenRequest.parse(payload: bytes), request.isEncodable {
        let again = request.encodedPayload(initialCredit: credit).withUnsafeBytes {
            try? OpenRequest.parse(payload: $0)
        }
        precondition(again?.request == request && again?.initialCredit == credit, "OPEN changed on the way")
        if let told = try? request.attributes() { attributes(told) }
    }
    if let told = try? OpenAttributes.parse(Array(bytes)) { attributes(told) }
    for type: FrameType in [.refuse, .reset, .goAway] {
        guard let (notice, last) = try? Notice.parse(type, payload: bytes) else { continue }
        let again = notice.encodedPayload(for: type, lastStreamID: last).withUnsafeBytes {
            try? Notice.parse(type, payload: $0)
        }
        precondition(again?.notice == notice && again?.lastStreamID == last, "a notice changed on the way")
    }
}

/// Attributes that can be read can be written, unless they are longer than an extension.
private func attributes(_ told: [String: [String]]) {
    guard let content = OpenAttributes.encoded(told) else { return }
    precondition(content.count <= FrameExtension.maximumSize, "attributes without bound")
    precondition(content.isEmpty == told.isEmpty, "attributes were lost")
    if !content.isEmpty { precondition((try? OpenAttributes.parse(content)) == told, "attributes changed on the way") }
}

private func handshakes(_ bytes: UnsafeRawBufferPointer) {
    var acceptor = LinkHandshake.accept()
    if case .decide(let hello) = acceptor.received(bytes) { _ = acceptor.answer(hello) }
    var (dialler, _) = LinkHandshake.dial(Run.hello)
    _ = dialler.received(bytes)
    resumption(bytes)
}

/// Nothing that arrives instead of RESUME or AUTH is taken for a proof.
private func resumption(_ bytes: UnsafeRawBufferPointer) {
    if let claim = try? ResumeClaim(payload: bytes) {
        let again = claim.payload.withUnsafeBytes { try? ResumeClaim(payload: $0) }
        precondition(again == claim, "a claim changed on the way")
    }
    let proof = ResumptionProof(
        authenticate: { _ in [UInt8](repeating: 0xA5, count: ResumptionProof.size) },
        exporter: [UInt8](repeating: 1, count: ResumptionProof.size), dialler: Run.hello.bootID,
        acceptor: Run.hello.bootID)
    let claim = ResumeClaim(epoch: 1, processed: 2, sent: 3)
    let resume = LinkFrame(type: .resume).encoded(payload: claim.payload)
    for first in [nil, resume] {
        var (acceptor, _) = LinkResumption.offer(claim, proof)
        var dialler = LinkResumption.awaitOffer(proof)
        if let first {
            first.withUnsafeBytes {
                _ = acceptor.received($0)
                _ = dialler.received($0)
            }
        }
        let isProof = bytes.count == 40 && bytes[0] == FrameType.auth.rawValue && bytes[8...].allSatisfy { $0 == 0xA5 }
        if case .proven = acceptor.received(bytes) { precondition(isProof, "a proof out of nothing") }
        if case .offered = dialler.received(bytes) { precondition(isProof, "an offer out of nothing") }
    }
}

private struct Run {
    static let hello: Hello = {
        var hello = Hello(bootID: BootID(high: 1, low: 2), intent: .initial, unixMilliseconds: 3, agent: "fuzz")
        hello.takesTransfers = true
        return hello
    }()

    let session: Session
    let budget: ReceiveBudget
    let pool = SegmentPool(keep: 2)
    var reader: FrameReader
    var handles: [StreamHandle] = []
    /// The stream that is to change its lane: to another id of the same session, which stands for both lanes.
    private var leaving: StreamHandle?
    var now: UInt64 = 1_000_000_000
    var sequenced: UInt64 = 0
    let retentionLimit: Int
    private var outgoing: [UInt8] = []

    init(setup: UInt8) {
        var configuration = SessionConfiguration()
        if setup & 4 != 0 { configuration.retentionLimit = 2_000 }
        if setup & 8 != 0 { configuration.maximumPeerStreams = 2 }
        if setup & 16 != 0 { configuration.maximumPayload = LinkFrame.minimumPayloadLimit }
        if setup & 32 != 0 { configuration.initialCredit = 64 }
        retentionLimit = configuration.retentionLimit
        budget = ReceiveBudget(limit: setup & 64 != 0 ? 3 * configuration.initialCredit : 1 << 24)
        var key: UInt8 = 0
        let role: LinkRole = setup & 1 == 0 ? .dialler : .acceptor
        session = Session(
            role: role, parity: setup & 2 == 0 ? .even : .odd, configuration: configuration, peer: Run.hello,
            budget: budget, pool: pool,
            masks: MaskKeys { buffer in
                key &+= 1
                for index in buffer.indices { buffer[index] = UInt8(truncatingIfNeeded: index) &* 31 &+ key }
            }, seed: UInt64(setup), now: now, unixMilliseconds: 4)
        session.name = 1
        reader = FrameReader(
            role: role == .dialler ? .server : .client,
            maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
    }

    mutating func play(_ input: UnsafeRawBufferPointer) {
        var steps = ByteReader(input)
        while let step = try? steps.readUInt8() {
            perform(step, &steps)
            check()
        }
    }

    private mutating func perform(_ step: UInt8, _ steps: inout ByteReader) {
        let pick = handles.isEmpty ? nil : handles[Int(step >> 4) % handles.count]
        switch step & 15 {
        case 0, 1, 2, 3:
            let size = Int((try? steps.readUInt8()) ?? 0)
            receive((try? steps.readBytes(min(size, steps.remaining))) ?? nothing)
        case 4:
            // A whole frame of the most common kinds without the fuzzer having to write eight bytes for it.
            let kind = (try? steps.readUInt8()) ?? 0
            let types = FrameType.allCases
            let type = types[Int(kind) % types.count]
            let id = UInt64((try? steps.readUInt8()) ?? 0)
            let size = Int((try? steps.readUInt8()) ?? 0)
            let payload = (try? steps.readBytes(min(size, steps.remaining))) ?? nothing
            let flags: FrameFlags = kind & 0x80 != 0 ? .finish : []
            LinkFrame(type: type, flags: flags, streamID: id).encoded(payload: Array(payload)).withUnsafeBytes {
                receive($0)
            }
        case 5:
            let request = OpenRequest(service: "s", principal: step & 16 == 0 ? "" : "uid:1")
            if let handle = try? session.open(request, now: now) { handles.append(handle) }
        case 6: if let pick { session.accept(pick) }
        case 7: if let pick { session.refuse(pick, .denied, detail: "no") }
        case 8:
            if step & 0x80 == 0 {
                if let pick { session.finish(pick) }
            } else if leaving == nil, let pick, let request = session.leave(pick, lane: 0) {
                if (try? session.transfer(request, now: now)) != nil { leaving = pick } else { session.stay(pick) }
            }
        case 9: if let pick { session.reset(pick, .cancelled) }
        case 10: if let pick { session.consumed(pick, min(session.unconsumed(of: pick), 1 + Int(step) * 64)) }
        case 11:
            if let pick { session.markReadable(pick) }
            if let ready = session.nextReady(), let room = session.sendRoom(ready.stream, atMost: ready.quantum) {
                precondition(room.count <= ready.quantum, "more room than asked for")
                session.commit(ready.stream, min(room.count, Int(step)), finish: step & 0x80 != 0)
            }
        case 12: drain(.max)
        case 13: drain(Int(step) + 1)
        case 14:
            let unacknowledged = session.unacknowledgedFrames
            guard unacknowledged > 0, session.currentState == .open else { return }
            drain(.max)
            var writer = ByteWriter()
            writer.writeUInt64(session.sentFrames)
            LinkFrame(type: .ack).encoded(payload: writer.bytes).withUnsafeBytes { receive($0) }
        default:
            now += UInt64(step) * 5_000_000
            _ = session.advance(now: now)
            if step & 0x10 != 0 { session.probe(now: now, timeout: 1_000_000_000) }
            if step == 0xFF { session.goAway(.goingAway, retryAfter: 1, detail: "enough") }
        }
    }

    private var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    private mutating func receive(_ frame: UnsafeRawBufferPointer) {
        switch session.received(frame, now: now) {
        case .opened(let handle): handles.append(handle)
        case .data(let handle, let range, _):
            precondition(range.upperBound <= frame.count && !range.isEmpty, "a range outside of the frame")
            precondition(session.isLive(handle), "data for a stream that is over")
        case .refused(let handle, _), .reset(let handle, _):
            precondition(!session.isLive(handle), "a stream lives on after its end")
            if let stream = leaving.take() { session.stay(stream) }
        case .violation(let reason):
            precondition(session.currentState == .failed(reason), "a violation without consequence")
        case .transferOffered(let handle):
            if let request = session.lastTransfer, let given = session.give(request) {
                precondition(!session.isLive(given.stream), "a stream that was given lives on")
                guard (try? session.adopt(handle, given.detached)) != nil else { break }
                handles.append(handle)
            } else {
                session.refuse(handle, .noSuchInstance)
            }
        case .taken(let handle): taken(handle)
        case .switched: preconditionFailure("a session moved that nobody offered to move")
        case .none, .accepted, .finished, .writable, .goAway, .pong, .moveLost, .moveWanted, .lanes: break
        }
    }

    private mutating func taken(_ handle: StreamHandle) {
        guard let stream = leaving.take(), let answer = session.lastAnswer,
            let detached = try? session.depart(stream, answer)
        else { return session.reset(handle, .cancelled) }
        if (try? session.adopt(handle, detached, answer)) != nil {
            handles.append(handle)
        } else {
            session.reset(handle, .cancelled)
        }
    }

    /// Sends up to `limit` bytes; complete frames among them must be legal.
    private mutating func drain(_ limit: Int) {
        session.flushControl(now: now)
        var sent: [UInt8] = []
        var left = limit
        while left > 0 {
            let count = session.withUnsent { bytes in
                let count = min(bytes.count, left)
                sent += bytes[..<count]
                return count
            }
            if count == 0 { break }
            left -= count
        }
        outgoing += sent
        var at = 0
        outgoing.withUnsafeMutableBytes { buffer in
            while at < buffer.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[at...])
                switch reader.next(rest) {
                case .needMore: return
                case .message(.binary, let payload, let consumed):
                    let parsed = LinkFrame.parse(UnsafeRawBufferPointer(rebasing: rest[payload]))
                    guard case .frame(let frame) = parsed else { preconditionFailure("an illegal frame was sent") }
                    if frame.type.isSequenced { sequenced += 1 }
                    at += consumed
                case let other: preconditionFailure("sent \(other)")
                }
            }
        }
        outgoing.removeFirst(at)
        if session.unsentBytes == 0 {
            precondition(sequenced == session.sentFrames || session.currentState == .ended, "frames lost or doubled")
        }
    }

    private func check() {
        precondition(budget.used >= 0 && budget.used <= budget.limit, "the budget is broken")
        precondition(session.retainedBytes <= retentionLimit + (2 << 20), "retention without bound")
        precondition(session.unsentBytes <= session.retainedBytes, "more unsent than there is")
    }

    mutating func end() {
        drain(.max)
        _ = session.linkLost()
        precondition(budget.used == 0, "budget lost")
        precondition(pool.segmentsInUse == 0, "segments lost")
        precondition(session.streamCount == 0, "streams lost")
    }
}
