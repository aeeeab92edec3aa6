import Link
import Testing

/// A refusal of this node's certificate that is a wrong clock at one of the two ends.
@Suite struct OwnCertificateDoubtTests {
    private static let hour: Int64 = 3600
    private let validity: Range<Int64> = 10 * hour..<20 * hour

    private func doubt(_ now: Int64, saysTime: Bool = false, offset: Int64? = nil) -> OwnCertificateDoubt? {
        OwnCertificateDoubt(
            validity: validity, now: now * Self.hour, saysTime: saysTime, offset: offset.map { $0 * Self.hour * 1000 })
    }

    @Test func theOtherClockIsWrong() throws {
        let behind = try #require(doubt(11, offset: -2))
        #expect(behind == .byItsClock(offsetMilliseconds: -2 * Self.hour * 1000, hasEnded: false))
        #expect(
            behind.text(node: "X")
                == "by the clock of node X, which was 2 h behind this host's when it was linked last, this node's certificate "
                + "is not valid yet")
        let ahead = try #require(doubt(19, saysTime: true, offset: 2))
        #expect(ahead == .byItsClock(offsetMilliseconds: 2 * Self.hour * 1000, hasEnded: true))
        #expect(
            ahead.text(node: "X").hasSuffix(
                "2 h ahead of this host's when it was linked last, this node's certificate has expired"))
        #expect(ahead.hint.contains("timedatectl"))
    }

    @Test func nothingIsKnownOfTheOtherClock() throws {
        #expect(try #require(doubt(11, saysTime: true)).text(node: "X").contains("one of the two clocks is wrong"))
        // What is known does not explain it; the alert says that it is the time all the same.
        #expect(doubt(11, saysTime: true, offset: 2) == .valid)
    }

    @Test func clocksDoNotExplainIt() {
        #expect(doubt(11) == nil)
        #expect(doubt(11, offset: 2) == nil)
        // It is refused with good reason, by this host's clock too.
        #expect(doubt(9, saysTime: true, offset: -2) == nil)
        #expect(doubt(20, saysTime: true) == nil)
    }
}
