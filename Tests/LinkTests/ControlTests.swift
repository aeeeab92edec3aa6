import Link
import Testing

/// Acknowledgements, pings and deadlines.
@Suite struct ControlTests {
    private let millisecond: UInt64 = 1_000_000

    /// Past the first ping, so that it does not stand in the way.
    private func quiet(configure: (inout SessionConfiguration) -> Void = { _ in }) throws -> Harness {
        let harness = Harness(configure: configure)
        #expect(harness.session.nextDeadline == harness.now)
        #expect(harness.session.advance(now: harness.now) == .flush)
        let ping = try #require(try harness.sent().first)
        #expect(ping.type == .ping)
        let answer = Array(ping.payload[..<8]) + bigEndian(UInt64(1_700_000_000_800))
        #expect(harness.receive(.pong, answer) == .pong(roundTrip: 0))
        return harness
    }

    @Test func acknowledgedWithin25Milliseconds() throws {
        let harness = try quiet()
        _ = try harness.offer(id: 1)
        harness.now += 3 * millisecond
        #expect(harness.receive(.data, id: 1, [1]) != .none)
        #expect(try harness.sent().isEmpty)
        #expect(harness.session.nextDeadline == harness.now + 22 * millisecond)
        harness.now += 22 * millisecond
        #expect(harness.session.advance(now: harness.now) == .flush)
        #expect(try harness.sent() == [SeenFrame(.ack, payload: bigEndian(UInt64(2)))])
        #expect(try harness.sent().isEmpty)
        #expect(harness.session.processedFrames == 2)
    }

    @Test func acknowledgedAtOnceFrom64KiB() throws {
        let harness = try quiet(configure: { $0.initialCredit = 1 << 20 })
        let stream = try harness.accepted(id: 1)
        for _ in 0..<3 { _ = harness.receive(.data, id: 1, [UInt8](repeating: 0, count: 20_000)) }
        #expect(try harness.sent().isEmpty && !harness.session.hasControl)
        _ = harness.receive(.data, id: 1, [UInt8](repeating: 0, count: 20_000))
        #expect(harness.session.hasControl)
        #expect(try harness.sent() == [SeenFrame(.ack, payload: bigEndian(UInt64(5)))])
        harness.session.reset(stream, .cancelled)
    }

    @Test func acknowledgedWithWhateverGoesOut() throws {
        let harness = try quiet()
        let stream = try harness.accepted(id: 1)
        _ = harness.receive(.data, id: 1, [1])
        try harness.send(stream, 1)
        #expect(try harness.sent().map(\.type) == [.data], "a few bytes wait for the timer")
        _ = harness.receive(.data, id: 1, [UInt8](repeating: 0, count: 5_000))
        try harness.send(stream, 1)
        #expect(try harness.sent().map(\.type) == [.data, .ack])
    }

    @Test func unsequencedFramesAreNotAcknowledged() throws {
        let harness = try quiet()
        _ = harness.receive(.ping, bigEndian(UInt64(1)) + bigEndian(UInt64(2)))
        _ = harness.receive([0x95, 0x80, 0, 0, 0, 0, 0, 0])
        #expect(harness.session.processedFrames == 0)
        _ = harness.receive([0x15, 0x80, 0, 0, 0, 0, 0, 0])
        #expect(harness.session.processedFrames == 1, "skipped, and counted all the same")
    }

    @Test func theNewestPingIsAnsweredOnce() throws {
        let harness = try quiet()
        for token: UInt64 in 1...3 { _ = harness.receive(.ping, bigEndian(token) + bigEndian(UInt64(0))) }
        harness.now += 2 * millisecond
        let pong = SeenFrame(.pong, payload: bigEndian(UInt64(3)) + bigEndian(UInt64(1_700_000_000_502)))
        #expect(try harness.sent() == [pong])
        #expect(try harness.sent().isEmpty)
    }

