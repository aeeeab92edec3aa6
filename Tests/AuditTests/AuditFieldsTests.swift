import Audit
import JSON
import Testing

@Suite struct AuditFieldsTests {
    /// What is within bounds stays as it is.
    @Test func shortFieldsStay() {
        let fields: JSONObject = [
            "path": "/a", "count": 3, "rule": .null, "names": ["a", "ü"], "seal": ["through": 7, "log": "x"],
            "text": .string(String(repeating: "é\"", count: 200)),
        ]
        #expect(AuditFields.bounded(fields) == fields)
    }

    /// Text that is too long is cut between characters, and the record says so.
    @Test(arguments: ["x", "é", "\u{1F600}", "\u{1}", "\""])
    func longTextIsCut(_ character: String) throws {
        let long = String(repeating: character, count: 70_000)
        let fields = AuditFields.bounded(["path": .string(long), "reason": "no_rule"])
        let text = try #require(fields["path"]?.string)
        #expect(text.hasSuffix("… (\(long.utf8.count) bytes)"))
        let beginning = text.prefix { String($0) == character }
        #expect(!beginning.isEmpty && beginning.utf8.count <= AuditFields.maximumText)
        #expect(JSONValue.object(["p": .string(text)]).serialized().count < AuditFields.maximumText + 64)
        #expect(fields["cut"] == ["path"])
        #expect(fields["reason"] == "no_rule")
    }

    /// Whatever is in the fields, the record fits into a line, with what it is about.
    @Test func aRecordFitsIntoALine() {
        var deep: JSONValue = .string(String(repeating: "\u{2}", count: 5000))
        for _ in 0..<50 { deep = [deep, ["key": deep]] }
        var fields: JSONObject = ["event": "first"]
        for index in 0..<500 {
            fields["field-\(index)"] = .array(
                (0..<500).map { .string(String(repeating: "\u{3}", count: $0)) } + [index == 0 ? deep : .null])
            fields[String(repeating: "k", count: 1000 + index)] = .object(["a": .string("b")])
        }
        let bounded = AuditFields.bounded(fields)
        #expect(bounded["event"] == "first")
        #expect(bounded["cut"]?.array?.isEmpty == false)
        #expect(JSONValue.object(bounded).serialized().count < AuditLine.largest - 1024)
        var chain = AuditChain(log: "0011")
        let line = chain.append(
            time: "2026-11-29T09:00:00.000Z", event: "access_denied", category: .access, severity: "warning",
            fields: bounded)
        #expect(!String(decoding: line, as: UTF8.self).contains("omitted"))
    }

    /// What events are counted by is short, so that a stranger cannot fill the memory with it.
    @Test func whatIsCountedIsShort() {
        var aggregator = AuditAggregator()
        let kind = SecurityEvent(.access, by: .strangers)
        for index in 0..<100 {
            let long = String(repeating: "r", count: 100_000)
            _ = aggregator.admits("denied", kind, reason: long, source: long + "\(index)", now: 0)
        }
        for summary in aggregator.summaries(now: 0, atEnd: true) {
            #expect(summary.reason.utf8.count < 150)
            #expect(summary.examples.allSatisfy { $0.utf8.count < 150 })
        }
    }
}
