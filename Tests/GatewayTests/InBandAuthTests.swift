import Gateway
import SeededRandom
import Testing
import WebSocket

@Suite struct InBandAuthTests {
    /// What comes out when the client's bytes arrive in pieces of `step`.
    private func run(_ wire: [UInt8], phase: InBandAuth.Phase = .passing, step: Int) -> (
        passed: [UInt8], steps: [InBandAuth.Step]
    ) {
        var auth = InBandAuth(phase)
        var waiting: [UInt8] = []
        var passed: [UInt8] = []
        var steps: [InBandAuth.Step] = []
        for start in stride(from: 0, to: wire.count, by: step) {
            waiting += wire[start..<min(start + step, wire.count)]
            loop: while true {
                let next = waiting.withUnsafeBytes { auth.next($0) }
                switch next {
                case .needMore: break loop
                case .pass(let count):
                    if count == 0 { return (passed, steps + [next]) }
                    passed += waiting[..<count]
                    waiting.removeFirst(count)
                case .credential(_, let consumed):
                    steps.append(next)
                    waiting.removeFirst(consumed)
                    auth.accepted()
                case .malformed(_, let consumed), .ping(_, let consumed), .pong(let consumed):
                    steps.append(next)
                    waiting.removeFirst(consumed)
                case .closed, .failed: return (passed, steps + [next])
                }
            }
        }
        return (passed, steps)
    }

    private func text(_ text: String, first: UInt8 = 0x81) -> [UInt8] { frame(first, Array(text.utf8)) }

    private func credentials(_ steps: [InBandAuth.Step]) -> [PresentedCredential] {
        steps.compactMap { if case .credential(let credential, _) = $0 { credential } else { nil } }
    }