    @Test func pingsMeasureTheRoundTripAndTheClock() throws {
        let harness = try quiet()
        #expect(harness.session.clockEstimate?.offsetMilliseconds == 300)
        harness.now = harness.session.nextDeadline
        #expect(harness.session.advance(now: harness.now) == .flush)
        let ping = try #require(try harness.sent().first)
        harness.now += 80 * millisecond
        #expect(
            harness.receive(.pong, Array(ping.payload[..<8]) + bigEndian(UInt64(5)))
                == .pong(roundTrip: 80 * millisecond))
        #expect(harness.session.roundTrip.last == 80 * millisecond)
        #expect(harness.session.roundTrip.smoothed == 80 * millisecond)
        #expect(harness.session.clockEstimate?.offsetMilliseconds == 300, "the shorter round trip counts")
    }

    @Test func pongsNobodyAskedFor() throws {
        let harness = try quiet()
        #expect(harness.receive(.pong, bigEndian(UInt64(1)) + bigEndian(UInt64(2))) == .violation(.protocolError))
    }

    @Test func aSilentPeerIsDead() throws {
        let harness = try quiet()
        let start = harness.now
        harness.now += 15_000 * millisecond
        #expect(harness.session.advance(now: harness.now) == .flush)
        harness.now = start + 40_000 * millisecond - 1
        #expect(harness.session.advance(now: harness.now) != .peerSilent)
        #expect(harness.session.nextDeadline == start + 40_000 * millisecond)
        harness.now += 1
        #expect(harness.session.advance(now: harness.now) == .peerSilent)
    }

    @Test func anyFrameIsASignOfLife() throws {
        let harness = try quiet()
        let start = harness.now
        harness.now += 39_000 * millisecond
        _ = try harness.offer(id: 1)
        harness.now = start + 60_000 * millisecond
        #expect(harness.session.advance(now: harness.now) == .flush)
    }

    @Test func probes() throws {
        let harness = try quiet()
        harness.session.probe(now: harness.now, timeout: 500 * millisecond)
        #expect(harness.session.isProbing)
        #expect(harness.session.nextDeadline == harness.now + 500 * millisecond)
        #expect(try harness.sent().map(\.type) == [.ping])
        harness.now += 400 * millisecond
        _ = try harness.offer(id: 1)
        #expect(!harness.session.isProbing)
        harness.now += 200 * millisecond
        #expect(harness.session.advance(now: harness.now) == .flush)
        harness.session.probe(now: harness.now, timeout: 500 * millisecond)
        harness.now += 500 * millisecond
        #expect(harness.session.advance(now: harness.now) == .peerSilent)
    }

    @Test func aFullBacklogDoesNotSpinTheTimer() throws {
        let harness = try quiet(configure: { $0.controlBacklog = 1_000 })
        let stream = try harness.accepted(id: 1)
        try harness.send(stream, 5_000)
        _ = harness.receive(.data, id: 1, [1])
        harness.now += 30 * millisecond
        harness.session.flushControl(now: harness.now)
        #expect(harness.session.nextDeadline > harness.now)
        #expect(try harness.sent(flush: false).map(\.type) == [.data])
        #expect(harness.session.nextDeadline <= harness.now)
        #expect(try harness.sent().map(\.type) == [.ack])
    }

    @Test func aDrainedSessionIsQuiet() throws {
        let harness = try quiet()
        #expect(harness.session.isDrained && harness.pool.segmentsInUse == 0)
        let stream = try harness.accepted(id: 1)
        #expect(!harness.session.isDrained)
        harness.session.reset(stream, .cancelled)
        _ = try harness.sent()
        #expect(!harness.session.isDrained, "not acknowledged")
        _ = harness.receive(.ack, bigEndian(harness.session.sentFrames))
        #expect(harness.session.isDrained)
    }

    // MARK: Going away

    @Test func goAwayRefusesNewStreamsAndKeepsOldOnes() throws {
        let harness = try quiet()
        let old = try harness.accepted(id: 1)
        harness.session.goAway(.goingAway, retryAfter: 500, detail: "draining")
        harness.session.goAway(.overloaded)
        let notice = Notice(.goingAway, retryAfter: 500, detail: "draining")
        #expect(
            try harness.sent() == [SeenFrame(.goAway, payload: notice.encodedPayload(for: .goAway, lastStreamID: 1))])
        let payload = OpenRequest(service: "db").encodedPayload(initialCredit: 0)
        #expect(harness.receive(.open, id: 3, payload) == .none)
        #expect(
            try harness.sent()
                == [SeenFrame(.refuse, id: 3, payload: Notice(.goingAway).encodedPayload(for: .refuse))])
        #expect(throws: SessionError.goingAway) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        try harness.send(old, 3)
        #expect(harness.receive(.data, id: 1, [1]) == .data(old, 8..<9, finished: false))
    }

    @Test func thePeersGoAwayStopsOpens() throws {
        let harness = try quiet()
        let notice = Notice(.overloaded, retryAfter: 700, detail: "full")
        #expect(harness.receive(.goAway, notice.encodedPayload(for: .goAway)) == .goAway(.overloaded))
        #expect(harness.session.lastNotice == notice && harness.session.isGoingAway)
        #expect(throws: SessionError.goingAway) {
            try harness.session.open(OpenRequest(service: "db"), now: harness.now)
        }
        _ = try harness.offer(id: 1)
    }
}

/// Frames that the protocol does not allow, each with the state it comes in.
@Suite struct ViolationTests {
    private let eight: [UInt8] = bigEndian(UInt64(1 << 30))
    private let notice = Notice(.cancelled).encodedPayload(for: .reset)
    private let refusal = Notice(.denied).encodedPayload(for: .refuse)
    private let request = OpenRequest(service: "db").encodedPayload(initialCredit: 0)

