import JSON
import Policy
import Testing

@Suite struct DecisionMemoryTests {
    private let policy: PolicyDocument
    private let draft: PolicyDocument

    init() throws {
        policy = try PolicyDocument.parse(
            """
            { rules: [
              { allow: "connect", from: "node:**", to: "**" },
              { allow: "link", from: "node:**", to: "**" },
            ] }
            """, file: "old")
        draft = try PolicyDocument.parse(
            "{ rules: [{ allow: \"connect\", from: \"node:a\", to: \"**\" }] }", file: "new")
    }

    private func question(
        _ name: String, _ verb: Verb = .connect, to target: String = "db"
    ) -> DecisionMemory.Question {
        DecisionMemory.Question(verb, commonName: name, spiffe: "spiffe://m/node/\(name)", target: target)
    }

    @Test func equalQuestionsCountAsOne() {
        var memory = DecisionMemory()
        for time in 1...5 { memory.note(question("a"), question("a").answer(of: policy), at: Int64(time)) }
        memory.note(question("b"), question("b").answer(of: policy), at: 6)
        #expect(memory.all.map(\.question) == [question("a"), question("b")])
        #expect(memory.all[0].count == 5 && memory.all[0].last == 5 && memory.all[0].isAllowed)
        memory.note(question("a"), question("a").answer(of: .empty), at: 7)
        #expect(!memory.all[0].isAllowed && memory.all[0].count == 6, "what was said last counts")
    }

    @Test func theFirstGiveWay() {
        var memory = DecisionMemory(limit: 3)
        for name in ["a", "b", "c", "a", "d", "e"] {
            memory.note(question(name), question(name).answer(of: policy), at: 0)
        }
        #expect(memory.all.map(\.question) == ["c", "d", "e"].map { question($0) })
        for name in ["a", "b", "c", "d"] { memory.note(question(name), question(name).answer(of: policy), at: 0) }
        #expect(memory.all.map(\.question) == ["b", "c", "d"].map { question($0) })
    }

    @Test func aDraftIsAskedTheSame() {
        #expect(question("a").answer(of: policy).allowed && question("a").answer(of: draft).allowed)
        #expect(question("b").answer(of: policy).allowed && !question("b").answer(of: draft).allowed)
        #expect(question("a", .link).answer(of: policy).allowed && !question("a", .link).answer(of: draft).allowed)
    }

    @Test func comesBackFromJSON() throws {
        var memory = DecisionMemory()
        let asked = DecisionMemory.Question(
            .connect, commonName: nil, spiffe: "spiffe://m/node/edge", acting: PrincipalID("jwt:https://id/alice"),
            attributes: ["groups": ["a", "b"], "mfa": []], target: "db")
        memory.note(asked, asked.answer(of: policy), at: 9)
        let entry = try DecisionMemory.Entry(json: try JSONReader.parse(memory.all[0].json.text()))
        #expect(entry.question == asked && entry.last == 9 && entry.count == 1)
        #expect(entry.isAllowed == memory.all[0].isAllowed && entry.reason == memory.all[0].reason)
    }

    @Test(arguments: ["null", "{}", "{\"verb\":\"administer\"}"]) func malformed(_ text: String) throws {
        let value = try JSONReader.parse(text)
        #expect(throws: JSONAccessError.self) { try DecisionMemory.Entry(json: value) }
    }
}