    @Test func messagesForTheEdgeAreTakenOut() {
        let before = text("hello") + frame(0x01, [1, 2]) + frame(0x89, [9]) + frame(0x80, [3])
        let renewal = text("conduit.auth.v1 token abc.def")
        let after =
            text("conduit.auth.v1") + text("conduit.auth.v1x token a")
            + frame(0x82, Array("conduit.auth.v1 token a".utf8))
        let wire =
            before + renewal + after + text("conduit.auth.v1 key k-1") + text("conduit.auth.v1 token a p")
            + frame(0x88, [3, 232])
        for step in [1, 2, 3, 7, 16, 40, wire.count] {
            let (passed, steps) = run(wire, step: step)
            #expect(passed == before + after + frame(0x88, [3, 232]))
            #expect(
                credentials(steps) == [
                    PresentedCredential(kind: .bearer, secret: "abc.def", source: .message),
                    PresentedCredential(kind: .apiKey, secret: "k-1", source: .message),
                    PresentedCredential(kind: .dpop, secret: "a", proof: "p", source: .message),
                ])
        }
    }

    /// What is not exactly a message for the edge passes untouched, byte for byte.
    @Test func everythingElsePasses() {
        let wires = [
            // Fragmented, compressed, unmasked, behind a close frame, inside another message.
            text("conduit.auth.v1 token a", first: 0x01) + frame(0x80, []),
            text("conduit.auth.v1 token a", first: 0xC1),
            frame(0x81, Array("conduit.auth.v1 token a".utf8), masked: false),
            frame(0x88, []) + text("conduit.auth.v1 token a"),
            frame(0x02, [1]) + text("conduit.auth.v1 token a"), [0x83, 0x00] + text("conduit.auth.v1 token a"),
            text("Conduit.auth.v1 token a"), text(""), frame(0x82, [UInt8](repeating: 7, count: 100_000)),
        ]
        for wire in wires {
            for step in [1, 5, wire.count] {
                let (passed, steps) = run(wire, step: step)
                #expect(steps.isEmpty)
                let isSame = passed == wire
                #expect(isSame)
            }
        }
    }

    /// A message of the application is not held back longer than it looks like one for the edge.
    @Test func nothingIsHeldBackWithoutNeed() {
        var auth = InBandAuth(.passing)
        let wire = text("conduct is not conduit")
        // Header (6 bytes) and "condu" could still be for the edge; the "c" behind them cannot.
        #expect(wire[..<11].withUnsafeBytes { auth.next($0) } == .needMore)
        #expect(wire[..<12].withUnsafeBytes { auth.next($0) } == .pass(12))
    }

    @Test(arguments: [
        "conduit.auth.v1 ", "conduit.auth.v1 token", "conduit.auth.v1 token ", "conduit.auth.v1 renew abc",
        "conduit.auth.v1 token a b c", "conduit.auth.v1  token a", "conduit.auth.v1 token a\n",
        "conduit.auth.v1 token \u{e9}",
        "conduit.auth.v1 key a b", "conduit.auth.v1 TOKEN a",
    ])
    func malformedMessagesNeverReachTheService(_ message: String) {
        let wire = text(message) + text("next")
        let (passed, steps) = run(wire, step: 3)
        #expect(passed == text("next"))
        guard case .malformed(let refusal, _)? = steps.first else {
            Issue.record("\(steps)")
            return
        }
        #expect(refusal.reason == "authentication_malformed")
        let (nothing, first) = run(wire, phase: .first, step: 3)
        guard case .failed(let failure)? = first.first else {
            Issue.record("\(first)")
            return
        }
        #expect(nothing.isEmpty && failure.closeCode.rawValue == 4401)
    }

    @Test func largeMessagesFail() {
        let largest = text("conduit.auth.v1 token " + String(repeating: "a", count: 16_384 - 22))
        #expect(credentials(run(largest, step: 5000).steps).count == 1)
        #expect(credentials(run(largest, phase: .first, step: 5000).steps).count == 1)
        let larger = text("conduit.auth.v1 token " + String(repeating: "a", count: 16_384 - 21))
        for phase in [InBandAuth.Phase.first, .passing] {
            // As soon as the header and the prefix are there, not when the message is complete.
            let (passed, steps) = run(Array(larger[..<40]), phase: phase, step: 40)
            guard case .failed(let refusal)? = steps.last else {
                Issue.record("\(steps)")
                continue
            }
            #expect(
                passed.isEmpty && refusal.reason == "authentication_too_large" && refusal.closeCode.rawValue == 4401)
        }
    }

    /// The largest length that a header can announce, behind a ping that counts already.
    @Test func lengthsWithoutEndDoNotOverflow() {
        let endless: [UInt8] = [0x81, 0xFF, 0x7F] + [UInt8](repeating: 0xFF, count: 7) + [0, 0, 0, 0]
        for start in [[], frame(0x89, [1, 2])] {
            guard case .failed(let refusal)? = run(start + endless, phase: .first, step: 100).steps.last else {
                Issue.record("an endless message")
                continue
            }
            #expect(refusal.reason == "authentication_too_large")
        }
    }

    @Test func theFirstMessageAuthenticates() {
        let wire = frame(0x89, [1, 2]) + frame(0x8A, []) + text("conduit.auth.v1 token abc") + text("hello")
        for step in [1, 4, wire.count] {
            let (passed, steps) = run(wire, phase: .first, step: step)
            #expect(passed == text("hello"))
            #expect(steps.count == 3 && steps.first == .ping([1, 2], consumed: 8) && credentials(steps).count == 1)
        }
    }

    @Test func anythingElseFirstFails() {
        for wire in [
            text("hello, service"), text(""), frame(0x82, Array("conduit.auth.v1 token a".utf8)),
            text("conduit.auth.v1 token a", first: 0x01), text("conduit.auth.v1 token a", first: 0xC1),
            frame(0x81, Array("conduit.auth.v1 token a".utf8), masked: false), [0x83, 0x80], frame(0x80, []),
        ] {
            let (passed, steps) = run(wire, phase: .first, step: wire.count)
            guard case .failed(let refusal)? = steps.first else {
                Issue.record("\(steps)")
                continue
            }
            #expect(passed.isEmpty && refusal.reason == "authentication_expected" && refusal.closeCode.rawValue == 4401)
        }
        #expect(run(frame(0x88, []), phase: .first, step: 9).steps == [.closed])
        let pings = (0..<200).flatMap { _ in frame(0x89, [UInt8](repeating: 0, count: 125)) }
        guard case .failed(let refusal)? = run(pings, phase: .first, step: 1000).steps.last else {
            Issue.record("pings without end")
            return
        }
        #expect(refusal.reason == "authentication_too_large")
    }

    @Test func answersAreWritten() {
        #expect(InBandMessage.accepted(expires: 1_700_000_000, connection: "c1") == "conduit.auth.v1 ok 1700000000 c1")
        #expect(
            InBandMessage.accepted(expires: nil, connection: "c1", selected: "chat")
                == "conduit.auth.v1 ok never c1 chat")
        #expect(InBandMessage.refused("token_expired") == "conduit.auth.v1 error token_expired")
        #expect(InBandMessage.refused("use_dpop_nonce", nonce: "n") == "conduit.auth.v1 error use_dpop_nonce n")
        #expect(InBandMessage.expiring(seconds: 30) == "conduit.auth.v1 expires 30")
    }

    /// With random frames, cut anywhere: what passes is the input without the messages for the edge.
    @Test func passingIsExact() {
        for seed in 0..<200 {
            var random = SeededRandom(UInt64(seed))
            var wire: [UInt8] = []
            var expected: [UInt8] = []
            var messages = 0
            for _ in 0..<Int.random(in: 1...10, using: &random) {
                let size = [0, 3, 15, 16, 17, 130, 5000].randomElement(using: &random) ?? 0
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    wire += text("conduit.auth.v1 token t\(size)")
                    messages += 1
                case 1:
                    let parts = frame(0x01, Array("conduit.auth.v1 token ".utf8)) + frame(0x89, []) + frame(0x80, [1])
                    wire += parts
                    expected += parts
                default:
                    let prefix = Array("conduit.auth.v2 token".utf8.prefix(size))
                    let one = frame(
                        Bool.random(using: &random) ? 0x81 : 0x82, prefix + [UInt8](repeating: 0x61, count: size))
                    wire += one
                    expected += one
                }
            }
            let (passed, steps) = run(wire, step: Int.random(in: 1...50, using: &random))
            let isExact = passed == expected && credentials(steps).count == messages
            #expect(isExact, "seed \(seed)")
        }
    }
}
