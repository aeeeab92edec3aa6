import CAllocations
import Testing
import WebSocket

/// What this end sends, its closing handshake, and its memory.
@Suite struct ConnectionTests {
    private func sent(_ connection: inout Connection) throws -> [SentFrame] {
        try #require(SentFrame.all(in: drain(&connection)))
    }

    private func feed(_ frames: TestFrame..., to connection: inout Connection) -> Transcript {
        let masked = connection.role == .server
        return play(frames.flatMap { $0.encoded(masked: masked) }, into: &connection, chunking: .whole)
    }

    private func expect(
        _ error: Connection.SendError, _ body: () throws(Connection.SendError) -> Void,
        at location: SourceLocation = #_sourceLocation
    ) {
        do throws(Connection.SendError) {
            try body()
            Issue.record("nothing was thrown", sourceLocation: location)
        } catch let thrown {
            #expect(thrown == error, sourceLocation: location)
        }
    }

    // MARK: - Messages

    @Test(arguments: [Role.server, .client]) func sendsMessages(_ role: Role) throws {
        var connection = makeConnection(role)
        try connection.send(text: "héllo")
        try connection.send(binary: [1, 2, 3])
        try connection.send(text: "")
        try connection.ping([9])
        try connection.pong()
        let frames = try sent(&connection)
        #expect(frames.map(\.summary) == ["text:0x68c3a96c6c6f", "binary:0x010203", "text:", "ping:0x09", "pong:"])
        #expect(frames.allSatisfy { $0.masked == (role == .client) && $0.fin && $0.rsv == 0 })
        #expect(connection.pendingOutput == 0)
    }

    @Test func takesAKeyForEachFrame() throws {
        var keys: [UInt32] = [0x0403_0201, 0x1413_1211, 0x2423_2221]
        let connection = Connection(client: .init(), maskKeys: { keys.removeFirst() })
        var client = connection
        try client.send(text: "a")
        try client.ping()
        try client.close()
        #expect(try sent(&client).map(\.key) == [[1, 2, 3, 4], [0x11, 0x12, 0x13, 0x14], [0x21, 0x22, 0x23, 0x24]])
    }

    @Test func sendsFragments() throws {
        var connection = makeConnection(.server)
        let text = Array("añb".utf8)
        try connection.sendFragment(.text, Array(text[..<2]), isLast: false)
        try connection.ping()
        expect(.messageUnderWay) { () throws(Connection.SendError) in try connection.send(text: "x") }
        expect(.messageUnderWay) { () throws(Connection.SendError) in try connection.send(binary: []) }
        expect(.messageUnderWay) { () throws(Connection.SendError) in
            try connection.sendFragment(.binary, [], isLast: true)
        }
        expect(.invalidUTF8) { () throws(Connection.SendError) in
            try connection.sendFragment(.text, [], isLast: true)
        }
        try connection.sendFragment(.text, Array(text[2...]), isLast: true)
        try connection.send(binary: [1])
        let frames = try sent(&connection)
        #expect(frames.map(\.opcode) == [1, 9, 0, 2])
        #expect(frames.map(\.fin) == [false, true, true, true])
        #expect(frames[0].payload + frames[2].payload == text)
    }

    @Test func refusesToSendWhatIsWrong() throws {
        var connection = makeConnection(.server)
        for sample in UTF8Sample.all where sample.failsAt != nil {
            sample.bytes.withUnsafeBytes { bytes in
                expect(.invalidUTF8) { () throws(Connection.SendError) in try connection.send(.text, bytes) }
            }
        }
        let long = [UInt8](repeating: 0, count: 126)
        expect(.controlTooLong) { () throws(Connection.SendError) in try connection.ping(long) }
        expect(.controlTooLong) { () throws(Connection.SendError) in try connection.pong(long) }
        #expect(connection.pendingOutput == 0)
        try connection.close()
        let queued = connection.pendingOutput
        expect(.closed) { () throws(Connection.SendError) in try connection.close() }
        expect(.closed) { () throws(Connection.SendError) in try connection.send(text: "") }
        expect(.closed) { () throws(Connection.SendError) in try connection.send(binary: []) }
        expect(.closed) { () throws(Connection.SendError) in try connection.ping() }
        expect(.closed) { () throws(Connection.SendError) in
            try connection.sendFragment(.text, [], isLast: true)
        }
        #expect(connection.pendingOutput == queued)
    }

