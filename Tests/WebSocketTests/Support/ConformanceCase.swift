import Testing
import WebSocket

/// One line of the conformance tables: frames of the peer, and all that must come of them.
///
/// A case is played to a server (masked) and to a client (unmasked), with both deliveries and several chunkings.
struct ConformanceCase: Sendable, CustomTestStringConvertible {
    let name: String
    let frames: [TestFrame]
    /// As in `Transcript.events`.
    let events: [String]
    /// What is sent of itself, as in `SentFrame.summary`.
    let sends: [String]
    var frameLimit = 1 << 20
    var messageLimit = 1 << 20

    init(_ name: String, _ frames: [TestFrame], _ events: [String], sends: [String] = []) {
        self.name = name
        self.frames = frames
        self.events = events
        self.sends = sends
    }

    /// A case in which the last frame breaks the rules.
    static func refused(
        _ name: String, _ frames: [TestFrame], after events: [String] = [], sends: [String] = [],
        _ violation: Violation, _ code: Int = 1002
    ) -> ConformanceCase {
        ConformanceCase(
            name, frames, events + ["fail:\(violation.rawValue)"], sends: sends + ["close:\(code)"])
    }

    func limits(frame: Int = 1 << 20, message: Int = 1 << 20) -> ConformanceCase {
        var copy = self
        copy.frameLimit = frame
        copy.messageLimit = message
        return copy
    }

    var testDescription: String { name }

    /// Plays the case in every way and compares.
    func check(roles: [Role] = [.server, .client], chunkings: [Chunking] = Chunking.usual) {
        for role in roles {
            let input = frames.flatMap { $0.encoded(masked: role == .server) }
            for delivery in [Connection.Delivery.whole, .streamed] {
                let options = Connection.Options(
                    maximumFramePayload: frameLimit, maximumMessage: messageLimit, delivery: delivery)
                for chunking in input.count > 20_000 ? [.whole, .random(1)] : chunkings {
                    var connection = makeConnection(role, options)
                    let transcript = play(input, into: &connection, chunking: chunking)
                    let how = "\(role), \(delivery), \(chunking)"
                    #expect(transcript.events == events, "\(how)")
                    #expect(transcript.sentSummaries == sends, "\(how)")
                    #expect(transcript.sent.allSatisfy { $0.masked == (role == .client) && $0.fin }, "\(how)")
                    #expect(connection.isFinished == (events.last?.hasPrefix("fail") == true || closes), "\(how)")
                }
            }
            checkReader(input, role)
        }
    }

    private var closes: Bool { events.last?.hasPrefix("close") == true }

    /// The fast path sees the same frames; it leaves text and the inside of close frames to others.
    private func checkReader(_ input: [UInt8], _ role: Role) {
        let deeper: [Violation] = [.invalidUTF8, .truncatedCloseCode, .invalidCloseCode, .invalidCloseReason]
        if let last = events.last, deeper.contains(where: { last == "fail:\($0.rawValue)" }) { return }
        let expected = events.map { $0.hasPrefix("close") ? "close" : $0 }
        for growing in [false, true] where !growing || input.count < 5000 {
            let reader = FrameReader(role: role, maximumFramePayload: frameLimit, maximumMessage: messageLimit)
            #expect(read(input, with: reader, growing: growing) == expected, "FrameReader, growing: \(growing)")
        }
    }
}

/// Reads all frames with a `FrameReader`; with `growing`, the buffer only ever grows by what the reader asks for.
func read(_ input: [UInt8], with reader: FrameReader, growing: Bool) -> [String] {
    var reader = reader
    var events: [String] = []
    var message: [UInt8] = []
    var bytes = input
    bytes.withUnsafeMutableBytes { buffer in
        var at = 0
        var end = growing ? 0 : buffer.count
        while true {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<end])
            func payload(_ range: Range<Int>) -> [UInt8] { Array(UnsafeRawBufferPointer(rebasing: part[range])) }
            switch reader.next(part) {
            case .needMore(let total):
                if total <= part.count { return events.append("needs less than it has") }
                if at + total > buffer.count { return }
                end = at + total
            case .message(let kind, let range, let consumed):
                events.append("\(kind):\(describe(payload(range)))")
                at += consumed
            case .fragment(let kind, let range, let isFirst, let isLast, let consumed):
                message = (isFirst ? [] : message) + payload(range)
                if isLast { events.append("\(kind):\(describe(message))") }
                at += consumed
            case .control(let opcode, let range, let consumed):
                if opcode == .close { return events.append("close") }
                events.append("\(opcode):\(describe(payload(range)))")
                at += consumed
            case .failed(let violation):
                return events.append("fail:\(violation.rawValue)")
            }
            if growing { end = max(end, at) }
        }
    }
    return events
}
