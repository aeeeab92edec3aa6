import Testing
import WebSocket

/// Messages up to 16 MiB from one end to the other, cut in many ways.
@Suite struct LargeMessageTests {
    /// A client or server that sends `message` in frames of `frameSize`, fed to the other end.
    private func transfer(
        _ message: [UInt8], as kind: MessageKind, from sender: Role, frameSize: Int, chunking: Chunking,
        delivery: Connection.Delivery = .whole
    ) throws {
        var source = makeConnection(sender)
        var sink = makeConnection(sender == .client ? .server : .client, .init(delivery: delivery))
        var at = 0
        repeat {
            let end = min(at + frameSize, message.count)
            try source.sendFragment(kind, Array(message[at..<end]), isLast: end == message.count)
            at = end
        } while at < message.count
        var wire: [UInt8] = []
        source.withOutput { bytes in
            wire = Array(bytes)
            return bytes.count
        }
        let transcript = play(wire, into: &sink, chunking: chunking)
        #expect(transcript.events == ["\(kind):\(describe(message))"])
    }

    static let megabytes16: [UInt8] = {
        let block = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        return [[UInt8]](repeating: block, count: 4096).reduce(into: []) { $0 += $1 }
    }()

    /// Two, three and four byte characters that lie across every boundary.
    static let text: [UInt8] = {
        let block = Array("plain ASCII of some length, äöü €uro 🚀 你好; ".utf8)
        var text: [UInt8] = []
        while text.count < 4 << 20 { text += block }
        return text
    }()

    @Test(arguments: [Role.client, .server], [Chunking.whole, .bytes(65536), .random(9)])
    func sixteenMebibytesInOneFrame(_ sender: Role, _ chunking: Chunking) throws {
        try transfer(Self.megabytes16, as: .binary, from: sender, frameSize: 16 << 20, chunking: chunking)
    }

    @Test(arguments: [Connection.Delivery.whole, .streamed], [997, 65536, 1 << 20])
    func sixteenMebibytesInFragments(_ delivery: Connection.Delivery, _ frameSize: Int) throws {
        try transfer(
            Self.megabytes16, as: .binary, from: .client, frameSize: frameSize, chunking: .random(4), delivery: delivery
        )
    }

    @Test(arguments: [Connection.Delivery.whole, .streamed], [1000, 65537, 4 << 20])
    func fourMebibytesOfText(_ delivery: Connection.Delivery, _ frameSize: Int) throws {
        try transfer(
            Self.text, as: .text, from: .client, frameSize: frameSize, chunking: .random(5), delivery: delivery)
    }

    @Test func byteByByte() throws {
        try transfer(
            Array(Self.megabytes16[..<40_000]), as: .binary, from: .client, frameSize: 40_000, chunking: .bytes(1))
    }

    @Test func oneByteTooMany() {
        var server = makeConnection(.server)
        let frame = TestFrame(opcode: 2, payload: [], lengthForm: .eight, claims: 16 << 20 + 1)
        let transcript = play(frame.encoded(masked: true), into: &server, chunking: .whole)
        #expect(transcript.events == ["fail:frame_too_large"])
        #expect(transcript.sentSummaries == ["close:1009"])
    }
}
