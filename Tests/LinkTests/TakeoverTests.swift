import Link
import Testing

/// Another process of a node takes over: the session that is left, and what the peer's arbiter makes of it.
@Suite struct TakeoverTests {
    private let old = BootID(high: 1, low: 0)
    private let new = BootID(high: 2, low: 0)
    private let link = LinkID(1)
    private let newcomer = LinkID(2)
    private let third = LinkID(3)

    private func linked() -> LinkArbiter {
        var arbiter = LinkArbiter(local: "a", peer: "b")
        #expect(
            arbiter.received(link, bootID: old, intent: .initial) == .establish(link, closing: [], sameAgent: false))
        return arbiter
    }

    @Test func aSuccessorIsTakenOnceTheOldRunHasGoneAway() {
        var arbiter = linked()
        #expect(arbiter.retired(link) == .none)
        #expect(arbiter.isIdle && arbiter.established == nil)
        // Nobody is probed, and the old link carries on.
        #expect(
            arbiter.received(newcomer, bootID: new, intent: .initial)
                == .establish(newcomer, closing: [], sameAgent: false))
        #expect(arbiter.lost(link) == .none)
        #expect(arbiter.established == newcomer)
    }

    @Test func aSuccessorThatComesFirstWaitsForTheOldRunsWord() {
        var arbiter = linked()
        #expect(arbiter.received(newcomer, bootID: new, intent: .initial, predecessor: old) == .hold(closing: []))
        // Whatever an earlier probe came to.
        #expect(arbiter.probeEnded(answered: true) == .none)
        #expect(arbiter.established == link)
        #expect(arbiter.retired(link) == .establish(newcomer, closing: [], sameAgent: false))
    }

    @Test func aSuccessorThatComesFirstIsTakenWhenTheOldLinkBreaks() {
        var arbiter = linked()
        #expect(arbiter.received(newcomer, bootID: new, intent: .initial, predecessor: old) == .hold(closing: []))
        #expect(arbiter.lost(link) == .establish(newcomer, closing: [], sameAgent: false))
    }

    /// Whoever has stolen a key learns the boot id, too; the node itself has not gone away.
    @Test func theClaimAloneChangesNothing() {
        var arbiter = linked()
        #expect(arbiter.received(newcomer, bootID: new, intent: .initial, predecessor: old) == .hold(closing: []))
        #expect(arbiter.lost(newcomer) == .none)
        #expect(arbiter.established == link)
        #expect(arbiter.received(third, bootID: new, intent: .initial, predecessor: new) == .probe(link, closing: []))
        #expect(arbiter.probeEnded(answered: true) == .duplicateIdentity(third))
    }

    @Test func thePeerCanBeDialledOnceItHasGoneAway() {
        var arbiter = linked()
        #expect(arbiter.dial(third) == .notNeeded)
        #expect(arbiter.retired(newcomer) == .none, "another link")
        #expect(arbiter.retired(link) == .none)
        #expect(arbiter.dial(third) == .dial)
        #expect(arbiter.greet(third) == .hello(.initial))
        #expect(arbiter.answered(third, bootID: new) == .establish(third, closing: [], sameAgent: false))
    }

    /// Both ends dial after it: that is a crossing like any other, and no session is replaced.
    @Test func linksThatCrossAfterItAreNotReplaced() {
        var arbiter = linked()
        #expect(arbiter.retired(link) == .none)
        #expect(arbiter.dial(third) == .dial)
        #expect(arbiter.greet(third) == .hello(.initial))
        #expect(arbiter.answered(third, bootID: new) == .establish(third, closing: [], sameAgent: false))
        #expect(
            arbiter.received(newcomer, bootID: new, intent: .initial, predecessor: old)
                == .close([.init(newcomer, .superseded)]))
    }

    @Test func helloNamesThePredecessor() throws {
        var hello = Hello(bootID: new, intent: .initial, unixMilliseconds: 0, agent: "test")
        #expect(hello.predecessor == nil)
        hello.predecessor = old
        let payload = hello.encodedPayload()
        let parsed = try payload.withUnsafeBytes { try Hello(payload: $0) }
        #expect(parsed.predecessor == old)
        hello.predecessor = nil
        #expect(hello.extensions.isEmpty)
        hello.extensions = [FrameExtension(type: 5, value: [1, 2, 3])]
        #expect(hello.predecessor == nil, "not a boot id")
    }

    // MARK: The session that is left

    /// Past the first ping, so that it does not stand in the way.
    private func quiet() throws -> Harness {
        let harness = Harness()
        #expect(harness.session.advance(now: harness.now) == .flush)
        let ping = try #require(try harness.sent().first)
        _ = harness.receive(.pong, Array(ping.payload[..<8]) + bigEndian(UInt64(0)))
        return harness
    }

    @Test func theEndThatLeavesMayOpenStreams() throws {
        let harness = try quiet()
        harness.session.goAway(.goingAway, retryAfter: 20, opensOn: true)
        _ = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        let payload = OpenRequest(service: "db").encodedPayload(initialCredit: 0)
        #expect(harness.receive(.open, id: 1, payload) == .none, "and takes none")
        #expect(try harness.sent().map(\.type) == [.goAway, .open, .refuse])
        let notice = Notice(.goingAway, retryAfter: 20).encodedPayload(for: .goAway)
        #expect(harness.receive(.goAway, notice) == .goAway(.goingAway))
        #expect(throws: SessionError.goingAway) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
    }

    @Test func theLastAnswerIsOneToAPingBehindGoAway() throws {
        let harness = try quiet()
        #expect(harness.session.isConfirmed)
        harness.session.goAway(.goingAway, retryAfter: 20)
        harness.session.confirm()
        #expect(!harness.session.isConfirmed)
        let sent = try harness.sent()
        #expect(sent.map(\.type) == [.goAway, .ping])
        harness.now += 1_000_000
        _ = harness.receive(.pong, Array(sent[1].payload[..<8]) + bigEndian(UInt64(0)))
        #expect(harness.session.isConfirmed)
    }

    @Test func anAnswerThatIsUnderWayDoesNotCount() throws {
        let harness = try quiet()
        harness.now = harness.session.nextDeadline
        _ = harness.session.advance(now: harness.now)
        let first = try #require(try harness.sent().first)
        harness.session.goAway(.goingAway, retryAfter: 20)
        harness.session.confirm()
        #expect(try harness.sent().map(\.type) == [.goAway])
        harness.now += 1_000_000
        _ = harness.receive(.pong, Array(first.payload[..<8]) + bigEndian(UInt64(0)))
        #expect(!harness.session.isConfirmed)
        let second = try #require(try harness.sent().first { $0.type == .ping })
        harness.now += 1_000_000
        _ = harness.receive(.pong, Array(second.payload[..<8]) + bigEndian(UInt64(0)))
        #expect(harness.session.isConfirmed)
    }
}
