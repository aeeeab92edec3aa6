import Link
import Testing

/// Which of several links to move to counts.
@Suite struct ArbiterMoveTests {
    typealias Closing = LinkArbiter.Closing
    private let boot = BootID(high: 1, low: 0)
    private let other = BootID(high: 2, low: 0)
    private let current = LinkID(1)
    private let mine = LinkID(2)
    private let theirs = LinkID(3)

    /// The arbiter of an end with a link in use.
    private func linked(smaller: Bool) -> LinkArbiter {
        var arbiter = smaller ? LinkArbiter(local: "a", peer: "b") : LinkArbiter(local: "b", peer: "a")
        #expect(
            arbiter.received(current, bootID: boot, intent: .initial)
                == .establish(current, closing: [], sameAgent: false))
        return arbiter
    }

    private func greeted(smaller: Bool) -> LinkArbiter {
        var arbiter = linked(smaller: smaller)
        #expect(arbiter.dialMove(mine) == .dial)
        #expect(arbiter.greet(mine) == .hello(.move))
        return arbiter
    }

    @Test(arguments: [true, false]) func theLinkInUseStaysUntilTheSessionMoved(_ smaller: Bool) {
        var arbiter = greeted(smaller: smaller)
        #expect(arbiter.answered(mine, bootID: boot) == .move(mine, closing: []))
        #expect(arbiter.established == current && arbiter.isMoving)
        let moved = arbiter.moved(mine)
        #expect(moved && arbiter.established == mine && !arbiter.isMoving)
        // The end of the old link means nothing any more.
        #expect(arbiter.lost(current) == .none)
        #expect(arbiter.established == mine)
    }

    @Test func theSmallerEndRefusesOnceItHasGreeted() {
        var arbiter = greeted(smaller: true)
        #expect(arbiter.received(theirs, bootID: boot, intent: .move) == .close([Closing(theirs, .superseded)]))
        #expect(arbiter.answered(mine, bootID: boot) == .move(mine, closing: []))
        #expect(arbiter.received(theirs, bootID: boot, intent: .move) == .close([Closing(theirs, .superseded)]))
    }

    @Test func theLargerEndTakesTheSmallerOnesLink() {
        var arbiter = greeted(smaller: false)
        #expect(arbiter.received(theirs, bootID: boot, intent: .move) == .move(theirs, closing: []))
        #expect(arbiter.lost(mine) == .none)
        let moved = arbiter.moved(theirs)
        #expect(moved && arbiter.established == theirs)
    }

    @Test(arguments: [true, false]) func aDialThatHasNotGreetedGivesWay(_ smaller: Bool) {
        var arbiter = linked(smaller: smaller)
        #expect(arbiter.dialMove(mine) == .dial)
        #expect(
            arbiter.received(theirs, bootID: boot, intent: .move)
                == .move(theirs, closing: [Closing(mine, .superseded)]))
        #expect(arbiter.greet(mine) == .abandon)
        // Nor does another dial begin meanwhile; a further newcomer means that the last one is dead.
        #expect(arbiter.dialMove(mine) == .notNeeded)
        #expect(
            arbiter.received(LinkID(4), bootID: boot, intent: .move)
                == .move(LinkID(4), closing: [Closing(theirs, .superseded)]))
        let moved = arbiter.moved(theirs)
        #expect(!moved && arbiter.established == current)
    }

    @Test func onlyTheAgentOfTheLinkInUseMoves() {
        var fresh = LinkArbiter(local: "a", peer: "b")
        #expect(fresh.dialMove(mine) == .notNeeded)
        #expect(fresh.received(theirs, bootID: boot, intent: .move) == .close([Closing(theirs, .resumeRefused)]))
        var arbiter = greeted(smaller: false)
        #expect(arbiter.received(theirs, bootID: other, intent: .move) == .close([Closing(theirs, .resumeRefused)]))
        #expect(arbiter.answered(mine, bootID: other) == .close([Closing(mine, .resumeRefused)]))
    }

    @Test func anotherLinkEndsAllMoves() {
        var arbiter = greeted(smaller: false)
        #expect(arbiter.received(theirs, bootID: boot, intent: .move) == .move(theirs, closing: []))
        #expect(
            arbiter.received(LinkID(4), bootID: boot, intent: .replace)
                == .establish(
                    LinkID(4),
                    closing: [Closing(current, .replaced), Closing(mine, .superseded), Closing(theirs, .superseded)],
                    sameAgent: true))
        let moved = arbiter.moved(theirs)
        #expect(!moved && arbiter.established == LinkID(4) && !arbiter.isMoving)
    }

    @Test func failedAttemptsLeaveTheLinkInUse() {
        var arbiter = greeted(smaller: true)
        #expect(arbiter.lost(mine) == .none)
        #expect(arbiter.established == current && !arbiter.isMoving)
        #expect(arbiter.dialMove(LinkID(5)) == .dial)
        // A link that is lost can be dialled anew at once, whatever was on its way for it.
        #expect(arbiter.lost(current) == .none)
        #expect(arbiter.dial(LinkID(6)) == .dial)
        #expect(arbiter.greet(LinkID(5)) == .abandon)
    }
}
