import Policy
import Testing

@Suite struct MappingTests {
    private let policy = Fixture.policy

    private func node(_ commonName: String?, _ spiffe: String? = nil) -> Principal {
        policy.principal(for: .node(commonName: commonName, spiffe: spiffe))
    }

    @Test func uriNamesTheNode() {
        let principal = node("UserService", "spiffe://mesh.example/node/UserService")
        #expect(principal.id == .node("UserService"))
        #expect(principal.nodeName == "UserService")
        #expect(principal.problem == nil)
        #expect(principal.services == ["web", "jobs"])
        #expect(principal.groups == ["frontends"])
        #expect(principal.permissions == ["mesh-node"])
    }

    @Test func mappingsAddUp() {
        let principal = node(nil, "spiffe://mesh.example/node/Directory")
        #expect(principal.permissions == ["mesh-node", "mesh-directory"])
    }

    @Test func commonNameIdentifiesOnlyWhereAMappingNamesIt() {
        #expect(node("ACL").id == .node("ACL"))
        #expect(node("ACL").permissions == ["mesh-node"])
        #expect(node("UserService").problem == .unmappedIdentity)
        #expect(node("UserService").id == .anonymous)
        #expect(node("UserService").nodeName == nil)
        #expect(node("host.legacy.example").id == .node("host.legacy.example"))
        #expect(node("Old Server").id == .node("old-1"))
    }

    @Test func commonNameThatContradictsTheURIIsRefused() {
        #expect(node("ACL", "spiffe://mesh.example/node/UserService").problem == .contradictoryIdentity)
        #expect(node("acl", "spiffe://mesh.example/node/ACL").problem == .contradictoryIdentity)
    }

    @Test func commonNameDoesNotIdentifyBesideAForeignURI() {
        #expect(node("ACL", "spiffe://evil.example/node/ACL").problem == .unmappedIdentity)
        #expect(node("ACL", "spiffe://mesh.example/workload/ACL").problem == .unmappedIdentity)
        // Beside the URI that says the same it does.
        #expect(node("ACL", "spiffe://mesh.example/node/ACL").services == ["acl"])
    }

    @Test func foreignURINeedsANodeName() {
        let named = node("x", "spiffe://partner.example/ns/prod/sa/shop")
        #expect(named.id == .node("partner-shop"))
        #expect(named.groups == ["partners"])
        let nameless = node("x", "spiffe://partner.example/ns/test/sa/shop")
        #expect(nameless.problem == .unmappedIdentity)
        #expect(nameless.derivation.last?.text == "its mapping (policy.json:13) gives no node name; add `node` to it")
        #expect(node("x", "spiffe://partner.example/ns/a/b/sa/shop").problem == .unmappedIdentity)
    }

    /// Doors that let in certificates of other trust domains name theirs, where the policy names none.
    @Test func withinATrustDomain() {
        let open = Fixture.parsed("{ identities: [{ match: { node: '**' }, groups: 'nodes' }], rules: [] }")
        let (own, other) = ("spiffe://mesh.example/node/ACL", "spiffe://partner.example/node/ACL")
        func principal(_ uri: String, _ policy: PolicyDocument, within domain: String?) -> Principal {
            policy.principal(for: .node(commonName: "ACL", spiffe: uri), within: domain)
        }
        #expect(principal(other, open, within: nil).id == .node("ACL"))
        #expect(principal(own, open, within: "mesh.example").groups == ["nodes"])
        #expect(principal(other, open, within: "mesh.example").problem == .unmappedIdentity)
        // What the policy names counts, whatever the door's own is.
        let both = Fixture.parsed("{ trustDomains: ['mesh.example', 'partner.example'], rules: [] }")
        #expect(principal(other, both, within: "mesh.example").id == .node("ACL"))
    }

    @Test func twoNodeNamesAreRefused() {
        let policy = Fixture.parsed(
            """
            { identities: [
              { match: { cn: "a" }, node: "one" },
              { match: { cn: "a" }, node: "two" },
            ] }
            """)
        let principal = policy.principal(for: .node(commonName: "a", spiffe: nil))
        #expect(principal.problem == .ambiguousIdentity)
        #expect(principal.derivation.last?.text == "its mappings name it one and two")
    }

    @Test func commonNameThatIsNoNodeNameNeedsOne() {
        let policy = Fixture.parsed("{ identities: [{ match: { cn: \"My Server\" }, groups: \"g\" }] }")
        let principal = policy.principal(for: .node(commonName: "My Server", spiffe: nil))
        #expect(principal.problem == .unmappedIdentity)
        #expect(principal.derivation.last?.text.contains("give it one with `node`") == true)
    }

    @Test func certificateWithoutAnyName() {
        #expect(node(nil).problem == .unmappedIdentity)
    }

    @Test func withoutTrustDomainsEveryDomainNamesNodes() {
        let policy = Fixture.parsed("{}")
        let principal = policy.principal(for: .node(commonName: nil, spiffe: "spiffe://any.example/node/a"))
        #expect(principal.id == .node("a"))
    }

