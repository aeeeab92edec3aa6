import Policy
import Testing

/// The policy that most tests ask.
enum Fixture {
    static let text = """
        // A small mesh.
        {
          version: 7,
          trustDomains: ["mesh.example"],
          identities: [
            { match: { node: "**" }, permissions: ["mesh-node"] },
            { match: { spiffe: "spiffe://mesh.example/node/Directory" }, permissions: ["mesh-directory"] },
            { match: { node: "UserService" }, services: ["web", "jobs"], groups: ["frontends"] },
            { match: { node: "db-*" }, services: ["db"], groups: ["backends", "operators"] },
            { match: { cn: "ACL" }, services: ["acl"], groups: ["backends"], permissions: ["mesh-node"] },
            { match: { cn: "Old Server" }, node: "old-1" },
            { match: { cn: "*.legacy.example" }, groups: ["legacy"] },
            { match: { spiffe: "spiffe://partner.example/ns/*/sa/shop" }, groups: ["partners"] },
            { match: { spiffe: "spiffe://partner.example/ns/prod/sa/shop" }, node: "partner-shop" },
            { match: { uid: 1000 }, groups: ["operators"] },
            { match: { gid: 50 }, groups: ["staff"] },
            { match: { user: "deploy-*" }, services: ["deploy"], permissions: ["release"] },
          ],
          groups: {
            frontends: ["service:web", "node:edge-1"],
            backends: "service:db",
            operators: ["uid:0", "key:ops-key"],
            staff: [],
            quarantined: ["node:bad-*", "service:rogue"],
          },
          permissions: {
            release: [
              { allow: ["register", "discover"], to: "app.*" },
              { allow: "administer", to: "ACL" },
            ],
          },
          rules: [
            { allow: "connect", from: "group:frontends", to: ["db", "cache.*"] },
            { allow: "connect", from: ["service:acl", "uid:*"], to: "db", note: "the list of rights" },
            { allow: ["register", "provide"], from: "node:UserService", to: ["web", "jobs.**"] },
            { allow: ["register", "provide"], from: "node:db-*", to: "db" },
            { allow: "register", from: "uid:1000", to: "web" },
            { allow: "act-as", from: "node:edge-1", to: ["uid:*", "service:web", "jwt:https://id.example/*"] },
            { allow: "connect", from: "node:edge-1", to: ["db", "web"] },
            { allow: "connect", from: "jwt:https://id.example/*", to: "web" },
            { allow: "administer", from: "group:operators", to: ["ACL", "UserService"] },
            { allow: "administer", from: "uid:0", to: "@every-node" },
            { allow: "connect", from: "group:operators", to: "mesh.agent" },
            { allow: "connect", from: "node:**", to: "**" , note: "for the sake of the tests" },
            { deny: ["connect", "discover"], from: "group:quarantined", to: "**" },
            { deny: "link", from: "node:bad-*", to: "**" },
            { deny: "connect", from: "node:UserService", to: "cache.secret" },
            { deny: "act-as", from: "node:edge-1", to: "uid:0" },
            { allow: "connect", from: "anonymous", to: "status" },
          ],
        }
        """

    static let policy = parsed(text)

    static func parsed(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> PolicyDocument {
        do {
            return try PolicyDocument.parse(text, file: "policy.json")
        } catch {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return .empty
        }
    }

    static func principal(_ text: String, in policy: PolicyDocument = policy) -> Principal {
        guard let subject = policy.subject(text, trustDomain: "mesh.example") else {
            Issue.record("\(text) is no identity")
            return policy.principal(for: .anonymous)
        }
        return policy.principal(for: subject)
    }

    /// A whole policy around rules.
    static func rules(_ rules: String) -> PolicyDocument {
        parsed("{ rules: [\(rules)] }")
    }
}
