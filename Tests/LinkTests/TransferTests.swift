import Bytes
import Link
import Testing

/// What the two sessions of a stream that changes its lane may and may not do; the whole way is simulated in `LaneSimulation`.
@Suite struct TransferTests {
    private let request = TransferRequest(lane: 3, stream: 0x0102_0304_0506, session: 0x1112_1314_1516_1718)

    private func harness(_ name: UInt64 = 5, beside other: Harness? = nil) -> Harness {
        let harness = Harness(sharing: other?.budget, peer: { $0.takesTransfers = true })
        harness.session.name = name
        return harness
    }

    /// A stream that this end opened and the peer took.
    private func own(_ harness: Harness) throws -> StreamHandle {
        let stream = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        let id = try #require(harness.session.id(of: stream))
        #expect(harness.receive(.accept, id: id, bigEndian(UInt64(1 << 16))) == .accepted(stream))
        _ = try harness.sent()
        return stream
    }

    private func isViolation(_ event: SessionEvent) -> Bool {
        if case .violation = event { true } else { false }
    }

    private func answer(
        received: UInt64 = 0, isFinished: Bool = false, credit: UInt64 = 1 << 16, from: UInt64 = 0
    ) -> TransferAnswer {
        TransferAnswer(received: received, isFinished: isFinished, credit: credit, from: from)
    }

    // MARK: Payloads

    @Test func payloadsByteForByte() throws {
        #expect(request.payload == [3, 1, 2, 3, 4, 5, 6, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18])
        #expect(try request.payload.withUnsafeBytes { try TransferRequest(payload: $0) } == request)
        let answer = TransferAnswer(received: 1, isFinished: true, credit: 2, from: 3)
        #expect(answer.payload == [1] + bigEndian(UInt64(1)) + bigEndian(UInt64(2)) + bigEndian(UInt64(3)))
        #expect(try answer.payload.withUnsafeBytes { try TransferAnswer(payload: $0) } == answer)
    }

    @Test(
        arguments: [
            [], [UInt8](repeating: 1, count: 14), [UInt8](repeating: 1, count: 16),
            // Lane 16; stream 0.
            [16] + [UInt8](repeating: 1, count: 14), [1] + [UInt8](repeating: 0, count: 6) + bigEndian(UInt64(1)),
        ])
    func badRequestsAreViolations(_ payload: [UInt8]) {
        #expect(isViolation(harness().receive(.transfer, id: 1, payload)))
    }

    @Test(
        arguments: [
            [], [UInt8](repeating: 0, count: 24), [UInt8](repeating: 0, count: 26),
            // Flag 2; received beyond the credit; beyond any offset.
            [2] + [UInt8](repeating: 0, count: 24),
            [0] + bigEndian(UInt64(9)) + bigEndian(UInt64(8)) + bigEndian(UInt64(0)),
            [0] + bigEndian(UInt64(0)) + bigEndian(UInt64(1 << 62)) + bigEndian(UInt64(0)),
            [0] + bigEndian(UInt64(0)) + bigEndian(UInt64(8)) + bigEndian(UInt64(1 << 62)),
        ])
    func badAnswersAreViolations(_ payload: [UInt8]) throws {
        let harness = harness()
        _ = try harness.session.transfer(request, now: harness.now)
        #expect(isViolation(harness.receive(.taken, id: 2, payload)))
    }

    @Test func helloSaysThatTransfersAreTaken() {
        var hello = Harness.hello()
        #expect(!hello.takesTransfers)
        hello.takesTransfers = true
        #expect(hello.extensions == [FrameExtension(type: 6, value: [])] && hello.takesTransfers)
        hello.takesTransfers = false
        #expect(hello.extensions.isEmpty)
        hello.extensions = [FrameExtension(type: 6, value: [1])]
        #expect(!hello.takesTransfers)
    }

    // MARK: Whom it concerns

    @Test func anOldPeerIsNeverAsked() {
        let harness = Harness()
        harness.session.name = 5
        #expect(throws: SessionError.badRequest) { try harness.session.transfer(request, now: harness.now) }
    }

    @Test func onlyOwnAcceptedStreamsLeave() throws {
        let harness = harness()
        let theirs = try harness.accepted(id: 1)
        #expect(harness.session.leave(theirs, lane: 0) == nil)
        let opening = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        #expect(harness.session.leave(opening, lane: 0) == nil)
        let stream = try own(harness)
        #expect(harness.session.leave(stream, lane: 2) == TransferRequest(lane: 2, stream: 4, session: 5))
        #expect(harness.session.leave(stream, lane: 2) == nil)
        harness.session.stay(stream)
        #expect(harness.session.leave(stream, lane: 2) != nil)
        // A session without a name keeps its streams.
        let nameless = self.harness(0)
        #expect(nameless.session.leave(try own(nameless), lane: 0) == nil)
    }

