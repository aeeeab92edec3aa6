import Link
import Testing

/// The number of streams that all peers of an agent may have open.
@Suite struct StreamQuotaTests {
    private let request = OpenRequest(service: "db").encodedPayload(initialCredit: 0)

    private func refusal(_ id: UInt64, _ reason: LinkReason) -> SeenFrame {
        SeenFrame(
            .refuse, id: id, payload: Notice(reason, retryAfter: reason.retryDelay).encodedPayload(for: .refuse))
    }

    /// Two sessions share it; a place that one gives back the other gets.
    @Test func countsOverAllSessions() throws {
        let quota = StreamQuota(limit: 2)
        let (first, second) = (Harness(quota: quota), Harness(quota: quota))
        let stream = try first.offer(id: 1)
        _ = try second.offer(id: 1)
        #expect(quota.used == 2)
        #expect(second.receive(.open, id: 3, request) == .none)
        #expect(try second.sent() == [refusal(3, .tooManyStreams)])
        #expect(quota.refusals == (1, 0))
        first.session.refuse(stream, .denied)
        _ = try second.offer(id: 5)
        #expect(quota.used == 2)
        // Streams of its own take no place.
        _ = try first.session.open(OpenRequest(service: "db"), now: first.now)
        #expect(quota.used == 2)
    }

    @Test func endsOfSessionsGivePlacesBack() throws {
        let quota = StreamQuota(limit: 10)
        let lost = Harness(quota: quota)
        for id in [1, 3, 5] as [UInt64] { _ = try lost.offer(id: id) }
        #expect(quota.used == 3)
        #expect(lost.session.linkLost().count == 3)
        #expect(quota.used == 0)
        do {
            let dropped = Harness(quota: quota)
            _ = try dropped.offer(id: 1)
            #expect(quota.used == 1)
        }
        #expect(quota.used == 0)
    }

    @Test func theLimitCanChange() throws {
        let quota = StreamQuota(limit: 1)
        let harness = Harness(quota: quota)
        let first = try harness.offer(id: 1)
        quota.limit = 2
        _ = try harness.offer(id: 3)
        quota.limit = 0
        #expect(quota.used == 2 && harness.session.isLive(first), "what runs goes on")
        _ = try harness.sent()
        #expect(harness.receive(.open, id: 5, request) == .none)
        #expect(try harness.sent() == [refusal(5, .tooManyStreams)])
    }

    /// An OPEN that the receive budget does not hold takes no place.
    @Test func refusedForTheBudget() throws {
        let quota = StreamQuota(limit: 10)
        let harness = Harness(budget: 1, quota: quota)
        #expect(harness.receive(.open, id: 1, request) == .none)
        #expect(try harness.sent() == [refusal(1, .streamOverloaded)])
        #expect(quota.used == 0 && quota.refusals == (0, 1))
    }

    /// Other times count on a session that stands.
    @Test func timesOfARunningSession() throws {
        let harness = Harness()
        _ = try harness.sent()
        #expect(harness.session.advance(now: harness.now) == .flush, "the first ping")
        #expect(harness.session.nextDeadline == harness.now + 15_000_000_000)
        var times = SessionConfiguration()
        times.pingInterval = 100
        times.deadPeerTimeout = 300
        harness.session.use(timesOf: times, now: harness.now)
        #expect(harness.session.nextDeadline == harness.now + 100)
        #expect(harness.session.advance(now: harness.now + 300) == .peerSilent)
    }

    /// A shorter time counts from the change on: a peer that nobody has asked since is not silent.
    @Test func aShorterTimeFindsNobodySilent() throws {
        let harness = Harness()
        _ = try harness.sent()
        _ = harness.session.advance(now: harness.now)
        let later = harness.now + 10_000_000_000
        var times = SessionConfiguration()
        times.pingInterval = 1_000_000_000
        times.deadPeerTimeout = 3_000_000_000
        harness.session.use(timesOf: times, now: later)
        #expect(harness.session.nextDeadline > later)
        #expect(harness.session.advance(now: later + 1) != .peerSilent)
        #expect(harness.session.advance(now: later + 3_000_000_000) == .peerSilent)
    }

    /// However much other sessions hold of the worker's memory, each goes on with two segments of its own, and needs no more than
    /// the acknowledgement of the first for the next: control frames that always wait for theirs do not stop it.
    @Test func twoSegmentsAreEachSessionsOwn() throws {
        let pool = SegmentPool(keep: 0, limit: 1)
        let (greedy, other) = (Harness(pool: pool), Harness(pool: pool))
        for harness in [greedy, other] {
            let stream = try harness.session.open(OpenRequest(service: "db"), now: harness.now)
            #expect(harness.receive(.accept, id: 2, bigEndian(UInt64(1 << 30))) == .accepted(stream))
            harness.session.markReadable(stream)
            var written = 0
            while let room = harness.session.sendRoom(stream, atMost: 65_280) {
                harness.session.commit(stream, room.count)
                written += room.count
                try #require(written < 1 << 20, "the pool has no bound")
            }
            #expect(written > 2 * (SegmentPool.segmentSize - 32 << 10) && written <= 2 * SegmentPool.segmentSize)
            #expect(!harness.session.acceptsData)
        }
        // The peer has half of it: the next segment.
        while other.session.withUnsent({ $0.count }) > 0 {}
        #expect(other.receive(.ack, bigEndian(other.session.sentFrames / 2 + 1)) == .none)
        #expect(other.session.retainedBytes > 0 && other.session.acceptsData)
        #expect(!greedy.session.acceptsData)
    }
}
