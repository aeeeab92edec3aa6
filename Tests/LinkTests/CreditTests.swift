import Link
import Testing

@Suite struct CreditTests {
    /// CREDIT frames sent on stream `id` since the last look.
    private func grants(_ harness: Harness, id: UInt64 = 1) throws -> [UInt64] {
        try harness.sent().filter { $0.type == .credit && $0.id == id }.map {
            $0.payload.reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// The peer sends `count` bytes and the application takes them at once, in steps of 1,024.
    private func transfer(_ harness: Harness, _ stream: StreamHandle, _ count: Int, consume: Bool = true) throws {
        var left = count
        while left > 0 {
            let size = min(left, 1_024)
            let event = harness.receive(.data, id: 1, [UInt8](repeating: 1, count: size))
            try #require(event == .data(stream, 8..<8 + size, finished: false))
            if consume { harness.session.consumed(stream, size) }
            left -= size
        }
    }

    @Test func creditComesBackInHalfWindows() throws {
        let harness = Harness(configure: { $0.maximumWindow = 16 << 10 })
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 7 << 10)
        #expect(try grants(harness).isEmpty)
        try transfer(harness, stream, 1 << 10)
        #expect(try grants(harness) == [24 << 10])
        try transfer(harness, stream, 16 << 10)
        #expect(try grants(harness) == [40 << 10], "what is not sent yet is coalesced")
        #expect(harness.budget.used == 16 << 10)
    }

    @Test func nothingComesBackBeforeTheApplicationTookIt() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 16 << 10, consume: false)
        #expect(try grants(harness).isEmpty)
        #expect(harness.session.unconsumed(of: stream) == 16 << 10)
        harness.session.consumed(stream, (8 << 10) - 1)
        #expect(try grants(harness).isEmpty)
        harness.session.consumed(stream, 1)
        #expect(try grants(harness) == [24 << 10])
    }

    @Test func windowsDoubleForAFastReaderUpToTheMaximum() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 8 << 10)
        #expect(try grants(harness) == [(8 + 32) << 10])
        #expect(harness.budget.used == 32 << 10)
        try transfer(harness, stream, 4 << 20)
        #expect(harness.budget.used == 1 << 20)
        harness.session.reset(stream, .cancelled)
        #expect(harness.budget.used == 0)
    }

    @Test func windowsStayForASlowReader() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        for _ in 0..<100 {
            harness.now += 50_000_000
            try transfer(harness, stream, 4 << 10)
            _ = try harness.sent()
        }
        #expect(harness.budget.used == 16 << 10)
    }

    @Test func windowsStayWhileMuchIsUnread() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 16 << 10, consume: false)
        harness.session.consumed(stream, 8 << 10)
        #expect(harness.budget.used == 16 << 10)
    }

    @Test func windowsGrowOnlyOutOfThreeQuartersOfTheBudget() throws {
        let harness = Harness(budget: 128 << 10)
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 1 << 20)
        #expect(harness.budget.used == 64 << 10, "128 KiB would be more than 96")
    }

    @Test func windowsShrinkWhileTheBudgetIsScarce() throws {
        let harness = Harness(budget: 1 << 20)
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 1 << 20)
        #expect(harness.budget.used == 512 << 10)
        #expect(harness.budget.reserve(500 << 10))
        try transfer(harness, stream, 1 << 20)
        #expect(harness.budget.used == (500 + 256) << 10, "shrunk until it was no longer scarce")
        #expect(harness.budget.reserve(268 << 10))
        try transfer(harness, stream, 4 << 20)
        harness.budget.release((500 + 268) << 10)
        #expect(harness.budget.used >= 16 << 10 && harness.budget.used <= 128 << 10)
        harness.session.reset(stream, .cancelled)
        #expect(harness.budget.used == 0)
    }

    @Test func dataBeyondTheGrantEndsTheLink() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 16 << 10, consume: false)
        #expect(harness.receive(.data, id: 1, [1]) == .violation(.creditExceeded))
        #expect(harness.session.currentState == .failed(.creditExceeded))
    }

    @Test func creditIsAbsoluteAndOnlyRises() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1, credit: 100)
        #expect(harness.session.credit(of: stream) == 100)
        #expect(harness.receive(.credit, id: 1, bigEndian(UInt64(101))) == .none)
        try harness.send(stream, 101)
        #expect(harness.session.sendRoom(stream, atMost: 1) == nil)
        #expect(harness.receive(.credit, id: 1, bigEndian(UInt64(151))) == .writable(stream))
        #expect(harness.session.credit(of: stream) == 50)
        #expect(harness.receive(.credit, id: 1, bigEndian(UInt64(151))) == .violation(.protocolError))
    }

    @Test func noCreditAfterTheEnd() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try transfer(harness, stream, 10 << 10, consume: false)
        #expect(harness.receive(.end, id: 1) == .finished(stream))
        #expect(harness.budget.used == 10 << 10)
        harness.session.consumed(stream, 9 << 10)
        #expect(try grants(harness).isEmpty)
    }

    @Test func budgetCountsAndRefuses() {
        let budget = ReceiveBudget(limit: 100)
        #expect(budget.reserve(60) && !budget.reserve(41) && budget.reserve(40))
        #expect(budget.used == 100 && budget.isScarce)
        budget.release(30)
        #expect(!budget.reserveGrowth(6) && budget.reserveGrowth(5) && budget.used == 75)
        #expect(!budget.isScarce)
        budget.release(75)
        #expect(budget.used == 0)
    }
}