    @Test func usersAreMappedByNumberNameAndGroup() {
        func user(_ uid: UInt32, _ name: String? = nil, _ gids: [UInt32] = []) -> Principal {
            policy.principal(for: .user(uid: uid, name: name, gids: gids))
        }
        #expect(user(1000).groups == ["operators"])
        #expect(user(1000, "alice", [100, 50]).groups == ["operators", "staff"])
        #expect(user(0).groups == ["operators"])
        #expect(user(7, "deploy-web").services == ["deploy"])
        #expect(user(7, "deploy-web").permissions == ["release"])
        #expect(user(7, "deploy").permissions.isEmpty)
        // Known because a rule is for uid:*.
        #expect(user(4242).problem == nil)
        let strict = Fixture.parsed("{ identities: [{ match: { uid: 5 } }], rules: [] }")
        #expect(strict.principal(for: .user(uid: 5, name: nil, gids: [])).problem == nil)
        #expect(strict.principal(for: .user(uid: 6, name: nil, gids: [])).problem == .unmappedIdentity)
        #expect(strict.principal(for: .user(uid: 0, name: "root", gids: [0])).problem == .unmappedIdentity)
    }

    @Test func nobodyIsNotAuthenticatedUnlessARuleIsForNobody() {
        #expect(policy.principal(for: .anonymous).problem == nil)
        let other = Fixture.rules("{ allow: 'connect', from: 'node:**', to: '**' }")
        let nobody = other.principal(for: .anonymous)
        #expect(nobody.problem == .notAuthenticated)
        #expect(other.decide(nobody, .connect, "db").reason == .notAuthenticated)
    }

    @Test func groupsAndPermissionsOfAMappingGoToItsServiceIdentities() {
        let policy = Fixture.parsed(
            """
            { identities: [
                { match: { node: "a" }, services: "one", groups: "g", permissions: "p" },
                { match: { node: "a" }, services: "two" } ],
              permissions: { p: [{ allow: "connect", to: "by-permission" }] },
              rules: [{ allow: "connect", from: "group:g", to: "by-group" }] }
            """)
        let node = Fixture.principal("a", in: policy)
        for target in ["by-group", "by-permission"] {
            #expect(policy.authorizeOpen(peer: node, service: target).allowed)
            #expect(policy.authorizeOpen(peer: node, actingAs: .service("one"), service: target).allowed)
            #expect(!policy.authorizeOpen(peer: node, actingAs: .service("two"), service: target).allowed)
            // Asked for by name alone, nobody knows through which mapping.
            #expect(!policy.decide(Fixture.principal("service:one", in: policy), .connect, target).allowed)
        }
        #expect(policy.identity("one", of: node)?.groups == ["g"])
        #expect(policy.identity("three", of: node) == nil)
    }

    @Test func anotherDocumentMapsTheSameFactsAnew() throws {
        let old = Fixture.parsed(
            """
            { identities: [{ match: { node: "a" }, services: "web" }],
              rules: [{ allow: "connect", from: ["node:a", "service:web"], to: "db" }] }
            """)
        let new = Fixture.parsed("{ rules: [{ allow: 'connect', from: 'node:a', to: 'db2' }] }")
        let node = Fixture.principal("a", in: old)
        let web = try #require(old.identity("web", of: node))
        #expect(old.decide(node, .connect, "db").allowed)
        #expect(old.decide(web, .connect, "db").allowed)
        #expect(new.decide(node, .connect, "db").reason == .noRule)
        #expect(new.decide(node, .connect, "db2").allowed)
        #expect(new.decide(web, .connect, "db").reason == .actAsMissing)
        #expect(new.authorizeOpen(peer: node, actingAs: .service("web"), service: "db2").reason == .actAsMissing)
        #expect(new.authorizeRegister(node: node, caller: web, service: "x").reason == .noRule)
    }

    @Test func identitiesAreReadAsPeopleWriteThem() {
        #expect(policy.subject("ACL") == .node(commonName: "ACL", spiffe: "spiffe://mesh.example/node/ACL"))
        #expect(policy.subject("node:ACL", trustDomain: "x") == .node(commonName: "ACL", spiffe: "spiffe://x/node/ACL"))
        #expect(policy.subject("cn:My Server") == .node(commonName: "My Server", spiffe: nil))
        #expect(policy.subject("spiffe://a/b") == .node(commonName: nil, spiffe: "spiffe://a/b"))
        #expect(policy.subject("service:web") == .service("web"))
        #expect(policy.subject("uid:7") == .user(uid: 7, name: nil, gids: []))
        #expect(policy.subject("jwt:https://a/b/c") == .token(issuer: "https://a/b", subject: "c"))
        #expect(policy.subject("anonymous") == .anonymous)
        for text in ["", "a b", "uid:x", "cn:", "what:ever", "jwt:x", "jwt:/x", "jwt:x/"] {
            #expect(policy.subject(text) == nil, "\(text)")
        }
        let mapped = Fixture.parsed("{ identities: [{ match: { spiffe: 'spiffe://only.example/x/*' } }] }")
        #expect(mapped.subject("a") == .node(commonName: "a", spiffe: "spiffe://only.example/node/a"))
        #expect(PolicyDocument.empty.subject("a") == .node(commonName: "a", spiffe: nil))
    }
}