    /// Our streams: 2 waits for ACCEPT, 4 is open, 6 is over. The peer's: 1 waits for our answer, 3 is open, 5 is open
    /// and its direction is finished, 7 is over.
    private func harness() throws -> Harness {
        let harness = Harness()
        let session = harness.session
        for _ in 0..<3 { _ = try session.open(OpenRequest(service: "db"), now: harness.now) }
        _ = harness.receive(.accept, id: 4, bigEndian(UInt64(16 << 10)))
        _ = harness.receive(.refuse, id: 6, refusal)
        _ = try harness.offer(id: 1)
        _ = try harness.accepted(id: 3)
        _ = try harness.accepted(id: 5)
        _ = harness.receive(.end, id: 5)
        session.refuse(try harness.offer(id: 7), .denied)
        _ = try harness.sent()
        return harness
    }

    private var cases: [(String, SeenFrame)] {
        [
            ("second HELLO", SeenFrame(.hello, payload: Harness.hello().encodedPayload())),
            ("our parity", SeenFrame(.open, id: 8, payload: request)),
            ("OPEN twice", SeenFrame(.open, id: 3, payload: request)),
            ("id used before", SeenFrame(.open, id: 7, payload: request)),
            ("OPEN cut short", SeenFrame(.open, id: 9, payload: [0, 0])),
            ("ACCEPT twice", SeenFrame(.accept, id: 4, payload: eight)),
            ("ACCEPT of the peer's own stream", SeenFrame(.accept, id: 1, payload: eight)),
            ("ACCEPT never asked for", SeenFrame(.accept, id: 8, payload: eight)),
            ("ACCEPT cut short", SeenFrame(.accept, id: 2, payload: [1])),
            ("ACCEPT that takes credit away", SeenFrame(.accept, id: 2, payload: bigEndian(UInt64(5)))),
            ("REFUSE after ACCEPT", SeenFrame(.refuse, id: 4, payload: refusal)),
            ("REFUSE of the peer's own stream", SeenFrame(.refuse, id: 3, payload: refusal)),
            ("REFUSE cut short", SeenFrame(.refuse, id: 2, payload: [0])),
            ("DATA before ACCEPT", SeenFrame(.data, id: 2, payload: [1])),
            ("DATA without bytes", SeenFrame(.data, id: 3)),
            ("DATA after the end", SeenFrame(.data, id: 5, payload: [1])),
            ("DATA never opened by the peer", SeenFrame(.data, id: 9, payload: [1])),
            ("DATA never opened by us", SeenFrame(.data, id: 8, payload: [1])),
            ("END before ACCEPT", SeenFrame(.end, id: 2)),
            ("END twice", SeenFrame(.end, id: 5)),
            ("END with bytes", SeenFrame(.end, id: 3, payload: [1])),
            ("END never opened", SeenFrame(.end, id: 9)),
            ("finish flag twice", SeenFrame(.data, flags: .finish, id: 5)),
            ("RESET before ACCEPT", SeenFrame(.reset, id: 2, payload: notice)),
            ("RESET never opened", SeenFrame(.reset, id: 9, payload: notice)),
            ("RESET cut short", SeenFrame(.reset, id: 3, payload: [0])),
            ("CREDIT before ACCEPT", SeenFrame(.credit, id: 2, payload: eight)),
            ("CREDIT never opened", SeenFrame(.credit, id: 9, payload: eight)),
            ("CREDIT that lowers", SeenFrame(.credit, id: 3, payload: bigEndian(UInt64(1)))),
            ("CREDIT near overflow", SeenFrame(.credit, id: 3, payload: bigEndian(UInt64.max))),
            ("CREDIT too long", SeenFrame(.credit, id: 3, payload: eight + [0])),
            ("ACK of frames never sent", SeenFrame(.ack, payload: bigEndian(UInt64(1_000)))),
            ("ACK of nothing new", SeenFrame(.ack, payload: bigEndian(UInt64(0)))),
            ("ACK cut short", SeenFrame(.ack, payload: [1])),
            ("PING cut short", SeenFrame(.ping, payload: [1])),
            ("PONG cut short", SeenFrame(.pong, payload: [1])),
            ("GOAWAY cut short", SeenFrame(.goAway, payload: [0, 0])),
            (
                "GOAWAY beyond our streams",
                SeenFrame(.goAway, payload: Notice(.normal).encodedPayload(for: .goAway, lastStreamID: 8))
            ),
        ]
    }

