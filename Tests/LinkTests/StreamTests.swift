import Bytes
import Link
import SeededRandom
import Testing

/// The life of a stream, seen from one end; the test is the other.
@Suite struct StreamTests {
    @Test func idsFollowTheOrderOfIdentities() throws {
        #expect(StreamParity(local: "ACL", peer: "Directory") == .even)
        #expect(StreamParity(local: "Directory", peer: "ACL") == .odd)
        #expect(StreamParity(local: "a", peer: "ab") == .even)
        for (parity, ids) in [(StreamParity.even, [2, 4, 6] as [UInt64]), (.odd, [1, 3, 5])] {
            let harness = Harness(parity: parity)
            for id in ids {
                let stream = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
                #expect(harness.session.id(of: stream) == id)
            }
            #expect(try harness.sent().filter { $0.type == .open }.map(\.id) == ids)
        }
    }

    @Test func openCarriesTheRequestAndDataMayFollowAtOnce() throws {
        let harness = Harness()
        let request = OpenRequest(service: "db", principal: "service:web")
        let stream = try harness.session.open(request, now: harness.now)
        #expect(harness.session.credit(of: stream) == 16 << 10)
        try harness.send(stream, 16 << 10)
        #expect(harness.session.sendRoom(stream, atMost: 1) == nil)
        let sent = try harness.sent()
        #expect(sent[0] == SeenFrame(.open, id: 2, payload: request.encodedPayload(initialCredit: 16 << 10)))
        #expect(sent[1].type == .data && sent[1].payload.count == 16 << 10)
        #expect(harness.receive(.accept, id: 2, bigEndian(UInt64(20_000))) == .accepted(stream))
        #expect(harness.session.credit(of: stream) == 20_000 - 16 << 10)
    }

