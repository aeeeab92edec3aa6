import Audit
import Testing

@Suite struct AuditAggregatorTests {
    private static func kind(_ cause: AuditAggregator.Cause) -> SecurityEvent { SecurityEvent(.access, by: cause) }

    /// The first of a minute are written, the rest is one summary for each event and reason.
    @Test func floodsBecomeSummaries() {
        var aggregator = AuditAggregator()
        func admit(_ event: String, _ reason: String, _ source: Int, _ now: Int64) -> Bool {
            aggregator.admits(event, Self.kind(.strangers), reason: reason, source: "\(source)", now: now)
        }
        let allowance = (0..<1000).count { admit("handshake_failed", "expired", $0 % 40, Int64($0)) }
        #expect(allowance == 30)
        let others = (0..<31).count { admit("enrolment_refused", "bad_proof", $0, 1001) }
        #expect(others == 30, "an event has its own allowance, whatever noise there is of another")
        #expect(aggregator.due == AuditAggregator.window)
        #expect(aggregator.summaries(now: AuditAggregator.window - 1).isEmpty)
        let summaries = aggregator.summaries(now: AuditAggregator.window)
        #expect(summaries.map(\.event) == ["enrolment_refused", "handshake_failed"])
        #expect(summaries.map(\.reason) == ["bad_proof", "expired"])
        #expect(summaries.map(\.count) == [1, 970] && summaries.map(\.sources) == [1, 40])
        #expect(summaries.map(\.examples) == [["30"], (30..<38).map { "\($0)" }])
        #expect(aggregator.due == nil)
        #expect(admit("handshake_failed", "expired", 1, AuditAggregator.window + 1), "a new minute")
    }

    /// Strangers use up nobody else's allowance, and what the agent itself does is always written.
    @Test func allowancesAreApart() {
        var aggregator = AuditAggregator()
        for _ in 0..<5000 { _ = aggregator.admits("a", Self.kind(.strangers), reason: "", source: "s", now: 0) }
        let second = (0..<5000).count { _ in
            aggregator.admits("d", Self.kind(.strangers), reason: "", source: "s", now: 0)
        }
        #expect(second == 30)
        let first = aggregator.admits("b", Self.kind(.known), reason: "", source: "s", now: 0)
        #expect(first)
        let known = (0..<5000).count { _ in aggregator.admits("b", Self.kind(.known), reason: "", source: "s", now: 0) }
        #expect(known == 599)
        let own = (0..<5000).count { _ in aggregator.admits("c", Self.kind(.own), reason: "", source: "s", now: 0) }
        #expect(own == 5000)
    }

    /// The same event can be a stranger's or somebody's who is known: each has its allowance, and its summary says whose it is.
    @Test func aSummarySaysWhoseItIs() {
        var aggregator = AuditAggregator()
        for _ in 0..<50 { _ = aggregator.admits("denied", Self.kind(.strangers), reason: "", source: "s", now: 0) }
        let known = (0..<601).count { _ in
            aggregator.admits("denied", Self.kind(.known), reason: "", source: "k", now: 0)
        }
        #expect(known == 600)
        let summaries = aggregator.summaries(now: 0, atEnd: true)
        #expect(Set(summaries.map(\.kind.cause)) == [.strangers, .known])
        #expect(summaries.first { $0.kind.cause == .strangers }?.count == 20)
    }

    /// However many kinds a stranger thinks of, memory has a bound.
    @Test func groupsHaveABound() {
        var aggregator = AuditAggregator()
        for index in 0..<10_000 {
            _ = aggregator.admits("e", Self.kind(.strangers), reason: "r\(index)", source: "\(index)", now: 0)
        }
        let summaries = aggregator.summaries(now: 0, atEnd: true)
        #expect(summaries.count == 65)
        #expect(summaries.map(\.count).reduce(0, +) == 9970)
        #expect(summaries.first { $0.reason.isEmpty }?.sources == AuditAggregator.maximumSources)
    }

    @Test func everyCodeIsInOneCategory() {
        let all = SecurityEvent.all.flatMap(\.events)
        #expect(Set(all).count == all.count)
        let denied = SecurityEvent.of("stream_denied")
        #expect(denied?.category == .access && denied?.cause == .known)
        #expect(SecurityEvent.of("target_failed") == nil)
    }
}