    @Test func onlyThePeersAcceptedStreamsAreGiven() throws {
        let harness = harness()
        let own = try own(harness)
        func give(_ id: UInt64, _ name: UInt64 = 5) -> StreamHandle? {
            harness.session.givable(TransferRequest(lane: 0, stream: id, session: name))
        }
        #expect(give(try #require(harness.session.id(of: own))) == nil)
        _ = try harness.offer(id: 1)
        #expect(give(1) == nil)
        let stream = try harness.accepted(id: 3)
        #expect(give(3) == stream)
        // Another session's stream of the same id.
        #expect(give(3, 6) == nil)
        #expect(give(7) == nil)
    }

    // MARK: The way

    @Test func aStreamThatLeavesSendsNothing() throws {
        let harness = harness()
        let stream = try own(harness)
        harness.session.markReadable(stream)
        #expect(harness.session.nextReady()?.stream == stream)
        _ = harness.session.leave(stream, lane: 0)
        #expect(harness.session.nextReady() == nil)
        #expect(harness.session.sendRoom(stream, atMost: 10) == nil)
        // What comes is taken.
        #expect(harness.receive(.data, id: 2, [1, 2]) == .data(stream, 8..<10, finished: false))
        harness.session.stay(stream)
        #expect(harness.session.nextReady()?.stream == stream)
    }

    @Test func whatThePeerLacksIsSentAgain() throws {
        let old = harness()
        let new = harness(6, beside: old)
        let stream = try own(old)
        try old.send(stream, 100)
        let request = try #require(old.session.leave(stream, lane: 0))
        let there = try new.session.transfer(request, now: new.now)
        #expect(try new.sent().contains(SeenFrame(.transfer, id: 2, payload: request.payload)))
        // The peer acknowledges frames on the old lane that it ignored.
        #expect(old.receive(.ack, bigEndian(UInt64(2))) == .none)
        #expect(new.receive(.taken, id: 2, answer(received: 40).payload) == .taken(there))
        let taken = try #require(new.session.lastAnswer)
        let detached = try old.session.depart(stream, taken)
        #expect(!old.session.isLive(stream) && old.receive(.data, id: 2, [1]) == .none)
        #expect(try new.session.adopt(there, detached, taken) == 0)
        let frames = try new.sent()
        let again = (40..<100).map { UInt8($0) }
        #expect(frames.contains(SeenFrame(.data, id: 2, payload: again)))
        // The limit that was granted is said again.
        #expect(frames.contains { $0.type == .credit && $0.id == 2 })
    }

