import FuzzSupport
import WebSocket

/// The message layer and the frame reader. The first byte chooses role, delivery and limits; the rest is what the peer
/// sends.
///
/// However the input is cut and delivered, it must come to the same; the frame reader must see the same frames; all that
/// is sent must be frames that a connection of the other role accepts.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 0, let start else { return 0 }
    let setup = start[0]
    let input = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let role: Role = setup & 1 == 0 ? .server : .client
    let limit = setup & 2 == 0 ? 1 << 16 : 40
    let whole = play(input, role, .whole, limit, step: .max)
    for step in [1, 2, 3, 7, Int(setup >> 3) + 1] {
        require(play(input, role, .whole, limit, step: step) == whole, "cut in pieces of \(step)")
    }
    for step in [1, 5, .max] {
        require(play(input, role, .streamed, limit, step: step) == whole, "streamed in pieces of \(step)")
    }
    _ = play(input, role, .streamed(compressed: true), limit, step: 3)
    readFrames(input, role, limit, expected: whole.events)
    accept(whole.sent, by: role == .server ? .client : .server, failed: whole.failed)
    return 0
}

private struct Outcome: Equatable {
    var events: [Connection.Event] = []
    var sent: [UInt8] = []
    var failed = false
}

private func make(_ role: Role, _ options: Connection.Options) -> Connection {
    var key: UInt32 = 0
    return switch role {
    case .server: Connection(server: options)
    case .client:
        Connection(
            client: options,
            maskKeys: {
                key &+= 0x9E37_79B9
                return key
            })
    }
}

/// Feeds `input` in pieces of `step` bytes; streamed messages are put together, so that outcomes can be compared.
private func play(_ input: [UInt8], _ role: Role, _ delivery: Connection.Delivery, _ limit: Int, step: Int) -> Outcome {
    var connection = make(
        role, .init(maximumFramePayload: limit, maximumMessage: 2 * limit, delivery: delivery))
    var outcome = Outcome()
    var message: [UInt8]?
    var bytes = input
    bytes.withUnsafeMutableBytes { buffer in
        var at = 0
        while at < buffer.count {
            let end = step < buffer.count - at ? at + step : buffer.count
            while at < end {
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<end])
                let received = connection.receive(part)
                require(received.consumed > 0 && received.consumed <= part.count, "no progress")
                require(received.event != .needMore || received.consumed == part.count, "input left over")
                switch received.event {
                case .needMore:
                    break
                case .piece(let piece):
                    require(piece.isFirst == (message == nil), "first piece")
                    require(!piece.range.isEmpty || piece.isLast, "an empty piece")
                    message = (message ?? []) + UnsafeRawBufferPointer(rebasing: part[piece.range])
                    if piece.isLast, let whole = message {
                        require(whole.count <= 2 * limit, "a message above its limit")
                        outcome.events.append(.message(piece.kind, whole))
                        message = nil
                    }
                case .failed:
                    outcome.failed = true
                    outcome.events.append(received.event)
                default:
                    outcome.events.append(received.event)
                }
                at += received.consumed
            }
        }
    }
    require(connection.pendingOutput <= 2 * input.count + 200, "more output than input")
    while connection.pendingOutput > 0 {
        connection.withOutput { output in
            outcome.sent += output.prefix(100)
            return min(100, output.count)
        }
    }
    return outcome
}

/// Reads the same input with the fast path, which does not look into payloads.
private func readFrames(_ input: [UInt8], _ role: Role, _ limit: Int, expected: [Connection.Event]) {
    var reader = FrameReader(role: role, maximumFramePayload: limit, maximumMessage: 2 * limit)
    var bytes = input
    var at = 0
    var message: [UInt8] = []
    var expected = expected[...]
    func expect(_ event: Connection.Event) -> Bool {
        guard let next = expected.popFirst() else { fatalError("the frame reader sees more: \(event)") }
        if next == event { return true }
        guard case .failed(let violation) = next else { fatalError("\(next), but \(event)") }
        let deeper: [Violation] = [.invalidUTF8, .invalidCloseCode, .invalidCloseReason, .truncatedCloseCode]
        require(deeper.contains(violation), "\(violation), but \(event)")
        return false
    }
    bytes.withUnsafeMutableBytes { buffer in
        while true {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[at...])
            func payload(_ range: Range<Int>) -> [UInt8] { Array(UnsafeRawBufferPointer(rebasing: rest[range])) }
            switch reader.next(rest) {
            case .needMore(let total):
                require(total > rest.count, "needs what it has")
                // The connection may have seen more: text that fails fast.
                require(expected.isEmpty || expected.first == .failed(.invalidUTF8), "the connection sees more")
                return
            case .message(let kind, let range, let consumed):
                guard expect(.message(kind, payload(range))) else { return }
                at += consumed
            case .fragment(let kind, let range, let isFirst, let isLast, let consumed):
                message = (isFirst ? [] : message) + payload(range)
                if case .failed(.invalidUTF8) = expected.first { return }
                if isLast, !expect(.message(kind, message)) { return }
                at += consumed
            case .control(.close, let range, _):
                let event: Connection.Event
                switch payload(range).withUnsafeBytes(ClosePayload.parse) {
                case .success(let close): event = .close(close)
                case .failure(let violation): event = .failed(violation)
                }
                _ = expect(event)
                return
            case .control(let opcode, let range, let consumed):
                guard expect(opcode == .ping ? .ping(payload(range)) : .pong(payload(range))) else { return }
                at += consumed
            case .failed(let violation):
                _ = expect(.failed(violation))
                return
            }
        }
    }
}

/// What one side sends, the other takes without complaint.
private func accept(_ sent: [UInt8], by role: Role, failed: Bool) {
    let outcome = play(sent, role, .whole, 1 << 16, step: .max)
    require(!outcome.failed, "our own frames are refused")
    var closed = false
    if case .close = outcome.events.last { closed = true }
    require(closed || !failed, "failed without a close frame")
}