@Suite struct SchedulerTests {
    private func streams(_ harness: Harness, _ count: Int, credit: UInt32 = 1 << 20) throws -> [StreamHandle] {
        try (0..<count).map { try harness.accepted(id: UInt64(2 * $0 + 1), credit: credit) }
    }

    @Test func aloneAFullFrameTogetherOneRecord() throws {
        let harness = Harness()
        let all = try streams(harness, 2)
        harness.session.markReadable(all[0])
        #expect(harness.session.nextReady() == ready(all[0], LinkFrame.maximumPayload))
        harness.session.markReadable(all[1])
        #expect(harness.session.nextReady()?.quantum == 16 << 10)
        harness.session.clearReadable(all[1])
        #expect(harness.session.nextReady()?.quantum == LinkFrame.maximumPayload)
        harness.session.clearReadable(all[0])
        #expect(harness.session.nextReady() == nil)
    }

    private func ready(_ stream: StreamHandle, _ quantum: Int) -> ReadyStream {
        ReadyStream(stream: stream, quantum: quantum)
    }

    @Test func everybodyHasTheSameTurn() throws {
        let harness = Harness()
        let all = try streams(harness, 3)
        for stream in all {
            harness.session.markReadable(stream)
            harness.session.markReadable(stream)
        }
        var order: [StreamHandle] = []
        for _ in 0..<9 {
            let next = try #require(harness.session.nextReady())
            order.append(next.stream)
            try harness.send(next.stream, 100)
        }
        #expect(order == all + all + all)
    }

    @Test func bulkHasFullFramesAlsoInCompany() throws {
        let harness = Harness()
        let all = try streams(harness, 2)
        all.forEach(harness.session.markReadable)
        // The first turn of each is one record, which both fill.
        for stream in all {
            #expect(harness.session.nextReady() == ready(stream, 16 << 10))
            try harness.send(stream, 16 << 10)
        }
        for stream in all {
            #expect(harness.session.nextReady() == ready(stream, LinkFrame.maximumPayload))
            try harness.send(stream, 16 << 10)
        }
        // Bulk that had nothing for a moment is still bulk.
        harness.session.clearReadable(all[0])
        harness.session.markReadable(all[0])
        #expect(harness.session.nextReady() == ready(all[1], LinkFrame.maximumPayload))
    }

