import Link
import Testing

/// How two ends agree on the number of their lanes, and which one a stream takes.
@Suite struct LaneTests {
    @Test func helloSaysHowManyLanes() {
        var hello = Harness.hello()
        #expect(hello.lanes == nil)
        hello.lanes = 4
        #expect(hello.extensions == [FrameExtension(type: 4, value: [4])])
        #expect(hello.lanes == 4)
        hello.lanes = 0
        #expect(hello.lanes == 1)
        hello.lanes = 99
        #expect(hello.lanes == 16)
        hello.lanes = nil
        #expect(hello.extensions.isEmpty)
    }

    @Test(arguments: [[], [0], [17], [255], [0, 4]] as [[UInt8]])
    func aNumberThatMakesNoSenseCountsAsNone(_ value: [UInt8]) {
        let hello = Harness.hello { $0.extensions = [FrameExtension(type: 4, value: value)] }
        #expect(hello.lanes == nil)
    }

    @Test func anAnswerIsForTheLaneThatWasAskedFor() throws {
        let (_, frame) = LinkHandshake.dial(Harness.hello { $0.lane = 3 })
        var acceptor = LinkHandshake.accept()
        guard case .decide(let hello) = frame.withUnsafeBytes({ acceptor.received($0) }) else {
            throw Broken(description: "no HELLO")
        }
        #expect(hello.lane == 3)
        let answer = acceptor.answer(Harness.hello())
        let lane = try answer[LinkFrame.headerSize...].withUnsafeBytes { try Hello(payload: $0).lane }
        #expect(lane == 3)
    }

    @Test func theNumberCanChange() throws {
        let harness = Harness()
        harness.session.announceLanes(7)
        #expect(try harness.sent().filter { $0.type == .lanes } == [SeenFrame(.lanes, payload: [7])])
        #expect(harness.receive(.lanes, [2]) == .lanes(2))
        #expect(harness.session.currentState == .open)
    }

    @Test(arguments: [[], [0], [17], [1, 2]] as [[UInt8]])
    func aNumberThatCannotBeIsAViolation(_ payload: [UInt8]) {
        #expect(Harness().receive(.lanes, payload) == .violation(.protocolError))
    }

    @Test func changesWithoutEndAreAFlood() {
        let harness = Harness()
        let events = (0..<100).map { _ in harness.receive(.lanes, [2]) }
        #expect(events.first == .lanes(2))
        #expect(events.contains(.violation(.flood)))
    }

    @Test func bulkIsSeenInBothDirections() throws {
        let bulk = SessionConfiguration().sharedQuantum
        for isSent in [true, false] {
            let harness = Harness()
            let stream = try harness.accepted(id: 1, credit: 1 << 20)
            func move(_ count: Int) throws {
                if isSent {
                    try harness.send(stream, count)
                } else {
                    let event = harness.receive(.data, id: 1, [UInt8](repeating: 1, count: count))
                    #expect(event == .data(stream, 8..<8 + count, finished: false))
                    harness.session.consumed(stream, count)
                    _ = try harness.sent()
                }
            }
            try move(bulk / 2)
            #expect(harness.session.lastBulk == 0)
            try move(bulk / 2)
            #expect(harness.session.lastBulk == 0)
            try move(bulk)
            #expect(harness.session.lastBulk == harness.now)
        }
    }

    /// Number, whether it is here, whether it carries bulk, streams; and the number of the lane that is taken.
    @Test(
        arguments: [
            ([], nil),
            ([(0, true, false, 3)], 0),
            // The fewest streams; of equals the one that is here, then the lowest number.
            ([(0, true, false, 3), (1, false, false, 2)], 1),
            ([(0, false, false, 2), (1, true, false, 2)], 1),
            ([(1, false, false, 2), (0, false, false, 2)], 0),
            // Bulk is avoided, wherever the other lane is, until that has many streams more.
            ([(0, true, true, 1), (1, false, false, 4)], 1), ([(0, true, true, 1), (1, false, false, 5)], 0),
            ([(0, true, true, 1), (1, false, false, 6)], 0), ([(0, true, true, 2), (1, false, true, 1)], 1),
        ] as [([(UInt8, Bool, Bool, Int)], UInt8?)])
    func theLaneOfANewStream(_ lanes: [(UInt8, Bool, Bool, Int)], _ expected: UInt8?) {
        let candidates = lanes.map {
            LaneChoice.Candidate(number: $0.0, isHere: $0.1, isBulk: $0.2, streams: $0.3)
        }
        #expect(LaneChoice.best(candidates)?.number == expected)
    }
}
