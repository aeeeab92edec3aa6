import Foundation
import Policy
import Testing

@Suite struct DocumentationTests {
    private var text: String {
        get throws {
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            return try String(contentsOf: root.appendingPathComponent("docs/policy.md"), encoding: .utf8)
        }
    }

    @Test func exampleIsAPolicyWithoutWarnings() throws {
        let text = try text
        let start = try #require(text.firstRange(of: "```json5\n")).upperBound
        let end = try #require(text[start...].firstRange(of: "```")).lowerBound
        let policy = try PolicyDocument.parse(String(text[start..<end]), file: "policy.json")
        #expect(policy.warnings == [])
        #expect(policy.ruleCount == 8)
        let web = Fixture.principal("UserService", in: policy)
        #expect(policy.authorizeOpen(peer: web, actingAs: .service("web"), service: "db").allowed)
        #expect(policy.authorizeProvide(node: Fixture.principal("cn:ACL", in: policy), service: "db").allowed)
        #expect(policy.authorizeLink(peer: Fixture.principal("Directory", in: policy), with: "ACL").allowed)
        let directory = Fixture.principal("Directory", in: policy)
        #expect(policy.authorizeProvide(node: directory, service: "mesh.directory").allowed)
        let root = policy.principal(for: .user(uid: 0, name: "root", gids: [0]))
        #expect(policy.authorizeAdminister(root, node: "ACL").allowed)
        #expect(policy.authorizeOpen(peer: root, service: "mesh.directory").allowed)
    }

    @Test func everyReasonAndVerbIsDescribed() throws {
        let text = try text
        for reason in PolicyReason.allCases { #expect(text.contains("`\(reason.rawValue)`"), "\(reason)") }
        for verb in Verb.allCases { #expect(text.contains("| `\(verb.rawValue)` |"), "\(verb)") }
    }
}
