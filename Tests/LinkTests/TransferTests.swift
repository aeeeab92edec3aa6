import Bytes
import Link
import Testing

/// What the two sessions of a stream that changes its lane may and may not do; the whole way is simulated in `LaneSimulation`.
@Suite struct TransferTests {
    private let request = TransferRequest(lane: 3, stream: 0x0102_0304_0506, session: 0x1112_1314_1516_1718)

    private func harness(
        _ name: UInt64 = 5, beside other: Harness? = nil, configure: (inout SessionConfiguration) -> Void = { _ in }
    ) -> Harness {
        let harness = Harness(
            sharing: other?.budget, quota: other?.quota ?? StreamQuota(), configure: configure,
            peer: { $0.takesTransfers = true })
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

    /// A stream that has to send something again here and is to go on elsewhere sends it there.
    @Test func aStreamThatLeavesSendsNothingAgain() throws {
        let old = harness()
        let new = harness(6, beside: old, configure: { $0.retentionLimit = 1_000 })
        let stream = try own(old)
        try old.send(stream, 100)
        let filler = try own(new)
        let there = try new.session.transfer(try #require(old.session.leave(stream, lane: 0)), now: new.now)
        let id = try #require(new.session.id(of: there))
        try new.send(filler, 2_000)
        _ = try new.sent()
        _ = new.receive(.taken, id: id, answer().payload)
        let taken = try #require(new.session.lastAnswer)
        _ = try new.session.adopt(there, old.session.depart(stream, taken), taken)
        func again() throws -> [SeenFrame] { try new.sent().filter { $0.type == .data && $0.id == id } }
        #expect(try again().isEmpty && new.session.readyStreams == 1)
        #expect(new.session.leave(there, lane: 1) != nil)
        #expect(new.session.readyStreams == 0)
        #expect(new.receive(.ack, bigEndian(new.session.sentFrames)) == .none)
        #expect(try again().isEmpty && !new.session.hasControl)
        new.session.stay(there)
        #expect(new.session.readyStreams == 1)
        #expect(try again() == [SeenFrame(.data, id: id, payload: (0..<100).map { UInt8($0) })])
        // What it takes along if it leaves for good.
        _ = try #require(new.session.leave(there, lane: 1))
        let next = try new.session.depart(there, answer(received: 60))
        let third = harness(7, beside: old)
        let last = try third.session.transfer(request, now: third.now)
        _ = third.receive(.taken, id: 2, answer(received: 60).payload)
        _ = try third.session.adopt(last, next, answer(received: 60))
        #expect(try third.sent().first { $0.type == .data }?.payload == (60..<100).map { UInt8($0) })
    }

    /// What the opener takes may be said before the acceptor has the stream.
    @Test func creditBeforeTAKENCounts() throws {
        let old = harness()
        let new = harness(6, beside: old)
        _ = try old.accepted(id: 1)
        let request = TransferRequest(lane: 0, stream: 1, session: 5)
        guard case .transferOffered(let there) = new.receive(.transfer, id: 7, request.payload) else {
            throw Broken(description: "no offer")
        }
        #expect(new.receive(.credit, id: 7, bigEndian(UInt64(100_000))) == .none)
        _ = try new.session.adopt(there, try #require(old.session.give(request)).detached)
        #expect(new.session.credit(of: there) == 100_000)
        try new.send(there, 100_000)
    }

    // MARK: Bounds

    @Test func onlySoManyAreAskedForAtOnce() throws {
        let harness = harness()
        let streams = try (0..<Session.transfersAtOnce).map { _ in
            try harness.session.transfer(request, now: harness.now)
        }
        #expect(throws: SessionError.congested) { try harness.session.transfer(request, now: harness.now) }
        let refusal = Notice(.noSuchInstance).encodedPayload(for: .refuse)
        #expect(harness.receive(.refuse, id: 2, refusal) == .refused(streams[0], .noSuchInstance))
        _ = harness.receive(.taken, id: 4, answer().payload)
        harness.session.reset(streams[2], .cancelled)
        for _ in 0..<3 { _ = try harness.session.transfer(request, now: harness.now) }
        #expect(throws: SessionError.congested) { try harness.session.transfer(request, now: harness.now) }
    }

    /// A peer that asks and does not wait for answers is a flood, and so is one that asks without end.
    @Test func aPeerThatAsksWithoutEndIsAFlood() throws {
        let patient = harness(configure: { $0.maximumTransfers = 3 })
        for id in stride(from: UInt64(1), to: 7, by: 2) {
            guard case .transferOffered(let stream) = patient.receive(.transfer, id: id, request.payload) else {
                throw Broken(description: "no offer")
            }
            // An answer makes room.
            if id == 1 { patient.session.refuse(stream, .noSuchInstance) }
        }
        guard case .transferOffered = patient.receive(.transfer, id: 7, request.payload) else {
            throw Broken(description: "no offer")
        }
        #expect(patient.receive(.transfer, id: 9, request.payload) == .violation(.flood))

        let slow = harness(configure: {
            $0.transferBurst = 10
            $0.transfersPerSecond = 10
        })
        func ask(_ id: UInt64) -> SessionEvent {
            let event = slow.receive(.transfer, id: id, request.payload)
            if case .transferOffered(let stream) = event { slow.session.refuse(stream, .noSuchInstance) }
            return event
        }
        for id in 0..<10 { #expect(!isViolation(ask(UInt64(2 * id + 1)))) }
        slow.now += 100_000_000
        #expect(!isViolation(ask(101)))
        #expect(ask(103) == .violation(.flood))
    }

    /// Looking for a stream's bytes takes time in which a peer that acknowledges nothing could keep a worker. Streams that have none
    /// cost nothing.
    @Test func theLogIsLookedThroughOnlySoOften() throws {
        let harness = harness(configure: {
            $0.readingBurst = 50
            $0.readingsPerSecond = 50
        })
        let streams = try (0..<4).map { _ in try own(harness) }
        for _ in 0..<20 { for stream in streams[..<3] { try harness.send(stream, 1) } }
        #expect(harness.session.leave(streams[0], lane: 0) != nil)
        #expect(harness.session.leave(streams[1], lane: 0) == nil, "not so soon")
        #expect(harness.session.leave(streams[3], lane: 0) != nil, "it has sent nothing")
        harness.now += 1_000_000_000
        _ = harness.receive(.credit, id: 6, bigEndian(UInt64(1 << 20)))
        #expect(harness.session.leave(streams[1], lane: 0) != nil)
        // Acknowledged bytes are not looked for either.
        #expect(harness.receive(.ack, bigEndian(harness.session.sentFrames)) == .none)
        #expect(harness.session.leave(streams[2], lane: 0) != nil)
    }

    @Test func aStreamThatIsDroppedOnItsWayGivesItsBudgetBack() throws {
        let harness = harness()
        let stream = try harness.accepted(id: 1)
        let used = harness.budget.used
        #expect(used > 0 && harness.session.isLive(stream))
        var given = harness.session.give(TransferRequest(lane: 0, stream: 1, session: 5))
        #expect(given != nil && harness.budget.used == used && harness.quota.used == 1)
        given = nil
        #expect(harness.budget.used == 0 && harness.quota.used == 0)
    }

    // MARK: Places among the streams of peers

    private func offered(_ harness: Harness, _ id: UInt64, _ request: TransferRequest) throws -> StreamHandle {
        guard case .transferOffered(let stream) = harness.receive(.transfer, id: id, request.payload) else {
            throw Broken(description: "no offer")
        }
        return stream
    }

    /// A stream that moves has one place, on the way too, and needs no free one.
    @Test func aStreamTakesItsPlaceWithIt() throws {
        let old = harness()
        old.quota.limit = 1
        let new = harness(6, beside: old)
        _ = try old.accepted(id: 1)
        let request = TransferRequest(lane: 0, stream: 1, session: 5)
        let there = try offered(new, 3, request)
        #expect(old.quota.used == 1, "an offer has none")
        let given = try #require(old.session.give(request))
        #expect(old.quota.used == 1, "on the way")
        #expect(new.receive(.open, id: 5, OpenRequest(service: "db").encodedPayload(initialCredit: 0)) == .none)
        _ = try new.session.adopt(there, given.detached)
        #expect(old.session.linkLost().isEmpty && old.quota.used == 1)
        new.session.reset(there, .applicationReset)
        #expect(old.quota.used == 0)
        _ = try new.offer(id: 7)
        #expect(old.quota.used == 1)
    }

    /// Whatever becomes of an offer that comes to nothing, no place is taken or given back for it.
    @Test func offersThatComeToNothingTakeNoPlace() throws {
        let old = harness()
        _ = try old.accepted(id: 1)
        let request = TransferRequest(lane: 0, stream: 1, session: 5)
        let refusing = harness(6, beside: old)
        refusing.session.refuse(try offered(refusing, 1, request), .noSuchInstance)
        let cancelled = harness(7, beside: old)
        _ = try offered(cancelled, 1, request)
        _ = cancelled.receive(.reset, id: 1, Notice(.cancelled).encodedPayload(for: .reset))
        let lost = harness(8, beside: old)
        _ = try offered(lost, 1, request)
        #expect(lost.session.linkLost().count == 1)
        #expect(old.quota.used == 1)
        // The lane is lost between the stream's giving and its coming: the stream is over, once.
        let last = harness(9, beside: old)
        let there = try offered(last, 1, request)
        var given = old.session.give(request)
        _ = last.session.linkLost()
        if let detached = given?.detached {
            #expect(throws: TransferError.notMovable) { try last.session.adopt(there, detached) }
        }
        #expect(old.quota.used == 1)
        given = nil
        #expect(old.quota.used == 0)
    }

    /// This end's own streams have none, wherever they go.
    @Test func ownStreamsTakeNoPlace() throws {
        let old = harness()
        let new = harness(6, beside: old)
        let stream = try own(old)
        let there = try new.session.transfer(try #require(old.session.leave(stream, lane: 0)), now: new.now)
        _ = new.receive(.taken, id: 2, answer().payload)
        let taken = try #require(new.session.lastAnswer)
        _ = try new.session.adopt(there, old.session.depart(stream, taken), taken)
        #expect(old.quota.used == 0)
        new.session.reset(there, .cancelled)
        #expect(old.quota.used == 0)
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