    @Test func passesCompressedMessagesOn() throws {
        var connection = makeConnection(.server, .init(delivery: .streamed(compressed: true)))
        // What permessage-deflate makes is not UTF-8, and RSV1 is on the first frame only.
        let first = TestFrame(fin: false, rsv: 4, opcode: 1, payload: [0xFF, 0xFE])
        var bytes = first.encoded(masked: true)
        let step = bytes.withUnsafeMutableBytes { connection.receive($0) }
        guard case .piece(let piece) = step.event else {
            Issue.record("\(step.event)")
            return
        }
        #expect(piece.isCompressed && piece.isFirst && !piece.isLast && piece.kind == .text)
        #expect(feed(.last([0xFF]), .text([0xFF]), to: &connection).events.last == "fail:invalid_utf8")

        for wrong in [TestFrame(rsv: 4, opcode: 9), TestFrame(rsv: 2, opcode: 1), TestFrame(rsv: 5, opcode: 2)] {
            var other = makeConnection(.server, .init(delivery: .streamed(compressed: true)))
            #expect(feed(wrong, to: &other).events == ["fail:reserved_bit"])
        }
        var third = makeConnection(.server, .init(delivery: .streamed(compressed: true)))
        #expect(feed(first, TestFrame(rsv: 4, opcode: 0), to: &third).events.last == "fail:reserved_bit")

        var sender = makeConnection(.server)
        try sender.sendFragment(.text, [0xFF], isLast: false, isCompressed: true)
        try sender.sendFragment(.text, [0xFF], isLast: true, isCompressed: true)
        #expect(try sent(&sender).map(\.rsv) == [4, 0])
    }

    @Test func emptyInputIsNothing() {
        let nothing = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        var connection = makeConnection(.server)
        #expect(connection.receive(nothing).event == .needMore)
        var reader = FrameReader(role: .server, maximumFramePayload: 10)
        #expect(reader.next(nothing) == .needMore(total: 2))
    }

    // MARK: - Pings

    @Test func leavesPingsToTheCaller() throws {
        var connection = makeConnection(.server, .init(answersPings: false))
        #expect(feed(.ping("p"), to: &connection) == Transcript(events: ["ping:p"], finalState: "open"))
    }

    @Test func aFloodOfPingsDoesNotFillMemory() throws {
        var connection = makeConnection(.server)
        let payload = [UInt8](repeating: 0x70, count: 120)
        for round in 0..<5000 {
            var bytes = TestFrame.ping(payload + [UInt8(round / 250), UInt8(round % 250)]).encoded(masked: true)
            _ = bytes.withUnsafeMutableBytes { connection.receive($0) }
        }
        #expect(connection.pendingOutput < 80_000)
        let frames = try sent(&connection)
        #expect(frames.last?.payload == payload + [19, 249], "the latest ping is answered")
        #expect(frames.count < 600)
        #expect(connection.pendingOutput == 0)
    }

    // MARK: - Closing

    @Test(arguments: [Role.server, .client]) func closesFirst(_ role: Role) throws {
        var connection = makeConnection(role)
        try connection.send(text: "last words")
        try connection.close(ClosePayload(.goingAway, reason: "restart"))
        #expect(connection.state == .closing)
        #expect(connection.isFinished == false)
        // Messages on their way are still delivered, pings are not answered.
        let before = feed(.text("late"), .ping("p"), to: &connection)
        #expect(before.events == ["text:late", "ping:p"])
        #expect(before.sentSummaries == ["text:last words", "close:1001"])
        #expect(before.sent.last?.payload == [3, 0xE9] + Array("restart".utf8))
        let after = feed(.close(1001), .text("ignored"), to: &connection)
        #expect(after.events == ["close:1001:"])
        #expect(after.sent.isEmpty)
        #expect(connection.state == .closed)
        #expect(connection.isFinished == true)
        #expect(connection.closeCode == .goingAway)
    }

