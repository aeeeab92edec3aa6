import Link
import Testing

@Suite struct ArbiterTests {
    typealias Closing = LinkArbiter.Closing
    private let one = BootID(high: 1, low: 0)
    private let two = BootID(high: 2, low: 0)
    private let mine = LinkID(1)
    private let theirs = LinkID(2)
    private let third = LinkID(3)

    /// The arbiter of "a" (the smaller end) or of "b".
    private func arbiter(smaller: Bool) -> LinkArbiter {
        smaller ? LinkArbiter(local: "a", peer: "b") : LinkArbiter(local: "b", peer: "a")
    }

    private func greeted(smaller: Bool) -> LinkArbiter {
        var arbiter = arbiter(smaller: smaller)
        #expect(arbiter.dial(mine) == .dial)
        #expect(arbiter.greet(mine) == .hello(.initial))
        return arbiter
    }

    private func established(smaller: Bool, dialledHere: Bool) -> LinkArbiter {
        if dialledHere {
            var arbiter = greeted(smaller: smaller)
            #expect(arbiter.answered(mine, bootID: one) == .establish(mine, closing: [], sameAgent: false))
            return arbiter
        }
        var arbiter = arbiter(smaller: smaller)
        #expect(
            arbiter.received(mine, bootID: one, intent: .initial) == .establish(mine, closing: [], sameAgent: false))
        return arbiter
    }

    @Test(arguments: [true, false]) func oneDialOneLink(_ smaller: Bool) {
        var dialler = established(smaller: smaller, dialledHere: true)
        #expect(dialler.established == mine && !dialler.isDialling)
        #expect(dialler.dial(third) == .notNeeded)
        var acceptor = established(smaller: smaller, dialledHere: false)
        #expect(acceptor.established == mine && acceptor.dial(third) == .notNeeded)
    }

    @Test func bothDialAndTheSmallerOnesLinkStays() {
        var a = greeted(smaller: true)
        var b = greeted(smaller: false)
        // a's link is 1 at both ends here; b's is 2.
        #expect(a.received(theirs, bootID: two, intent: .initial) == .hold(closing: []))
        #expect(b.received(theirs, bootID: one, intent: .initial) == .establish(theirs, closing: [], sameAgent: false))
        #expect(
            a.answered(mine, bootID: two) == .establish(mine, closing: [Closing(theirs, .superseded)], sameAgent: false)
        )
        #expect(b.lost(mine) == .none)
        #expect(a.established == mine && b.established == theirs)
    }

    @Test func theHeldLinkIsTakenWhenTheOwnDialFails() {
        var a = greeted(smaller: true)
        #expect(a.received(theirs, bootID: two, intent: .initial) == .hold(closing: []))
        #expect(a.dialFailed(mine) == .establish(theirs, closing: [], sameAgent: false))
    }

    @Test func aHeldLinkThatBrokeIsForgotten() {
        var a = greeted(smaller: true)
        #expect(a.received(theirs, bootID: two, intent: .initial) == .hold(closing: []))
        #expect(a.received(third, bootID: two, intent: .initial) == .hold(closing: [Closing(theirs, .superseded)]))
        #expect(a.lost(third) == .none)
        #expect(a.lost(mine) == .none)
        #expect(a.isIdle)
    }

    @Test(arguments: [true, false]) func aDialThatHasSaidNothingGivesWay(_ smaller: Bool) {
        var arbiter = arbiter(smaller: smaller)
        #expect(arbiter.dial(mine) == .dial)
        #expect(
            arbiter.received(theirs, bootID: two, intent: .initial)
                == .establish(theirs, closing: [Closing(mine, .superseded)], sameAgent: false))
        #expect(arbiter.greet(mine) == .abandon)
        #expect(arbiter.dialFailed(mine) == .none && arbiter.established == theirs)
    }

    @Test func theSmallerEndMayStillChooseTheLargerOnes() {
        var b = greeted(smaller: false)
        #expect(b.received(theirs, bootID: one, intent: .initial) == .establish(theirs, closing: [], sameAgent: false))
        // a's own link failed before our answer came, so it answers ours.
        #expect(
            b.answered(mine, bootID: one) == .establish(mine, closing: [Closing(theirs, .replaced)], sameAgent: true))
    }

    @Test func twoAgentsBehindOneNameAreTold() {
        var b = greeted(smaller: false)
        #expect(b.received(theirs, bootID: one, intent: .initial) == .establish(theirs, closing: [], sameAgent: false))
        #expect(b.answered(mine, bootID: two) == .duplicateIdentity(mine))
        #expect(b.established == theirs)
    }

    @Test func replaceWinsAtOnceForTheSameBoot() {
        for smaller in [true, false] {
            for dialledHere in [true, false] {
                var arbiter = established(smaller: smaller, dialledHere: dialledHere)
                #expect(
                    arbiter.received(theirs, bootID: one, intent: .replace)
                        == .establish(theirs, closing: [Closing(mine, .replaced)], sameAgent: true))
            }
        }
    }

    @Test func theLateHalfOfACrossingIsRefused() {
        var a = established(smaller: true, dialledHere: true)
        #expect(a.received(theirs, bootID: one, intent: .initial) == .close([Closing(theirs, .superseded)]))
        #expect(a.established == mine)
    }

    @Test func initialAgainFromTheSameDiallerMeansItNeverHeardOurAnswer() {
        for smaller in [true, false] {
            var arbiter = established(smaller: smaller, dialledHere: false)
            #expect(
                arbiter.received(theirs, bootID: one, intent: .initial)
                    == .establish(theirs, closing: [Closing(mine, .replaced)], sameAgent: true))
        }
    }

    @Test func anotherBootIsProbedFor() {
        for smaller in [true, false] {
            for intent: LinkIntent in [.initial, .replace] {
                var arbiter = established(smaller: smaller, dialledHere: false)
                #expect(arbiter.received(theirs, bootID: two, intent: intent) == .probe(mine, closing: []))
                var other = arbiter
                var third = arbiter
                #expect(arbiter.probeEnded(answered: true) == .duplicateIdentity(theirs))
                #expect(arbiter.established == mine)
                #expect(
                    other.probeEnded(answered: false)
                        == .establish(theirs, closing: [Closing(mine, .peerSilent)], sameAgent: false))
                #expect(other.established == theirs)
                #expect(third.lost(mine) == .establish(theirs, closing: [], sameAgent: false))
            }
        }
    }

    @Test func theNewestOfTwoNewcomersWaitsForTheProbe() {
        var arbiter = established(smaller: true, dialledHere: false)
        #expect(arbiter.received(theirs, bootID: two, intent: .initial) == .probe(mine, closing: []))
        #expect(
            arbiter.received(third, bootID: two, intent: .initial)
                == .probe(mine, closing: [Closing(theirs, .superseded)]))
        #expect(arbiter.lost(theirs) == .none)
        #expect(
            arbiter.probeEnded(answered: false)
                == .establish(third, closing: [Closing(mine, .peerSilent)], sameAgent: false))
        #expect(arbiter.probeEnded(answered: false) == .none)
    }

    @Test func aNewcomerThatLeavesEndsTheProbe() {
        var arbiter = established(smaller: true, dialledHere: false)
        #expect(arbiter.received(theirs, bootID: two, intent: .initial) == .probe(mine, closing: []))
        #expect(arbiter.lost(theirs) == .none)
        #expect(arbiter.probeEnded(answered: false) == .none && arbiter.established == mine)
    }

    @Test func aLostLinkIsReplacedByTheNextDial() {
        var arbiter = established(smaller: true, dialledHere: true)
        #expect(arbiter.lost(mine) == .none && arbiter.isIdle)
        #expect(arbiter.dial(third) == .dial)
        #expect(arbiter.greet(third) == .hello(.replace))
        #expect(arbiter.answered(third, bootID: one) == .establish(third, closing: [], sameAgent: true))
    }

    @Test func aDialMayReplaceALinkBelievedDead() {
        var arbiter = established(smaller: false, dialledHere: true)
        #expect(arbiter.dial(third, replacing: true) == .dial)
        #expect(arbiter.greet(third) == .hello(.replace))
        #expect(
            arbiter.answered(third, bootID: two)
                == .establish(third, closing: [Closing(mine, .replaced)], sameAgent: false))
    }

    @Test func answersToDialsGivenUpAreClosed() {
        var arbiter = arbiter(smaller: true)
        #expect(arbiter.answered(mine, bootID: one) == .close([Closing(mine, .superseded)]))
    }
}
