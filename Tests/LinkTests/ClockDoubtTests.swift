import Link
import Testing

@Suite struct ClockDoubtTests {
    private static let hour: Int64 = 3600

    @Test func theOwnClockIsBehind() throws {
        // Valid in an hour by our clock, which is two hours behind those of the others.
        let offsets: [String: Int64] = ["A": 2 * Self.hour * 1000, "B": 2 * Self.hour * 1000 + 40, "C": -3]
        let doubt = try #require(ClockDoubt(gap: Self.hour, node: "X", offsets: offsets))
        #expect(doubt == .own(offsetMilliseconds: 2 * Self.hour * 1000, nodes: 3))
        #expect(doubt.text(node: "X") == "this host's clock is 2 h behind those of 3 linked nodes")
        #expect(doubt.hint(node: "X").contains("this host"))
    }

    @Test func theOwnClockIsAhead() {
        let doubt = ClockDoubt(gap: -Self.hour, node: "X", offsets: ["A": -2 * Self.hour * 1000])
        #expect(doubt == .own(offsetMilliseconds: -2 * Self.hour * 1000, nodes: 1))
        #expect(doubt?.text(node: "X") == "this host's clock is 2 h ahead of that of a linked node")
    }

    @Test func thePeersClockIsAhead() {
        let offsets: [String: Int64] = ["A": 5, "B": -7, "X": 90_000]
        let doubt = ClockDoubt(gap: 60, node: "X", offsets: offsets)
        #expect(doubt == .peer(offsetMilliseconds: 90_000))
        #expect(doubt?.text(node: "X") == "when it was linked last, the clock of node X was 90 s ahead of this one")
        #expect(doubt?.hint(node: "X").contains("node X") == true)
    }

    /// A host that starts with a wrong clock knows no other one.
    @Test func nothingIsKnown() throws {
        let alone = try #require(ClockDoubt(gap: 60, now: 1_000, authoritySince: 900, knowsClocks: false))
        #expect(alone == .alone(now: 1_000))
        #expect(alone.text(node: "X").contains("says 1000"))
        #expect(alone.hint(node: "X").contains("timedatectl"))
        #expect(ClockDoubt(gap: 60, now: 1_000, authoritySince: 900, knowsClocks: true) == nil)
        #expect(ClockDoubt(gap: 0, now: 1_000, authoritySince: 900, knowsClocks: false) == nil)
    }

    /// A clock from before the mesh's CA is wrong, whatever is known of others.
    @Test func beforeTheAuthorityBegan() throws {
        let doubt = try #require(
            ClockDoubt(gap: 90_000_000, now: 0, authoritySince: 90_000_000, knowsClocks: true))
        #expect(doubt == .beforeAuthority(seconds: 90_000_000))
        #expect(doubt.text(node: "X") == "this host's clock is 1041 d before the mesh's CA began")
        #expect(doubt.hint(node: "X").contains("timedatectl set-ntp true"))
        #expect(ClockDoubt(gap: -60, now: 0, authoritySince: 10, knowsClocks: true) == nil, "expired is another matter")
    }

    @Test(
        arguments: [
            // Nothing is known; too little; the wrong way; of two others only one is off; no gap at all.
            (60, [:]), (60, ["A": 59_000]), (60, ["A": -90_000]), (-60, ["A": 90_000]), (60, ["A": 90_000, "B": 0]),
            (0, ["A": 90_000]),
        ] as [(Int64, [String: Int64])])
    func clocksDoNotExplainIt(gap: Int64, offsets: [String: Int64]) {
        #expect(ClockDoubt(gap: gap, node: "X", offsets: offsets) == nil)
    }
}