    @Test func eachEndsTheLinkWithAGoAway() throws {
        for (name, frame) in cases {
            let harness = try harness()
            #expect(harness.receive(frame.bytes) == .violation(.protocolError), "\(name)")
            #expect(harness.session.currentState == .failed(.protocolError), "\(name)")
            #expect(!harness.session.lastNotice.detail.isEmpty, "\(name)")
            let sent = try harness.sent().map(\.type)
            #expect(sent.last == .goAway, "\(name): \(sent)")
            #expect(harness.receive(frame.bytes) == .none, "\(name): nothing is heard after")
            #expect(harness.session.linkLost().count == 5, "\(name)")
            #expect(harness.budget.used == 0, "\(name)")
        }
    }

    /// What may cross with an end: ignored.
    @Test func lateFramesAreIgnored() throws {
        let harness = try harness()
        for id: UInt64 in [6, 7] {
            for frame in [
                SeenFrame(.data, id: id, payload: [1]), SeenFrame(.end, id: id),
                SeenFrame(.credit, id: id, payload: eight),
                SeenFrame(.reset, id: id, payload: notice),
            ] {
                #expect(harness.receive(frame.bytes) == .none, "\(frame.type) on \(id)")
            }
        }
        #expect(harness.session.currentState == .open)
    }

    @Test func framesBeyondOurLimit() throws {
        let harness = Harness(configure: { $0.maximumPayload = 5_000 })
        _ = try harness.accepted(id: 1)
        #expect(harness.receive(.data, id: 1, [UInt8](repeating: 0, count: 5_000)) != .violation(.frameTooLarge))
        #expect(
            harness.receive(.data, id: 1, [UInt8](repeating: 0, count: 5_001)) == .violation(.frameTooLarge))
    }

    @Test func rapidResetsAreAFlood() throws {
        let harness = Harness(configure: {
            $0.resetBurst = 10; $0.resetsPerSecond = 1
        })
        for index in 0..<10 {
            let stream = try harness.accepted(id: UInt64(2 * index + 1))
            #expect(harness.receive(.reset, id: UInt64(2 * index + 1), notice) == .reset(stream, .cancelled))
        }
        harness.now += 1_000_000_000
        let late = try harness.offer(id: 21)
        #expect(harness.receive(.reset, id: 21, notice) == .reset(late, .cancelled))
        _ = try harness.offer(id: 23)
        #expect(harness.receive(.reset, id: 23, notice) == .violation(.flood))
    }

    @Test func resetsOfStreamsThatWereUsedAreNot() throws {
        let harness = Harness(configure: {
            $0.resetBurst = 2; $0.resetsPerSecond = 0
        })
        for index in 0..<50 {
            let stream = try harness.accepted(id: UInt64(2 * index + 1))
            try harness.send(stream, 1)
            #expect(harness.receive(.reset, id: UInt64(2 * index + 1), notice) == .reset(stream, .cancelled))
        }
    }

    @Test func resetsOfOldIdleStreamsAreNot() throws {
        let harness = Harness(configure: {
            $0.resetBurst = 2; $0.resetsPerSecond = 0
        })
        let streams = try (0..<50).map { try harness.accepted(id: UInt64(2 * $0 + 1)) }
        harness.now += 1_000_000_000
        for (index, stream) in streams.enumerated() {
            #expect(harness.receive(.reset, id: UInt64(2 * index + 1), notice) == .reset(stream, .cancelled))
        }
    }

    @Test func pingsAreLimited() {
        let harness = Harness(configure: {
            $0.pingBurst = 5; $0.pingsPerSecond = 2
        })
        let payload: [UInt8] = bigEndian(UInt64(1)) + bigEndian(UInt64(2))
        for _ in 0..<5 { #expect(harness.receive(.ping, payload) == .none) }
        harness.now += 500_000_000
        #expect(harness.receive(.ping, payload) == .none)
        #expect(harness.receive(.ping, payload) == .violation(.flood))
    }

    @Test func opensWithoutReadingTheAnswersAreAFlood() {
        let harness = Harness(configure: {
            $0.maximumPeerStreams = 0; $0.retentionLimit = 1_000
        })
        var id: UInt64 = 1
        var event = SessionEvent.none
        while event == .none, id < 1_000_000 {
            event = harness.receive(.open, id: id, request)
            id += 2
        }
        #expect(event == .violation(.flood))
        #expect(harness.session.retainedBytes < 2 << 20)
    }

    @Test func aPeerThatNeverAcknowledgesIsFound() throws {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try harness.send(stream, 100)
        for round in 0..<3 {
            harness.now = max(harness.now, harness.session.nextDeadline)
            while try !harness.sent().contains(where: { $0.type == .ping }) {
                harness.now = harness.session.nextDeadline
                _ = harness.session.advance(now: harness.now)
            }
            let token: [UInt8] = bigEndian(harness.now)
            harness.now += 1
            let event = harness.receive(.pong, token + bigEndian(UInt64(0)))
            #expect(event == (round == 0 ? .pong(roundTrip: 1) : .violation(.retentionExceeded)))
            if round == 1 { break }
        }
    }
}