    @Test func violationsAfterOurCloseSendNothing() throws {
        var connection = makeConnection(.server)
        try connection.close()
        _ = drain(&connection)
        let transcript = feed(TestFrame(opcode: 3), to: &connection)
        #expect(transcript.events == ["fail:reserved_opcode"])
        #expect(transcript.sent.isEmpty)
        #expect(connection.state == .failed(.reservedOpcode))
    }

    @Test func tellsHowItEnded() throws {
        var connection = makeConnection(.server)
        #expect(connection.closeCode == .abnormal)
        _ = feed(.close(), to: &connection)
        #expect(connection.closeCode == .noStatus)
        var other = makeConnection(.server)
        _ = feed(.close(4403, "no"), to: &other)
        #expect(other.closeCode == .forbidden)
        var failed = makeConnection(.server)
        let transcript = feed(.text([0xFF]), to: &failed)
        #expect(transcript.sent.map(\.payload) == [[3, 0xEF] + Array(Violation.invalidUTF8.description.utf8)])
        #expect(failed.closeCode == .abnormal)
    }

    @Test func reasonsAreCutBetweenCharacters() {
        let long = String(repeating: "é", count: 100)
        let payload = ClosePayload(.normal, reason: long)
        #expect(payload.bytes.count == 124)
        #expect(payload.reason == String(repeating: "é", count: 61))
        #expect(ClosePayload(.normal, reason: String(repeating: "x", count: 123)).reason.utf8.count == 123)
        #expect(ClosePayload(.normal, reason: String(repeating: "x", count: 124)).reason.utf8.count == 123)
        let family = ClosePayload(.normal, reason: String(repeating: "x", count: 121) + "👩‍👧")
        #expect(family.reason.utf8.count == 121)
        #expect(ClosePayload.empty.bytes.isEmpty)
        #expect(ClosePayload(.unauthenticated).bytes == [0x11, 0x31])
    }

    // MARK: - Memory

    @Test func anIdleConnectionHoldsNoMemory() throws {
        let before = callocations_count()
        var connection = Connection(server: .init())
        #expect(callocations_count() - before <= 1, "a new connection allocates nothing but its closure")
        #expect(MemoryLayout<Connection>.size <= 512)
        try connection.send(binary: .init(repeating: 1, count: 100_000))
        _ = feed(.text("abc"), to: &connection)
        _ = drain(&connection)
        connection.releaseIdleMemory()
    }

    /// Streamed data passes through without an allocation, however it is cut.
    @Test func streamingDoesNotAllocate() {
        var connection = Connection(server: .init(delivery: .streamed))
        let frame = TestFrame.binary(.init(repeating: 5, count: 1000)).encoded(masked: true)
        var input = frame
        func feed(_ buffer: UnsafeMutableRawBufferPointer, from start: Int, to end: Int) -> Int {
            var (at, got) = (start, 0)
            while at < end {
                let step = connection.receive(UnsafeMutableRawBufferPointer(rebasing: buffer[at..<end]))
                if case .piece(let piece) = step.event { got += piece.range.count }
                at += step.consumed
            }
            return got
        }
        func round() -> Bool {
            frame.withUnsafeBytes { source in input.withUnsafeMutableBytes { $0.copyMemory(from: source) } }
            return input.withUnsafeMutableBytes { buffer in
                feed(buffer, from: 0, to: 3) + feed(buffer, from: 3, to: 500) + feed(buffer, from: 500, to: 1008)
                    == 1000
            }
        }
        var good = round()
        let before = callocations_count()
        for _ in 0..<50 { good = round() && good }
        #expect(callocations_count() == before)
        #expect(good)
    }

    /// A header's promise costs nothing: memory grows with what arrives.
    @Test func promisesCostNothing() {
        for delivery in [Connection.Delivery.whole, .streamed] {
            var connection = makeConnection(
                .server, .init(maximumFramePayload: .max, maximumMessage: .max, delivery: delivery))
            let frame = TestFrame(opcode: 2, payload: [1], lengthForm: .eight, claims: 1 << 62)
            var bytes = frame.encoded(masked: true)
            let step = bytes.withUnsafeMutableBytes { connection.receive($0) }
            #expect(step.consumed == bytes.count)
            #expect(connection.isFinished == false)
        }
    }
}
