import Link
import Testing

@Suite struct ParkedRedialsTests {
    private static let millisecond: UInt64 = 1_000_000
    private static let resumeFor: UInt64 = 30_000 * millisecond

    /// When a peer counts as gone that refuses a dial every 100 ms, in milliseconds.
    private func goneAfter(endedInOrder: Bool, resumeFor: UInt64 = Self.resumeFor) -> UInt64? {
        var redials = ParkedRedials(endedInOrder: endedInOrder, resumeFor: resumeFor)
        return (0..<1_000).map { UInt64($0) * 100 }.first { time in
            redials.isGone(refused: true, now: 7 + time * Self.millisecond)
        }
    }

    @Test func aProcessThatEndedIsGoneSoon() {
        #expect(goneAfter(endedInOrder: true) == 300)
    }

    @Test func aFirewallMayRefuseForAWhile() {
        #expect(goneAfter(endedInOrder: false) == 5_000)
        #expect(goneAfter(endedInOrder: false, resumeFor: 120_000 * Self.millisecond) == 20_000)
        #expect(goneAfter(endedInOrder: false, resumeFor: 3_000 * Self.millisecond) == 2_000)
    }

    /// What becomes of dials at these times, in milliseconds; negative ones fail otherwise than by a refusal.
    private func verdicts(_ times: [Int]) -> [Bool] {
        var redials = ParkedRedials(endedInOrder: true, resumeFor: Self.resumeFor)
        return times.map { redials.isGone(refused: $0 >= 0, now: UInt64($0.magnitude) * Self.millisecond) }
    }

    @Test func oneOtherFailureBeginsItAnew() {
        #expect(verdicts([0, 200, -400, 600, 700, 900]) == [false, false, false, false, false, true])
    }

    /// How long each of five dials waits for the peer, in milliseconds; nil for as long as any handshake may take.
    private func patience(roundTrip: UInt64?) -> [UInt64?] {
        var redials = ParkedRedials(resumeFor: Self.resumeFor, roundTrip: roundTrip.map { $0 * Self.millisecond })
        return (0..<5).map { _ in redials.nextPatience().map { $0 / Self.millisecond } }
    }

    @Test func dialsAreInAHurryButForOneInFour() {
        #expect(patience(roundTrip: nil) == [500, 500, 500, nil, 500])
        #expect(patience(roundTrip: 1) == [500, 500, 500, nil, 500])
        #expect(patience(roundTrip: 300) == [1_450, 1_450, 1_450, nil, 1_450])
        var slow = ParkedRedials(roundTrip: .max)
        #expect(slow.nextPatience() == .max)
    }

    /// Hurry is for each dial; how many there are is the pauses' matter.
    @Test func hurryChangesNoPause() {
        var (hurried, patient) = (ParkedRedials(), ParkedRedials())
        for step in 0..<12 {
            _ = hurried.nextPatience()
            let random = UInt64(step) &* 0x9E37_79B9_7F4A_7C15
            #expect(
                hurried.delay(400 * Self.millisecond, random: random)
                    == patient.delay(400 * Self.millisecond, random: random))
        }
    }

    @Test func fewRefusalsProveNothing() {
        #expect(verdicts([0, 10_000, 10_001]) == [false, false, true])
    }
}
