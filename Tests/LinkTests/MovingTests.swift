import Bytes
import Link
import Testing

/// What a session may and may not do on its way to another link; the whole way is simulated in `ResumptionSimulation`.
@Suite struct MovingTests {
    private func claim(_ epoch: UInt64) -> ResumeClaim { ResumeClaim(epoch: epoch, processed: 0, sent: 0) }

    private func isViolation(_ event: SessionEvent) -> Bool { event == .violation(.protocolError) }

    @Test func theAcceptorSwitchesWithTheProof() throws {
        let harness = Harness()
        let session = harness.session
        _ = try harness.sent()
        #expect(try session.offerMove(hint: 4).epoch == 5)
        #expect(session.canMove && !session.isMoveCommitted)
        try session.beginMove(claim(5), now: harness.now)
        #expect(session.isMoveCommitted && session.isCrossingOver && !session.canMove)
        let last = try #require(try harness.sent(flush: false).last)
        #expect(last == SeenFrame(.switchLink, payload: bigEndian(UInt64(5))))
        #expect(session.unsentBytes == 0)
        // What is written now is for the new link.
        let stream = try session.open(OpenRequest(service: "db"), now: harness.now)
        #expect(session.unsentBytes == 0 && session.isLive(stream))
        session.crossOver()
        #expect(session.unsentBytes > 0 && !session.isMoveOver)
        #expect(harness.receive(.switchLink, bigEndian(UInt64(5))) == .switched)
        #expect(!session.isMoveOver)
        // The acknowledgement tells that nothing is left on the old link.
        #expect(harness.receive(.ack, bigEndian(UInt64(1))) == .none)
        #expect(session.isMoveOver)
        session.finishMove()
        #expect(session.canMove && !session.isMoveCommitted)
    }

    @Test func theDiallerSwitchesBehindTheAcceptor() throws {
        let harness = Harness()
        let session = harness.session
        _ = try harness.sent()
        #expect(try session.answerMove(claim(3)) == claim(3))
        #expect(!session.isMoveCommitted && session.unsentBytes == 0)
        #expect(harness.receive(.switchLink, bigEndian(UInt64(3))) == .switched)
        #expect(session.isMoveCommitted && session.isPeerSwitched && session.role == .dialler)
        #expect(try harness.sent(flush: false).last == SeenFrame(.switchLink, payload: bigEndian(UInt64(3))))
    }

    @Test func onlyTheNewestOfferCounts() throws {
        let harness = Harness()
        let first = try harness.session.offerMove(hint: 0)
        let second = try harness.session.offerMove(hint: 0)
        #expect(throws: ResumptionError.staleEpoch) {
            try harness.session.beginMove(claim(first.epoch), now: harness.now)
        }
        #expect(!harness.session.isMoveCommitted)
        // The end of the older attempt does not touch the newer one.
        harness.session.moveFailed(first.epoch)
        try harness.session.beginMove(claim(second.epoch), now: harness.now)
        #expect(harness.session.isMoveCommitted)
        #expect(throws: ResumptionError.notMovable) { try harness.session.offerMove(hint: 0) }
    }

    @Test func staleOffersAndImpossibleCountsAreRefused() throws {
        let harness = Harness()
        _ = try harness.session.answerMove(claim(3))
        // Whoever has answered an offer may have been switched to by the peer already.
        #expect(throws: ResumptionError.notMovable) { try harness.session.offerMove(hint: 9) }
        #expect(throws: ResumptionError.staleEpoch) { try harness.session.answerMove(claim(3)) }
        #expect(throws: ResumptionError.impossibleCounts) {
            try harness.session.answerMove(ResumeClaim(epoch: 4, processed: 1, sent: 0))
        }
        harness.session.park(now: harness.now)
        #expect(throws: ResumptionError.notMovable) { try harness.session.answerMove(claim(5)) }
    }

    @Test func aFailureBeforeSWITCHChangesNothing() throws {
        let harness = Harness()
        let offer = try harness.session.offerMove(hint: 0)
        harness.session.moveFailed(offer.epoch)
        #expect(throws: ResumptionError.notMovable) {
            try harness.session.beginMove(claim(offer.epoch), now: harness.now)
        }
        #expect(harness.session.canMove && !harness.session.isCrossingOver)
    }

    @Test func aPeerThatMovedToALostLinkIsNoticed() throws {
        let harness = Harness()
        _ = try harness.session.answerMove(claim(3))
        harness.session.moveFailed(3)
        #expect(harness.receive(.switchLink, bigEndian(UInt64(3))) == .moveLost)
    }

    @Test func strangeSwitchesAreViolations() throws {
        // Unknown epoch, wrong length, before this end's own, twice.
        #expect(isViolation(Harness().receive(.switchLink, bigEndian(UInt64(1)))))
        #expect(isViolation(Harness().receive(.switchLink, [0])))
        let early = Harness()
        let offer = try early.session.offerMove(hint: 0)
        #expect(isViolation(early.receive(.switchLink, bigEndian(offer.epoch))))
        let twice = Harness()
        _ = try twice.session.answerMove(claim(3))
        #expect(twice.receive(.switchLink, bigEndian(UInt64(3))) == .switched)
        #expect(isViolation(twice.receive(.switchLink, bigEndian(UInt64(3)))))
    }

    @Test func wishesArePassedOnAndBounded() throws {
        let harness = Harness()
        _ = try harness.sent()
        harness.session.askForMove()
        #expect(try harness.sent(flush: false) == [SeenFrame(.move)])
        for _ in 0..<64 { #expect(harness.receive(.move) == .moveWanted) }
        #expect(harness.receive(.move) == .violation(.flood))
        #expect(isViolation(Harness().receive(.move, [1])))
    }
}
