import Policy
import Testing

/// Tokens and API keys: how the policy maps them, and how a node acts for them.
@Suite struct ExternalTests {
    static let policy = Fixture.parsed(
        """
        { trustDomains: ["mesh.example"],
          identities: [
            { match: { issuer: "https://id.example", attributes: { groups: "admins" } }, groups: "operators" },
            { match: { issuer: "https://id.example", attributes: { groups: ["shop", "shop-*"], mfa: "yes" } },
              services: "web", permissions: "orders" },
            { match: { issuer: "https://id.example", subject: "ci/*" }, groups: "builders" },
            { match: { key: "ci-*" }, permissionsFrom: "permissions", groupsFrom: "groups" },
            { match: { issuer: "https://partner.example" }, groups: "partners" },
          ],
          permissions: {
            orders: [{ allow: "connect", to: "orders" }],
            release: [{ allow: "connect", to: "registry" }],
          },
          rules: [
            { allow: "act-as", from: "node:edge", to: ["jwt:https://id.example/**", "key:*"] },
            { allow: "connect", from: "node:edge", to: "**" },
            { deny: "connect", from: "node:edge", to: "vault" },
            { allow: "connect", from: "group:operators", to: ["**", "mesh.agent"] },
            { allow: "connect", from: "service:web", to: "cache" },
            { allow: "connect", from: "group:builders", to: "registry" },
            { allow: "connect", from: "node:other", to: "**" },
            { deny: "connect", from: "jwt:https://id.example/mallory", to: "**" },
            { deny: "connect", from: "jwt:**", to: "secret" },
            { allow: "administer", from: "group:operators", to: "edge" },
          ] }
        """)
    private let policy = Self.policy

    private func token(
        _ subject: String, _ attributes: Subject.Attributes = [:], by issuer: String = "https://id.example"
    ) -> Principal {
        policy.principal(for: .token(issuer: issuer, subject: subject, attributes: attributes))
    }

    @Test func attributesMapTokens() {
        #expect(token("alice", ["groups": ["users", "admins"]]).groups == ["operators"])
        #expect(token("alice", ["groups": ["Admins"]]).problem == nil, "a rule names jwt:**")
        #expect(token("alice", ["groups": ["Admins"]]).groups.isEmpty)
        // All conditions must hold, one of the patterns of each.
        #expect(token("a", ["groups": ["shop-2"], "mfa": ["yes"]]).services == ["web"])
        #expect(token("a", ["groups": ["shop"], "mfa": ["yes"]]).permissions == ["orders"])
        #expect(token("a", ["groups": ["shop"]]).services.isEmpty)
        #expect(token("a", ["groups": ["shop"], "mfa": ["no", "maybe"]]).services.isEmpty)
        #expect(token("a", ["groups": ["shopper"], "mfa": ["yes"]]).services.isEmpty)
        // Another issuer's admins are nobody here, and what it says is not asked.
        #expect(token("alice", ["groups": ["admins"]], by: "https://partner.example").groups == ["partners"])
        #expect(token("alice", ["groups": ["admins"]], by: "https://id.example/").groups.isEmpty)
        #expect(token("ci/build").groups == ["builders"])
        #expect(token("ci/build/x").groups.isEmpty)
    }

    @Test func anAPIKeysPermissionsCountWhereAMappingSaysSo() {
        func key(_ id: String, _ attributes: Subject.Attributes) -> Principal {
            policy.principal(for: .key(id, attributes: attributes))
        }
        let told: Subject.Attributes = [
            "permissions": ["release", "mesh-node", "no such", "unknown"], "groups": ["builders", "a b"],
        ]
        let release = key("ci-7", told)
        #expect(release.permissions == ["release", "unknown"], "built-in permissions are not to be had by saying so")
        #expect(release.groups == ["builders"])
        #expect(policy.decide(release, .connect, "registry").allowed)
        #expect(!policy.decide(release, .link, "edge").allowed)
        #expect(key("dev-7", told).problem == .unmappedIdentity)
        #expect(!policy.decide(key("ci-7", ["permissions": ["orders"]]), .connect, "registry").allowed)
        // What a key says never gives `administer`, even by a group's full name.
        let admin = key("ci-7", ["groups": ["operators"]])
        #expect(policy.decide(admin, .connect, "db").allowed)
        #expect(policy.authorizeAdminister(admin, node: "edge").reason == .noRule)
        // A group that is spelled out does.
        #expect(policy.authorizeAdminister(token("alice", ["groups": ["admins"]]), node: "edge").allowed)
    }

