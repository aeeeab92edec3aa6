import Audit
import JSON
import PKI
import Testing

@Suite struct AuditLineTests {
    /// The layout, as other programs have to read it: computed with Python's hashlib.
    @Test func theHashIsWhatTheDocumentationSays() {
        let line = AuditLine(content: Array(#"{"seq":1}"#.utf8), after: .zero)
        #expect(line.hash.text == "n5v_FZ_19V1o94FqJklHLXz7r6CgBFtYa4v_-wPOga8")
        #expect(line.bytes == Array("\(line.hash.text) {\"seq\":1}\n".utf8))
    }

    @Test func comesBackAsItWas() throws {
        var chain = AuditChain(log: "a")
        let fields: JSONObject = ["text": "line\nbreak \"quoted\" ü", "number": 7, "nothing": .null]
        let bytes = chain.append(
            time: "2026-11-29T09:00:00.000Z", event: "stream_denied", category: .access, severity: "warning",
            fields: fields)
        #expect(bytes.last == UInt8(ascii: "\n") && bytes.filter { $0 == UInt8(ascii: "\n") }.count == 1)
        let line = try AuditLine(parsing: Array(bytes.dropLast()))
        #expect(line.follows(.zero) && line.hash == chain.hash)
        let record = try AuditRecord(content: line.content)
        #expect(record.sequence == 1 && record.event == "stream_denied" && record.category == .access)
        #expect(record.fields == fields)
        #expect(record.json.serialized() == line.content)
    }

    /// What a stranger makes large is left out, so that no line is longer than readers take.
    @Test func longRecordsAreCut() throws {
        var chain = AuditChain(log: "a")
        let long = String(repeating: "x", count: AuditLine.largest)
        let bytes = chain.append(
            time: "t", event: "e", category: .access, severity: "info", fields: ["detail": .string(long)])
        let record = try AuditRecord(content: AuditLine(parsing: Array(bytes.dropLast())).content)
        #expect((record.fields["omitted"]?.integer ?? 0) > AuditLine.largest)
    }

    @Test(arguments: [
        "", "x", String(repeating: "A", count: 43), String(repeating: "A", count: 43) + "{}",
        String(repeating: "A", count: 42) + "= {}", String(repeating: "!", count: 43) + " {}",
    ])
    func notALine(_ text: String) {
        #expect(throws: AuditError.self) { try AuditLine(parsing: Array(text.utf8)) }
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"seq":0,"time":"","event":"","category":"ca","severity":"","fields":{}}"#,
        #"{"seq":1,"time":"","event":"","category":"none","severity":"","fields":{}}"#,
        #"{"seq":1,"time":"","event":"","category":"ca","severity":"","fields":[]}"#,
        #"{"seq":1,"time":"","event":"","category":"ca","severity":"","fields":{},"more":1}"#,
    ])
    func notARecord(_ text: String) {
        #expect(throws: AuditError.self) { try AuditRecord(content: Array(text.utf8)) }
    }

    @Test func names() {
        #expect(AuditFileName.name(first: 17) == "audit-0000000000000017.log")
        #expect(AuditFileName.first(of: "audit-0000000000000017.log") == 17)
        let large = AuditFileName.name(first: 12_345_678_901_234_567_890)
        #expect(AuditFileName.first(of: large) == 12_345_678_901_234_567_890)
        for name in ["audit-17.log", "audit-00000000000000x7.log", "audit-0000000000000017", "0000000000000017.log"] {
            #expect(AuditFileName.first(of: name) == nil, "\(name)")
        }
    }

    @Test func seals() throws {
        let seal = try AuditChain(log: "a", sequence: 9, hash: .zero).seal(by: Fixture.key)
        #expect(try AuditSeal(json: seal.json) == seal)
        #expect(seal.isSigned(by: Fixture.key.publicKey) && !seal.isSigned(by: Fixture.other.publicKey))
        for (member, value) in [
            ("log", "b"), ("through", 8), ("hash", .string(AuditLine(content: [], after: .zero).hash.text)),
        ]
            as [(String, JSONValue)]
        {
            var object = try #require(seal.json.object)
            object[member] = value
            #expect(try !AuditSeal(json: .object(object)).isSigned(by: Fixture.key.publicKey), "\(member)")
        }
        #expect(throws: AuditError.self) { try AuditSeal(json: [:]) }
    }
}
