import Link
import Testing

@Suite struct HandshakeTests {
    private func take(_ handshake: inout LinkHandshake, _ frame: [UInt8]) -> LinkHandshake.Step {
        frame.withUnsafeBytes { handshake.received($0) }
    }

    @Test func helloAndAnswer() throws {
        let mine = Harness.hello {
            $0.intent = .replace; $0.versions = 1...3
        }
        let theirs = Harness.hello { $0.bootID = BootID(high: 9, low: 9) }
        var (dialler, first) = LinkHandshake.dial(mine)
        var acceptor = LinkHandshake.accept()
        #expect(take(&acceptor, first) == .decide(mine))
        let answer = acceptor.answer(theirs)
        var expected = theirs
        expected.intent = .replace
        #expect(take(&dialler, answer) == .complete(expected))
        #expect(dialler.role == .dialler && acceptor.role == .acceptor)
    }

    @Test func refusalsReachTheDialler() throws {
        var (dialler, first) = LinkHandshake.dial(Harness.hello())
        var acceptor = LinkHandshake.accept()
        _ = take(&acceptor, first)
        let notice = Notice(.overloaded, retryAfter: 900, detail: "come back later")
        #expect(take(&dialler, acceptor.refuse(notice)) == .refused(notice))
    }

    @Test func noCommonVersion() throws {
        var acceptor = LinkHandshake.accept()
        let newer = Harness.hello { $0.versions = 2...5 }
        guard case .failed(.versionMismatch, _) = take(&acceptor, newer.encodedFrame()) else {
            Issue.record("took a HELLO without our version")
            return
        }
        for versions: ClosedRange<UInt8> in [1...2, 2...2] {
            var (dialler, _) = LinkHandshake.dial(Harness.hello())
            let answer = Harness.hello { $0.versions = versions }
            guard case .failed(.versionMismatch, _) = take(&dialler, answer.encodedFrame()) else {
                Issue.record("took an answer with versions \(versions)")
                continue
            }
        }
    }

    @Test func anythingElseFails() throws {
        let wrong: [[UInt8]] = [
            [], [1, 2, 3], LinkFrame(type: .open, streamID: 1).encoded(), LinkFrame(type: .hello).encoded(payload: [1]),
            LinkFrame(type: .ping).encoded(payload: [UInt8](repeating: 0, count: 16)),
        ]
        for frame in wrong + [LinkFrame(type: .goAway).encoded(payload: [UInt8](repeating: 0, count: 12))] {
            var acceptor = LinkHandshake.accept()
            guard case .failed(.protocolError, _) = take(&acceptor, frame) else {
                Issue.record("acceptor took \(frame)")
                continue
            }
        }
        for frame in wrong {
            var (dialler, _) = LinkHandshake.dial(Harness.hello())
            guard case .failed(.protocolError, _) = take(&dialler, frame) else {
                Issue.record("dialler took \(frame)")
                continue
            }
        }
        var acceptor = LinkHandshake.accept()
        _ = take(&acceptor, Harness.hello().encodedFrame())
        guard case .failed = take(&acceptor, Harness.hello().encodedFrame()) else {
            Issue.record("second HELLO taken")
            return
        }
    }

    @Test(arguments: [LinkRole.dialler, .acceptor]) func wireMessagesAreWebSocketMessages(_ role: LinkRole) throws {
        let frame = Harness.hello { $0.agent = String(repeating: "x", count: 200) }.encodedFrame()
        let message = LinkHandshake.wireMessage(frame, role: role, masks: maskKeys(seed: 8))
        var wire = WireReader(receiver: role == .dialler ? .acceptor : .dialler)
        message.withUnsafeBytes { wire.append($0) }
        var seen: [[UInt8]] = []
        try wire.drain { seen.append(Array($0)) }
        #expect(seen == [frame])
    }
}

@Suite struct BackoffTests {
    private let second: UInt64 = 1_000_000_000

    @Test func doublesUpToTheCapWithFullJitter() {
        var highest = Backoff(base: 100, cap: 1_000)
        var lowest = highest
        #expect((0..<6).map { _ in highest.failed(random: .max) } == [100, 200, 400, 800, 1_000, 1_000])
        #expect((0..<6).map { _ in lowest.failed(random: 0) } == [0, 0, 0, 0, 0, 0])
        #expect(highest.failures == 6)
        highest.succeeded()
        #expect(highest.failed(random: .max) == 100)
    }

    @Test func neverOverflows() {
        var backoff = Backoff(base: .max / 2, cap: .max)
        for _ in 0..<100 { _ = backoff.failed(random: .max) }
        #expect(backoff.failed(random: .max) == .max)
    }

    @Test func hintsAreHonouredAndSpread() {
        var backoff = Backoff()
        #expect(backoff.failed(reason: .overloaded, retryAfter: 4_000, random: 0) == 4 * second)
        #expect(backoff.failed(reason: .overloaded, retryAfter: 4_000, random: .max) == 6 * second)
        #expect(backoff.failed(reason: .overloaded, retryAfter: .max, random: 0) == Backoff.longestHint)
    }

    @Test func hopelessReasonsAreSlow() {
        var backoff = Backoff()
        #expect(backoff.failed(reason: .linkDenied, random: 0) == 4 * second)
        #expect(backoff.failed(reason: .linkDenied, random: .max) == 8 * second)
    }

    @Test func theDefaultBringsAPeerBackWithinASecond() {
        var backoff = Backoff()
        for _ in 0..<50 { #expect(backoff.failed(random: .max) <= second) }
    }
}

@Suite struct PeerClockTests {
    @Test func theShortestRoundTripCounts() {
        var clock = PeerClock()
        #expect(clock.estimate == nil)
        clock.add(sent: 1_000, received: 1_400, peer: 6_350)
        #expect(clock.estimate?.offsetMilliseconds == 5_150 && clock.estimate?.uncertaintyMilliseconds == 201)
        clock.add(sent: 2_000, received: 2_010, peer: 7_005)
        clock.add(sent: 3_000, received: 3_900, peer: 1)
        #expect(clock.estimate?.offsetMilliseconds == 5_000 && clock.estimate?.uncertaintyMilliseconds == 6)
        for _ in 0..<8 { clock.add(sent: 100, received: 120, peer: 60) }
        #expect(clock.estimate?.offsetMilliseconds == -50, "old samples are forgotten")
    }

    @Test func nonsenseIsIgnored() {
        var clock = PeerClock()
        clock.add(sent: 2, received: 1, peer: 1)
        clock.add(sent: 1, received: 2, peer: .max)
        #expect(clock.estimate == nil)
    }
}

@Suite struct LinkReasonTests {
    @Test func codesAndNamesAreStable() {
        #expect(LinkReason.targetRefused.name == "target_refused" && LinkReason.targetRefused.rawValue == 69)
        #expect(LinkReason.duplicateIdentity.closeCode == 4309)
        #expect(LinkReason(closeCode: 4309) == .duplicateIdentity)
        #expect(LinkReason(closeCode: 4499) == .unrecognised && LinkReason(closeCode: 1000) == nil)
        #expect(LinkReason(code: 4_000) == .unrecognised)
        #expect(LinkReason.unrecognised.closeCode == LinkReason.internalError.closeCode)
        var names: Set<String> = []
        for reason in LinkReason.allCases {
            #expect(names.insert(reason.name).inserted)
            #expect(!reason.name.contains { $0.isUppercase || $0 == " " })
            if reason != .unrecognised {
                #expect(LinkReason(closeCode: reason.closeCode) == reason && (4300..<4500).contains(reason.closeCode))
            }
        }
    }
}