    @Test func sparseStreamsGoBeforeBulk() throws {
        let harness = Harness()
        let all = try streams(harness, 3)
        for stream in all.prefix(2) {
            harness.session.markReadable(stream)
            #expect(harness.session.nextReady()?.stream == stream)
            try harness.send(stream, 16 << 10)
        }
        #expect(harness.session.nextReady()?.stream == all[0])
        harness.session.markReadable(all[2])
        #expect(harness.session.nextReady() == ready(all[2], 16 << 10))
        try harness.send(all[2], 10)
        #expect(harness.session.nextReady()?.stream == all[1])
        #expect(harness.session.nextReady()?.stream == all[0])
        #expect(harness.session.nextReady()?.stream == all[2])
        #expect(harness.session.nextReady()?.stream == all[1])
    }

    @Test func sparseStreamsDoNotStarveBulk() throws {
        let harness = Harness()
        let all = try streams(harness, 40)
        harness.session.markReadable(all[0])
        try harness.send(all[0], 16 << 10)
        harness.session.clearReadable(all[0])
        all.forEach(harness.session.markReadable)
        var turns: [Int] = []
        for turn in 0..<100 {
            let next = try #require(harness.session.nextReady()?.stream)
            if next == all[0] { turns.append(turn) } else { try harness.send(next, 10) }
            harness.session.clearReadable(next)
            harness.session.markReadable(next)
        }
        #expect(turns == [16, 33, 50, 67, 84])
    }

    @Test func withoutCreditNoTurn() throws {
        let harness = Harness()
        let all = try streams(harness, 2, credit: 100)
        all.forEach(harness.session.markReadable)
        #expect(harness.session.nextReady()?.quantum == 100)
        try harness.send(all[0], 100)
        #expect(harness.session.nextReady()?.stream == all[1])
        try harness.send(all[1], 60)
        #expect(harness.session.nextReady() == ready(all[1], 40))
        try harness.send(all[1], 40)
        #expect(harness.session.nextReady() == nil && harness.session.readyStreams == 0)
        #expect(harness.receive(.credit, id: 1, bigEndian(UInt64(130))) == .writable(all[0]))
        #expect(harness.session.nextReady() == ready(all[0], 30))
    }

    @Test func finishedStreamsHaveNoTurn() throws {
        let harness = Harness()
        let all = try streams(harness, 3)
        all.forEach(harness.session.markReadable)
        harness.session.finish(all[0])
        try harness.send(all[1], 5, finish: true)
        harness.session.reset(all[2], .cancelled)
        #expect(harness.session.nextReady() == nil)
        harness.session.markReadable(all[0])
        #expect(harness.session.nextReady() == nil && harness.session.sendRoom(all[0], atMost: 1) == nil)
    }

    @Test func thePeersFrameLimitHolds() throws {
        let harness = Harness(peer: { $0.maximumPayload = 5_000 })
        let stream = try harness.accepted(id: 1, credit: 1 << 20)
        harness.session.markReadable(stream)
        #expect(harness.session.nextReady()?.quantum == 5_000)
        #expect(harness.session.sendRoom(stream, atMost: 60_000)?.count == 5_000)
        harness.session.commit(stream, 0)
    }

    @Test func theRetentionLimitStopsEverybodyUntilAcknowledged() throws {
        let harness = Harness(configure: { $0.retentionLimit = 100_000 })
        let all = try streams(harness, 2)
        all.forEach(harness.session.markReadable)
        try harness.send(all[0], 120_000)
        _ = try harness.sent()
        #expect(harness.session.nextReady() == nil && harness.session.sendRoom(all[1], atMost: 1) == nil)
        #expect(throws: SessionError.congested) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        #expect(harness.receive(.ack, bigEndian(harness.session.sentFrames)) == .none)
        #expect(harness.session.nextReady() != nil && harness.session.retainedBytes == 0)
    }

    @Test func zeroBytesGiveTheRoomBack() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        #expect(harness.receive(.ack, bigEndian(harness.session.sentFrames)) == .none)
        #expect(harness.session.sendRoom(stream, atMost: 100) != nil)
        harness.session.commit(stream, 0)
        #expect(harness.session.unsentBytes == 0 && harness.pool.segmentsInUse == 0)
        #expect(harness.session.sendRoom(stream, atMost: 100) != nil)
        harness.session.commit(stream, 0, finish: true)
        #expect(try harness.sent().map(\.type) == [.end])
    }
}