    struct Door: Sendable {
        let node: String
        let who: String
        var attributes: Subject.Attributes = [:]
        let service: String
        let reason: PolicyReason
    }

    @Test(arguments: [
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["admins"]], service: "db",
            reason: .allowed),
        // The same name without what its token says.
        Door(node: "edge", who: "jwt:https://id.example/alice", service: "db", reason: .noRule),
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["shop"], "mfa": ["yes"]],
            service: "orders", reason: .allowed),
        // By its service identity.
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["shop"], "mfa": ["yes"]],
            service: "cache", reason: .allowed),
        Door(
            node: "edge", who: "jwt:https://id.example/mallory", attributes: ["groups": ["shop"], "mfa": ["yes"]],
            service: "cache", reason: .deniedByRule),
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["admins"]], service: "secret",
            reason: .deniedByRule),
        // The node itself.
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["admins"]], service: "vault",
            reason: .deniedByRule),
        Door(
            node: "edge", who: "jwt:https://id.example/alice", attributes: ["groups": ["admins"]],
            service: "mesh.agent", reason: .nodeNotAllowed),
        // Act-as.
        Door(
            node: "other", who: "jwt:https://id.example/alice", attributes: ["groups": ["admins"]], service: "db",
            reason: .actAsMissing),
        Door(node: "edge", who: "jwt:https://partner.example/bob", service: "db", reason: .actAsMissing),
        Door(
            node: "edge", who: "key:ci-7", attributes: ["permissions": ["release"]], service: "registry",
            reason: .allowed),
        Door(node: "edge", who: "key:ci-7", attributes: ["permissions": ["release"]], service: "db", reason: .noRule),
        Door(node: "edge", who: "key:dev", service: "registry", reason: .unmappedIdentity),
        Door(
            node: "other", who: "key:ci-7", attributes: ["permissions": ["release"]], service: "registry",
            reason: .actAsMissing),
        // Attributes make nothing of others than tokens and keys.
        Door(
            node: "edge", who: "service:web", attributes: ["groups": ["admins"]], service: "db", reason: .actAsMissing),
    ]) func doors(_ row: Door) {
        let node = Fixture.principal(row.node, in: policy)
        let decision = policy.authorizeOpen(
            peer: node, actingAs: PrincipalID(row.who), attributes: row.attributes, service: row.service)
        #expect(decision.reason == row.reason, "\(row)\n\(decision.explanation.text)")
        #expect(Explanation(json: decision.explanation.json) == decision.explanation)
    }

    @Test func theClientStaysThePrincipalOfItsDecision() throws {
        let id = try #require(PrincipalID("jwt:https://id.example/alice"))
        let decision = policy.authorizeOpen(
            peer: Fixture.principal("edge", in: policy), actingAs: id,
            attributes: ["groups": ["shop"], "mfa": ["yes"]], service: "cache")
        #expect(decision.principal.id == id)
        #expect(decision.rule?.text == "allow connect from service:web to cache")
    }

    @Test func namesOfTokensAreUnambiguous() throws {
        let plain = try #require(PrincipalID.token(issuer: "https://id.example", subject: "alice"))
        #expect(plain.description == "jwt:https://id.example/alice")
        let slash = try #require(PrincipalID.token(issuer: "https://id.example", subject: "x/alice"))
        #expect(slash.description == "jwt:https://id.example/x%2Falice")
        #expect(slash != PrincipalID.token(issuer: "https://id.example/x", subject: "alice"))
        #expect(PrincipalID.token(issuer: "", subject: "a") == nil)
        #expect(PrincipalID.token(issuer: "a", subject: "") == nil)
        #expect(PrincipalID.token(issuer: "a", subject: String(repeating: "x", count: 1100)) == nil)
        for (issuer, subject) in [
            ("https://t.example/", "auth0|7"), ("i", "a b"), ("i", "Zoë"), ("i%2F", "%"), ("i", "*"), ("i", "/"),
            ("i", "a\u{0}b"),
        ] {
            let id = try #require(PrincipalID.token(issuer: issuer, subject: subject))
            #expect(PrincipalID(id.description) == id)
            #expect(id.tokenParts?.issuer == issuer && id.tokenParts?.subject == subject)
            #expect(id.description.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
        }
        // Another spelling of the same would slip past a rule that names it.
        for text in ["jwt:i/al%69ce", "jwt:i/a%2fb", "jwt:i/%", "jwt:i/%4", "jwt:i/%FF", "jwt:i/a%zz"] {
            #expect(PrincipalID(text) == nil, "\(text)")
        }
    }

    @Test func doubleStarReachesIssuersThatAreURLs() {
        let policy = Fixture.rules(
            "{ deny: 'connect', from: 'jwt:**', to: 'a' }, { allow: 'connect', from: 'key:**', to: 'a' }")
        #expect(
            policy.decide(Fixture.principal("jwt:https://id.example/alice", in: policy), .connect, "a").reason
                == .deniedByRule)
        #expect(policy.decide(Fixture.principal("key:a.b", in: policy), .connect, "a").allowed)
    }

    @Test func onlyWhatMappingsAskForIsAskedFor() {
        let asked = policy.attributesAskedFor([
            "groups": ["admins", "shop-1", "shop-x/y", "others"], "mfa": ["no"], "permissions": ["a", "b c"],
            "email": ["a@b.example"],
        ])
        // `groups` is taken as a whole: a key's mapping says `groupsFrom`.
        #expect(asked == ["groups": ["admins", "shop-1", "shop-x/y", "others"], "permissions": ["a", "b c"]])
        let one = Fixture.parsed("{ identities: [{ match: { issuer: 'i', attributes: { groups: ['a*', 'c'] } } }] }")
        #expect(
            one.attributesAskedFor(["groups": ["a", "b", "ab", "c"], "x": ["a"]]) == ["groups": ["a", "ab", "c"]])
    }

    @Test func anotherDocumentMapsTheSameAttributesAnew() throws {
        let principal = token("alice", ["groups": ["admins"]])
        let new = Fixture.parsed(
            """
            { identities: [{ match: { issuer: "https://id.example", attributes: { groups: "admins" } }, groups: "g" }],
              rules: [{ allow: "connect", from: "group:g", to: "db" }] }
            """)
        #expect(new.decide(principal, .connect, "db").allowed)
        #expect(!new.decide(token("alice"), .connect, "db").allowed)
    }

    @Test func attributesAreReadAsPeopleWriteThem() {
        #expect(Subject.attribute("groups=admins").map { [$0.name, $0.value] } == ["groups", "admins"])
        #expect(Subject.attribute("a=b=c").map { [$0.name, $0.value] } == ["a", "b=c"])
        #expect(Subject.attribute("a=").map { [$0.name, $0.value] } == ["a", ""])
        for text in ["", "a", "=b"] { #expect(Subject.attribute(text) == nil) }
        #expect(
            policy.subject("key:k", attributes: ["a": ["b"]]) == .key("k", attributes: ["a": ["b"]]))
        #expect(policy.subject("uid:1", attributes: ["a": ["b"]])?.attributes == [:])
    }

    // MARK: - What people read

    private func text(_ who: String, _ attributes: Subject.Attributes, _ service: String, at node: String = "edge")
        -> String
    {
        let decision = policy.authorizeOpen(
            peer: Fixture.principal(node, in: policy), actingAs: PrincipalID(who), attributes: attributes,
            service: service)
        return decision.explanation.text.replacing(policy.fingerprint, with: "…")
    }

    @Test func explainsAnAllowedToken() {
        let expected = """
            allowed: jwt:https://id.example/alice may connect to db
              who      jwt:https://id.example/alice through node:edge
              identity spiffe://mesh.example/node/edge is node:edge
                       token of alice by https://id.example (groups: admins, users) is jwt:https://id.example\
            /alice
                       policy.json:3  map issuer https://id.example and groups admins to group:operators
              rule     policy.json:18  allow connect from group:operators to **, mesh.agent
              also     policy.json:15  allow act-as from node:edge to jwt:https://id.example/**, key:*
              policy   policy.json (…)
            """
        #expect(text("jwt:https://id.example/alice", ["groups": ["admins", "users"]], "db") == expected)
    }

    @Test func explainsWhatATokenLacks() {
        let expected = """
            denied: jwt:https://id.example/alice may not connect to db (no_rule)
              who      jwt:https://id.example/alice through node:edge
              identity spiffe://mesh.example/node/edge is node:edge
                       token of alice by https://id.example (groups: users) is jwt:https://id.example/alice
              rule     none; what no rule allows is denied
              also     policy.json:15  allow act-as from node:edge to jwt:https://id.example/**, key:*
              nearest  policy.json:18  allow connect from group:operators to **, mesh.agent
              missing  jwt:https://id.example/alice is not in group operators; policy.json:3 gives it, but it \
            needs groups admins, the token has users
              policy   policy.json (…)
            """
        #expect(text("jwt:https://id.example/alice", ["groups": ["users"]], "db") == expected)
        let none = text("jwt:https://id.example/alice", [:], "orders")
        #expect(none.contains("but it needs groups admins, the token has no groups\n"))
    }

    @Test func explainsAKeyThatNothingNames() {
        let expected = """
            denied: API key dev (permissions: release) may not connect to registry: the policy does not know\
             this identity (unmapped_identity)
              who      anonymous through node:edge
              identity spiffe://mesh.example/node/edge is node:edge
                       API key dev (permissions: release)
                       no mapping, group or rule names key:dev
              rule     none; what no rule allows is denied
              nearest  policy.json:7  map key ci-* to the groups in its groups, the permissions in its permissio\
            ns
              missing  it is for key ci-*, not dev
              policy   policy.json (…)
            """
        #expect(text("key:dev", ["permissions": ["release"]], "registry") == expected)
    }

    @Test func explainsAMissingActAs() {
        let expected = """
            denied: jwt:https://id.example/alice may not connect to db through node:other: node:other may no\
            t act as jwt:https://id.example/alice (act_as_missing)
              who      jwt:https://id.example/alice through node:other
              identity spiffe://mesh.example/node/other is node:other
                       token of alice by https://id.example (groups: admins) is jwt:https://id.example/alice
                       policy.json:3  map issuer https://id.example and groups admins to group:operators
              rule     none; what no rule allows is denied
              nearest  policy.json:15  allow act-as from node:edge to jwt:https://id.example/**, key:*
              missing  node:other is not node:edge
              policy   policy.json (…)
            """
        #expect(text("jwt:https://id.example/alice", ["groups": ["admins"]], "db", at: "other") == expected)
    }

    @Test func aDenialSaysHowToAskAgain() {
        func question(_ node: String, _ who: String, _ attributes: Subject.Attributes, _ service: String) -> String {
            policy.authorizeOpen(
                peer: Fixture.principal(node, in: policy), actingAs: PrincipalID(who), attributes: attributes,
                service: service
            ).question
        }
        #expect(
            question("edge", "jwt:https://id.example/alice", ["groups": ["it's", "x"]], "db")
                == "--from jwt:https://id.example/alice --attribute 'groups=it'\\''s' --attribute groups=x --to db "
                + "--as-node edge")
        #expect(
            question("edge", "key:dev", [:], "db") == "--from key:dev --to db --as-node edge")
        #expect(
            question("other", "jwt:https://id.example/alice", [:], "db")
                == "--from node:other --to jwt:https://id.example/alice --verb act-as")
    }
}
