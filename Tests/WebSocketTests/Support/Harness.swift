import SeededRandom
import WebSocket

/// How input is cut on its way to the connection.
enum Chunking: CustomStringConvertible {
    case whole
    case bytes(Int)
    case random(UInt64)

    static let usual: [Chunking] = [.whole, .bytes(1), .bytes(2), .bytes(7), .random(1), .random(2)]

    func lengths(of count: Int) -> [Int] {
        var lengths: [Int] = []
        var rest = count
        var random = SeededRandom(0)
        if case .random(let seed) = self { random = SeededRandom(seed) }
        while rest > 0 {
            let length: Int
            switch self {
            case .whole: length = rest
            case .bytes(let size): length = min(size, rest)
            case .random: length = Int.random(in: 1...min(rest, rest > 4096 ? 65536 : 16), using: &random)
            }
            lengths.append(min(length, rest))
            rest -= min(length, rest)
        }
        return lengths
    }

    var description: String {
        switch self {
        case .whole: "whole"
        case .bytes(let size): "\(size) at a time"
        case .random(let seed): "random \(seed)"
        }
    }
}

/// Everything that happened to a connection that was fed some bytes.
struct Transcript: Equatable {
    /// "text:…", "binary:…", "ping:…", "pong:…", "close:1000:reason", "fail:reserved_bit"
    var events: [String] = []
    /// Frames that the connection sent of itself.
    var sent: [SentFrame] = []
    var finalState = ""
    /// How many input bytes had been given when the connection failed.
    var failedAt: Int?

    var sentSummaries: [String] { sent.map(\.summary) }
}

/// A key source for tests: every key differs, none is zero.
func testKeys() -> () -> UInt32 {
    var random = SeededRandom(77)
    return { UInt32(truncatingIfNeeded: random.next()) | 1 }
}

func makeConnection(_ role: Role, _ options: Connection.Options = .init()) -> Connection {
    switch role {
    case .server: Connection(server: options)
    case .client: Connection(client: options, maskKeys: testKeys())
    }
}

/// Feeds `input` to `connection` and notes what happens, taking the output after each piece.
func play(
    _ input: [UInt8], into connection: inout Connection, chunking: Chunking, takingOutput: Bool = true
) -> Transcript {
    var transcript = Transcript()
    var output: [UInt8] = []
    var message: [UInt8]?
    var bytes = input
    bytes.withUnsafeMutableBytes { buffer in
        var at = 0
        for length in chunking.lengths(of: buffer.count) {
            let end = at + length
            while at < end {
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<end])
                let step = connection.receive(part)
                if case .failed = step.event { transcript.failedAt = end }
                note(step.event, in: part, &transcript, &message)
                at += step.consumed
                if step.consumed == 0, step.event == .needMore {
                    transcript.events.append("stuck")
                    return
                }
            }
            if takingOutput { output += drain(&connection) }
        }
    }
    output += drain(&connection)
    if let frames = SentFrame.all(in: output) {
        transcript.sent = frames
    } else {
        transcript.events.append("the output is not a sequence of frames")
    }
    transcript.finalState = "\(connection.state)"
    return transcript
}

private func note(
    _ event: Connection.Event, in buffer: UnsafeMutableRawBufferPointer, _ transcript: inout Transcript,
    _ message: inout [UInt8]?
) {
    switch event {
    case .needMore:
        break
    case .message(let kind, let bytes):
        transcript.events.append("\(kind):\(describe(bytes))")
    case .piece(let piece):
        if piece.isFirst != (message == nil) { transcript.events.append("wrong isFirst") }
        if piece.range.isEmpty, !piece.isLast { transcript.events.append("empty piece") }
        if message == nil { message = [] }
        message?.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[piece.range]))
        guard piece.isLast, let whole = message else { return }
        transcript.events.append("\(piece.kind):\(describe(whole))")
        message = nil
    case .ping(let bytes): transcript.events.append("ping:\(describe(bytes))")
    case .pong(let bytes): transcript.events.append("pong:\(describe(bytes))")
    case .close(let close):
        let code = close.code.map { "\($0)" } ?? ""
        transcript.events.append("close:\(code):\(close.reason)")
    case .failed(let violation): transcript.events.append("fail:\(violation.rawValue)")
    }
}

/// Takes all output, in two halves to exercise partial writes.
func drain(_ connection: inout Connection) -> [UInt8] {
    var output: [UInt8] = []
    while connection.pendingOutput > 0 {
        connection.withOutput { bytes in
            let taken = max(1, bytes.count / 2)
            output += bytes[..<taken]
            return taken
        }
    }
    return output
}

extension Connection {
    /// `sendFragment` for arrays.
    mutating func sendFragment(
        _ kind: MessageKind, _ bytes: [UInt8], isLast: Bool, isCompressed: Bool = false
    ) throws(SendError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try sendFragment(kind, UnsafeRawBufferPointer(copy), isLast: isLast, isCompressed: isCompressed)
    }
}