    @Test func anAcceptedStreamLivesUntilBothDirectionsAreDone() throws {
        let harness = Harness()
        let stream = try harness.offer(id: 1)
        #expect(harness.session.lastRequest == OpenRequest(service: "db"))
        #expect(harness.session.sendRoom(stream, atMost: 10) == nil, "nothing is sent before ACCEPT")
        harness.session.accept(stream)
        try harness.send(stream, 5, finish: true)
        #expect(
            try harness.sent()[..<2] == [
                SeenFrame(.accept, id: 1, payload: bigEndian(UInt64(16 << 10))),
                SeenFrame(.data, flags: .finish, id: 1, payload: [0, 1, 2, 3, 4]),
            ])
        #expect(harness.receive(.data, id: 1, [1, 2, 3]) == .data(stream, 8..<11, finished: false))
        #expect(harness.receive(.end, id: 1) == .finished(stream))
        #expect(harness.session.isLive(stream), "three bytes were not consumed")
        #expect(harness.budget.used == 3)
        harness.session.consumed(stream, 2)
        #expect(harness.session.isLive(stream))
        harness.session.consumed(stream, 1)
        #expect(!harness.session.isLive(stream) && harness.session.streamCount == 0)
        #expect(harness.budget.used == 0)
    }

    @Test func halfCloseKeepsTheOtherDirection() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        #expect(harness.receive(.end, id: 1) == .finished(stream))
        #expect(harness.budget.used == 0, "nothing more can come")
        try harness.send(stream, 10)
        harness.session.finish(stream)
        harness.session.finish(stream)
        #expect(!harness.session.isLive(stream))
        #expect(try harness.sent().filter { $0.id == 1 }.map(\.type) == [.data, .end])
    }

    @Test func ourHalfCloseKeepsThePeersDirection() throws {
        let harness = Harness()
        let stream = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        harness.session.finish(stream)
        #expect(try harness.sent().filter { $0.id == 2 }.map(\.type) == [.open, .end])
        #expect(harness.receive(.accept, id: 2, bigEndian(UInt64(16 << 10))) == .accepted(stream))
        #expect(harness.receive(.data, flags: .finish, id: 2, [1]) == .data(stream, 8..<9, finished: true))
        harness.session.consumed(stream, 1)
        #expect(!harness.session.isLive(stream))
    }

    @Test func refusalsGoBothWays() throws {
        let harness = Harness()
        let mine = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        _ = try harness.sent()
        let notice = Notice(.denied, retryAfter: 5, detail: "rule 3")
        #expect(harness.receive(.refuse, id: 2, notice.encodedPayload(for: .refuse)) == .refused(mine, .denied))
        #expect(harness.session.lastNotice == notice)
        #expect(!harness.session.isLive(mine))

        let theirs = try harness.offer(id: 1)
        harness.session.refuse(theirs, notice)
        #expect(!harness.session.isLive(theirs) && harness.budget.used == 0)
        #expect(
            try harness.sent().filter { $0.id == 1 }
                == [SeenFrame(.refuse, id: 1, payload: notice.encodedPayload(for: .refuse))])
        #expect(harness.receive(.data, id: 1, [1]) == .none, "late frames of a refused stream are ignored")
        #expect(harness.receive(.end, id: 1) == .none)
    }

    @Test func resetsGoBothWays() throws {
        let harness = Harness()
        let first = try harness.accepted(id: 1)
        let payload = Notice(.applicationReset, detail: "RST").encodedPayload(for: .reset)
        #expect(harness.receive(.reset, id: 1, payload) == .reset(first, .applicationReset))
        #expect(harness.session.lastNotice.detail == "RST" && !harness.session.isLive(first))

        let second = try harness.accepted(id: 3)
        harness.session.reset(second, .applicationReset, detail: "RST")
        #expect(!harness.session.isLive(second) && harness.budget.used == 0)
        #expect(try harness.sent().filter { $0.id == 3 } == [SeenFrame(.reset, id: 3, payload: payload)])
        #expect(harness.receive(.credit, id: 3, bigEndian(UInt64(99_999))) == .none)
        #expect(harness.receive(.reset, id: 3, payload) == .none)
    }

    @Test func resettingAnOfferRefusesIt() throws {
        let harness = Harness()
        harness.session.reset(try harness.offer(id: 1), .cancelled)
        #expect(try harness.sent().filter { $0.id == 1 }.map(\.type) == [.refuse])
    }

    @Test func staleHandlesAreHarmless() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        harness.session.reset(stream, .cancelled)
        let next = try harness.accepted(id: 3)
        #expect(stream.slot == next.slot && stream != next)
        harness.session.reset(stream, .cancelled)
        harness.session.accept(stream)
        harness.session.refuse(stream, .denied)
        harness.session.finish(stream)
        harness.session.consumed(stream, 5)
        harness.session.markReadable(stream)
        harness.session.clearReadable(stream)
        #expect(harness.session.sendRoom(stream, atMost: 5) == nil)
        #expect(harness.session.credit(of: stream) == 0 && harness.session.id(of: stream) == nil)
        #expect(harness.session.isLive(next) && harness.session.nextReady() == nil)
        #expect(harness.session.credit(of: next) == 16 << 10)
        #expect(try harness.sent().filter { $0.id == 3 }.isEmpty)
    }

    /// CREDIT may cross with the end of its stream, whose place may be somebody else's by then.
    @Test func lateCreditIsNotForTheNextStream() throws {
        let harness = Harness()
        let first = try harness.accepted(id: 1)
        harness.session.finish(first)
        #expect(harness.receive(.end, id: 1) == .finished(first))
        let next = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        #expect(next.slot == first.slot && next != first)
        #expect(harness.receive(.credit, id: 1, bigEndian(UInt64(1 << 20))) == .none)
        #expect(harness.session.credit(of: next) == 16 << 10)
    }

    @Test func limitsOnStreams() throws {
        let harness = Harness(configure: { $0.maximumPeerStreams = 2 }, peer: { $0.maximumStreams = 1 })
        _ = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        #expect(throws: SessionError.tooManyStreams) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        let first = try harness.offer(id: 1)
        _ = try harness.offer(id: 3)
        _ = try harness.sent()
        let payload = OpenRequest(service: "db").encodedPayload(initialCredit: 0)
        #expect(harness.receive(.open, id: 5, payload) == .none)
        #expect(
            try harness.sent() == [
                SeenFrame(
                    .refuse, id: 5, payload: Notice(.tooManyStreams, retryAfter: 1_000).encodedPayload(for: .refuse))
            ])
        harness.session.refuse(first, .denied)
        _ = try harness.offer(id: 7)
    }

    @Test func withoutBudgetNobodyOpens() throws {
        let harness = Harness(budget: 40_000)
        _ = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        let theirs = try harness.offer(id: 1)
        #expect(throws: SessionError.overloaded) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        _ = try harness.sent()
        #expect(harness.receive(.open, id: 3, OpenRequest(service: "db").encodedPayload(initialCredit: 0)) == .none)
        #expect(
            try harness.sent() == [
                SeenFrame(
                    .refuse, id: 3, payload: Notice(.streamOverloaded, retryAfter: 500).encodedPayload(for: .refuse))
            ])
        harness.session.refuse(theirs, .denied)
        _ = try harness.offer(id: 5)
        #expect(harness.budget.used == 32 << 10)
    }

    @Test func badRequestsAreNotSent() throws {
        let harness = Harness()
        #expect(throws: SessionError.badRequest) {
            try harness.session.open(OpenRequest(service: ""), now: harness.now)
        }
        #expect(harness.budget.used == 0 && harness.session.unsentBytes == 0)
    }

    @Test func lostLinkNamesItsStreams() throws {
        let harness = Harness()
        let mine = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        try harness.send(mine, 7)
        let late = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        let theirs = try harness.accepted(id: 1)
        let goAway = Notice(.goingAway).encodedPayload(for: .goAway, lastStreamID: 2)
        #expect(harness.receive(.goAway, goAway) == .goAway(.goingAway))
        let lost = harness.session.linkLost().sorted { $0.stream.slot < $1.stream.slot }
        #expect(lost.map(\.stream) == [mine, late, theirs])
        #expect(lost.map(\.openedHere) == [true, true, false])
        #expect(lost.map(\.accepted) == [false, false, true])
        #expect(lost.map(\.neverProcessed) == [false, true, false])
        #expect(lost.map(\.bytesSent) == [7, 0, 0])
        #expect(harness.budget.used == 0 && harness.pool.segmentsInUse == 0 && harness.session.streamCount == 0)
        #expect(harness.session.currentState == .ended)
        #expect(throws: SessionError.ended) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        #expect(harness.receive(.data, id: 1, [1]) == .none)
        #expect(harness.session.linkLost().isEmpty)
    }

    /// Both directions are complete, and this end's application has still to take what came. Only what the peer has acknowledged has
    /// come to its end: a GOAWAY says nothing of it.
    @Test func onlyWhatIsAcknowledgedIsComplete() throws {
        for (isAcknowledged, isLeaving) in [(true, false), (false, false), (true, true)] {
            let harness = Harness()
            harness.session.name = 5
            let stream = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
            _ = harness.receive(.accept, id: 2, bigEndian(UInt64(1 << 16)))
            try harness.send(stream, 10, finish: true)
            #expect(harness.receive(.data, flags: .finish, id: 2, [1]) == .data(stream, 8..<9, finished: true))
            let frames = harness.session.sentFrames
            #expect(harness.receive(.ack, bigEndian(isAcknowledged ? frames : frames - 1)) == .none)
            // Other streams have nothing to do with it.
            let other = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
            try harness.send(other, 5)
            if isLeaving { #expect(harness.session.leave(stream, lane: 0) != nil) }
            let goAway = Notice(.goingAway).encodedPayload(for: .goAway, lastStreamID: 4)
            #expect(harness.receive(.goAway, goAway) == .goAway(.goingAway))
            let lost = harness.session.linkLost()
            #expect(lost.first { $0.stream == stream }?.isComplete == (isAcknowledged && !isLeaving))
            #expect(lost.first { $0.stream == other }?.isComplete == false)
        }
    }

    /// Who ends a link in order acknowledges first what it has processed, which would otherwise take its time.
    @Test func whatWasProcessedIsAcknowledgedAtOnce() throws {
        let harness = Harness()
        _ = try harness.accepted(id: 1)
        _ = harness.receive(.data, id: 1, [1])
        func acknowledged() throws -> [SeenFrame] { try harness.sent().filter { $0.type == .ack } }
        #expect(try acknowledged().isEmpty)
        harness.session.acknowledgeAtOnce()
        #expect(try acknowledged() == [SeenFrame(.ack, payload: bigEndian(UInt64(2)))])
        harness.session.acknowledgeAtOnce()
        #expect(try acknowledged().isEmpty)
    }

    @Test func aForgottenSessionReturnsItsBudget() throws {
        let budget: ReceiveBudget
        do {
            let harness = Harness()
            _ = try harness.accepted(id: 1)
            budget = harness.budget
            #expect(budget.used == 16 << 10)
        }
        #expect(budget.used == 0)
    }

    /// With the log full, answers and ends keep their places and come in the right order once there is room.
    @Test func answersAndEndsWaitForRoom() throws {
        let harness = Harness(configure: {
            $0.retentionLimit = 1_000; $0.controlReserve = 10
        })
        let session = harness.session
        let full = try harness.accepted(id: 1)
        let ending = try harness.accepted(id: 3)
        let offers = try (0..<4).map { try harness.offer(id: UInt64(5 + 2 * $0)) }
        try harness.send(full, 2_000)
        _ = try harness.sent()
        #expect(harness.receive(.ack, bigEndian(session.sentFrames - 1)) == .none)

        session.accept(offers[0])
        session.refuse(offers[1], .denied, detail: "text")
        session.accept(offers[2])
        session.reset(offers[2], .cancelled)
        session.accept(offers[3])
        session.finish(offers[3])
        session.finish(ending)
        #expect(harness.receive(.end, id: 3) == .finished(ending))
        session.reset(full, .applicationReset, detail: "text")
        let refusal = Notice(.denied, detail: "text").encodedPayload(for: .refuse)
        #expect(
            try harness.sent().filter { $0.type != .ack && $0.type != .ping } == [
                SeenFrame(.refuse, id: 7, payload: refusal)
            ], "REFUSE has room of its own")
        #expect(session.sendRoom(offers[0], atMost: 1) == nil, "its ACCEPT is not written")
        #expect([full, offers[1], offers[2]].allSatisfy { !session.isLive($0) })
        #expect(session.isLive(ending), "its END is not written")
        #expect(harness.receive(.data, id: 1, [1]) == .none, "ended here, though the peer does not know yet")

        #expect(harness.receive(.ack, bigEndian(session.sentFrames)) == .none)
        let sent = try harness.sent().filter { $0.type != .ack && $0.type != .ping }
        func types(_ id: UInt64) -> [FrameType] { sent.filter { $0.id == id }.map(\.type) }
        #expect(types(1) == [.reset] && types(3) == [.end] && types(5) == [.accept] && types(7).isEmpty)
        #expect(types(9) == [.accept, .reset] && types(11) == [.accept, .end])
        #expect(!session.isLive(ending) && session.sendRoom(offers[0], atMost: 1) != nil)
        session.commit(offers[0], 0)
    }

    @Test func aResetThatCrossesAWaitingResetEndsIt() throws {
        let harness = Harness(configure: {
            $0.retentionLimit = 1_000; $0.controlReserve = 10
        })
        let stream = try harness.accepted(id: 1)
        try harness.send(stream, 2_000)
        _ = try harness.sent()
        harness.session.reset(stream, .cancelled)
        #expect(harness.session.streamCount == 1 && harness.budget.used == 0)
        #expect(harness.receive(.reset, id: 1, Notice(.cancelled).encodedPayload(for: .reset)) == .none)
        #expect(harness.session.streamCount == 0)
        #expect(harness.receive(.ack, bigEndian(harness.session.sentFrames)) == .none)
        #expect(try harness.sent().filter { $0.id == 1 }.isEmpty)
    }

    @Test func manyStreamsComeAndGo() throws {
        let harness = Harness()
        var live: [(UInt64, StreamHandle)] = []
        var randomness = SeededRandom(11)
        var id: UInt64 = 1
        for _ in 0..<5_000 {
            if live.count < 300, !randomness.oneIn(3) || live.isEmpty {
                live.append((id, try harness.accepted(id: id)))
                id += 2 * UInt64(1 + randomness.below(50))
            } else {
                let (id, stream) = live.remove(at: randomness.below(live.count))
                let event = harness.receive(.data, id: id, [1])
                #expect(event == .data(stream, 8..<9, finished: false))
                harness.session.reset(stream, .cancelled)
                #expect(harness.receive(.data, id: id, [1]) == .none)
            }
            _ = harness.receive(.ack, bigEndian(harness.session.unacknowledgedFrames + acknowledged(harness)))
        }
        for (id, stream) in live {
            #expect(harness.receive(.data, id: id, [1]) == .data(stream, 8..<9, finished: false))
        }
        #expect(harness.session.streamCount == live.count && harness.session.currentState == .open)
    }

    private func acknowledged(_ harness: Harness) -> UInt64 {
        harness.session.sentFrames - harness.session.unacknowledgedFrames
    }
}