    @Test func whatComesOnBothLanesCountsOnce() throws {
        let old = harness()
        let new = harness(6, beside: old)
        let stream = try own(old)
        let there = try new.session.transfer(try #require(old.session.leave(stream, lane: 0)), now: new.now)
        #expect(old.receive(.data, id: 2, [1, 2, 3]) == .data(stream, 8..<11, finished: false))
        #expect(old.receive(.end, id: 2) == .finished(stream))
        _ = new.receive(.taken, id: 2, answer(from: 0).payload)
        #expect(new.receive(.data, id: 2, [1, 2]) == .data(there, 8..<10, finished: false))
        let taken = try #require(new.session.lastAnswer)
        #expect(try new.session.adopt(there, old.session.depart(stream, taken), taken) == 0)
        #expect(new.receive(.data, flags: .finish, id: 2, [3]) == .none)
        #expect(isViolation(new.receive(.end, id: 2)))
    }

    @Test func theAcceptorSaysWhereItGoesOn() throws {
        let old = harness()
        let new = harness(6, beside: old)
        let stream = try old.accepted(id: 1)
        try old.send(stream, 50)
        _ = try old.sent()
        let request = TransferRequest(lane: 0, stream: 1, session: 5)
        #expect(old.receive(.data, id: 1, [9]) == .data(stream, 8..<9, finished: false))
        guard case .transferOffered(let there) = new.receive(.transfer, id: 7, request.payload) else {
            throw Broken(description: "no offer")
        }
        #expect(new.session.lastTransfer == request)
        let given = try #require(old.session.give(request))
        #expect(given.stream == stream)
        #expect(try new.session.adopt(there, given.detached) == 0)
        let frames = try new.sent()
        #expect(frames.first { $0.type == .taken }?.payload == answer(received: 1, credit: 16 << 10, from: 0).payload)
        #expect(frames.contains { $0.type == .data && $0.payload.count == 50 })
        // It is over on the old lane.
        #expect(old.receive(.data, id: 1, [10]) == .none)
        #expect(new.receive(.data, id: 7, [10]) == .data(there, 8..<9, finished: false))
    }

    @Test func claimsThatCannotBeAreRefused() throws {
        for claim in [
            answer(received: 11), answer(isFinished: true), answer(credit: 10), answer(received: 10, from: 1),
        ] {
            let harness = harness()
            let stream = try own(harness)
            try harness.send(stream, 10)
            _ = harness.session.leave(stream, lane: 0)
            #expect(throws: TransferError.impossible) { try harness.session.depart(stream, claim) }
        }
        let harness = harness()
        #expect(throws: TransferError.notMovable) { try harness.session.depart(try own(harness), answer()) }
    }

    // MARK: Order

    @Test func nothingComesBeforeTAKEN() throws {
        let opener = harness()
        _ = try opener.session.transfer(request, now: opener.now)
        #expect(isViolation(opener.receive(.data, id: 2, [1])))
        let other = harness()
        _ = try other.session.transfer(request, now: other.now)
        #expect(isViolation(other.receive(.accept, id: 2, bigEndian(UInt64(100)))))
        for type in [FrameType.data, .end] {
            let acceptor = harness()
            _ = acceptor.receive(.transfer, id: 1, request.payload)
            #expect(isViolation(acceptor.receive(type, id: 1, type == .data ? [1] : [])))
        }
    }

    @Test func takenOnceAndOnlyWhereItWasAskedFor() throws {
        let harness = harness()
        _ = try harness.session.transfer(request, now: harness.now)
        _ = harness.receive(.taken, id: 2, answer().payload)
        #expect(isViolation(harness.receive(.taken, id: 2, answer().payload)))
        let opened = self.harness()
        _ = try opened.session.open(OpenRequest(service: "db"), now: opened.now)
        #expect(isViolation(opened.receive(.taken, id: 2, answer().payload)))
        #expect(isViolation(self.harness().receive(.taken, id: 2, answer().payload)))
    }

    @Test func idsAreThoseOfStreamsThatAreOpened() throws {
        #expect(isViolation(harness().receive(.transfer, id: 2, request.payload)))
        let harness = harness()
        _ = try harness.accepted(id: 5)
        #expect(isViolation(harness.receive(.transfer, id: 5, request.payload)))
    }

    @Test func anEndThatGoesAwayRefuses() throws {
        let harness = harness()
        harness.session.goAway(.idle)
        #expect(harness.receive(.transfer, id: 1, request.payload) == .none)
        let refusal = try #require(try harness.sent().first { $0.type == .refuse })
        #expect(refusal.id == 1 && Array(refusal.payload.prefix(2)) == bigEndian(LinkReason.goingAway.rawValue))
        #expect(throws: SessionError.goingAway) { try harness.session.transfer(request, now: harness.now) }
    }

    @Test func aStreamThatIsDroppedOnItsWayGivesItsBudgetBack() throws {
        let harness = harness()
        let stream = try harness.accepted(id: 1)
        let used = harness.budget.used
        #expect(used > 0 && harness.session.isLive(stream))
        var given = harness.session.give(TransferRequest(lane: 0, stream: 1, session: 5))
        #expect(given != nil && harness.budget.used == used)
        given = nil
        #expect(harness.budget.used == 0)
    }
}

/// Which lane a bulk stream had better leave.
@Suite struct LaneBalanceTests {
    private func lanes(_ list: [(Bool, Int)]) -> [LaneChoice.Candidate] {
        list.enumerated().map {
            LaneChoice.Candidate(number: UInt8($0), isHere: false, isBulk: $1.0, streams: $1.1)
        }
    }

    @Test(
        arguments: [
            ([(true, 5), (false, 0)], true), ([(true, 5), (false, 1)], true), ([(true, 4), (false, 1)], false),
            // Alone on its lane; no other lane; the other carries bulk as well; no bulk at all.
            ([(true, 1), (false, 0)], false), ([(true, 5)], false), ([(true, 5), (true, 0)], false),
            ([(false, 5), (false, 0)], false), ([(false, 0), (true, 3), (true, 9)], true),
        ] as [([(Bool, Int)], Bool)])
    func bulkLeavesWhatItSharesForWhatIsIdle(_ list: [(Bool, Int)], _ expected: Bool) {
        var balance = LaneBalance()
        let first = balance.look(lanes(list))
        let second = balance.look(lanes(list))
        #expect((first != .none) == expected)
        if case .move = second { #expect(expected) } else { #expect(!expected) }
    }

    @Test func oneLookIsNoReasonAndAMoveIsFollowedByRest() {
        var balance = LaneBalance()
        let uneven = lanes([(true, 5), (false, 0), (false, 1)])
        #expect(balance.look(uneven) == .measure(from: 0))
        #expect(balance.look(lanes([(true, 5), (true, 0), (true, 1)])) == .none)
        #expect(balance.look(uneven) == .measure(from: 0))
        #expect(balance.look(uneven) == .move(from: 0, to: 1))
        for _ in 0..<5 { #expect(balance.look(uneven) == .none) }
        #expect(balance.look(uneven) == .measure(from: 0))
    }

    @Test func theLaneWithTheMostStreamsIsRelieved() {
        var balance = LaneBalance()
        #expect(balance.look(lanes([(true, 3), (true, 8), (false, 0)])) == .measure(from: 1))
    }
}
