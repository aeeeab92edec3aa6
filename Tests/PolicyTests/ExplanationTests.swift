import JSON
import Policy
import Testing

@Suite struct ExplanationTests {
    private func text(
        _ who: String, as acting: String? = nil, _ verb: Verb, _ target: String, in policy: PolicyDocument? = nil
    ) -> String {
        let policy = policy ?? Fixture.policy
        let principal = Fixture.principal(who, in: policy)
        let decision = policy.authorize(principal, actingAs: acting.flatMap { PrincipalID($0) }, verb, target)
        // The digest changes with every edit of the fixture and is tested elsewhere.
        return decision.explanation.text.replacing(policy.fingerprint, with: "…")
    }

    @Test func aServiceIdentityThatItsNodeHolds() {
        let expected = """
            allowed: service:web may connect to db
              who      service:web through node:UserService
              identity spiffe://mesh.example/node/UserService is node:UserService
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:8  map node UserService to service:web, service:jobs, group:frontends
                       node:UserService holds service:web
                       policy.json:20  group frontends lists service:web
              rule     policy.json:33  allow connect from group:frontends to db, cache.*
              policy   policy.json version 7 (…)
            """
        #expect(text("UserService", as: "service:web", .connect, "db") == expected)
    }

    @Test func aDenyForTheNode() {
        let expected = """
            denied: service:web may not connect to cache.secret through node:UserService: a rule denies it t\
            o node:UserService (denied_by_rule)
              who      service:web through node:UserService
              identity spiffe://mesh.example/node/UserService is node:UserService
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:8  map node UserService to service:web, service:jobs, group:frontends
                       node:UserService holds service:web
                       policy.json:20  group frontends lists service:web
              rule     policy.json:47  deny connect from node:UserService to cache.secret
              policy   policy.json version 7 (…)
            """
        #expect(text("UserService", as: "service:web", .connect, "cache.secret") == expected)
    }

    @Test func anIdentityThatIsAnotherNodes() {
        let expected = """
            denied: service:acl may not connect to db through node:UserService: node:UserService may not act\
             as service:acl (act_as_missing)
              who      service:acl through node:UserService
              identity spiffe://mesh.example/node/UserService is node:UserService
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:8  map node UserService to service:web, service:jobs, group:frontends
                       service:acl by its name alone
                       policy.json:10  groups and permissions of its mappings count only together with the n\
            ode or user
              rule     none; what no rule allows is denied
              nearest  policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              missing  it gives service:acl to cn ACL
              policy   policy.json version 7 (…)
            """
        #expect(text("UserService", as: "service:acl", .connect, "db") == expected)
    }

    @Test func actingForAUser() {
        let expected = """
            allowed: uid:1000 may connect to db
              who      uid:1000 through node:edge-1
              identity spiffe://mesh.example/node/edge-1 is node:edge-1
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:20  group frontends lists node:edge-1
                       uid 1000 is uid:1000
                       policy.json:15  map uid 1000 to group:operators
              rule     policy.json:34  allow connect from service:acl, uid:* to db
              note     the list of rights
              also     policy.json:38  allow act-as from node:edge-1 to uid:*, service:web, jwt:https://id.e\
            xample/*
              policy   policy.json version 7 (…)
            """
        #expect(text("edge-1", as: "uid:1000", .connect, "db") == expected)
    }

    @Test func theNodeItselfMayNot() {
        let expected = """
            denied: uid:1000 may not connect to mesh.agent through node:edge-1: node:edge-1 itself may not (\
            node_not_allowed)
              who      uid:1000 through node:edge-1
              identity spiffe://mesh.example/node/edge-1 is node:edge-1
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:20  group frontends lists node:edge-1
                       uid 1000 is uid:1000
                       policy.json:15  map uid 1000 to group:operators
              rule     none; what no rule allows is denied
              nearest  policy.json:43  allow connect from group:operators to mesh.agent
              missing  node:edge-1 is not in group operators
              policy   policy.json version 7 (…)
            """
        #expect(text("edge-1", as: "uid:1000", .connect, "mesh.agent") == expected)
    }

    @Test func aDenyOfActAs() {
        let expected = """
            denied: uid:0 may not connect to db through node:edge-1: a rule denies node:edge-1 to act as uid\
            :0 (denied_by_rule)
              who      uid:0 through node:edge-1
              identity spiffe://mesh.example/node/edge-1 is node:edge-1
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:20  group frontends lists node:edge-1
                       uid 0 is uid:0
                       policy.json:22  group operators lists uid:0
              rule     policy.json:48  deny act-as from node:edge-1 to uid:0
              policy   policy.json version 7 (…)
            """
        #expect(text("edge-1", as: "uid:0", .connect, "db") == expected)
    }

    @Test func aRuleForSomebodyElse() {
        let expected = """
            denied: service:db may not connect to db (no_rule)
              who      service:db
              identity service:db by its name alone
                       policy.json:9  groups and permissions of its mappings count only together with the no\
            de or user
                       policy.json:21  group backends lists service:db
              rule     none; what no rule allows is denied
              nearest  policy.json:34  allow connect from service:acl, uid:* to db
              missing  service:db is not service:acl or uid:*
              policy   policy.json version 7 (…)
            """
        #expect(text("service:db", .connect, "db") == expected)
    }

    @Test func aTypingErrorInTheTarget() {
        let expected = """
            denied: service:acl may not connect to bd (no_rule)
              who      service:acl
              identity service:acl by its name alone
                       policy.json:10  groups and permissions of its mappings count only together with the n\
            ode or user
              rule     none; what no rule allows is denied
              nearest  policy.json:34  allow connect from service:acl, uid:* to db
              missing  it covers db, not bd
              policy   policy.json version 7 (…)
            """
        #expect(text("service:acl", .connect, "bd") == expected)
    }

    @Test func aTypingErrorInTheCommonName() {
        let expected = """
            denied: CN "ALC" (no SPIFFE URI) may not link to Directory: the policy does not know this identi\
            ty (unmapped_identity)
              who      anonymous
              identity CN "ALC" (no SPIFFE URI)
                       without a SPIFFE URI a CN identifies only where a mapping names it, and none does
              rule     none; what no rule allows is denied
              nearest  policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              missing  it is for CN ACL, not ALC
              policy   policy.json version 7 (…)
            """
        #expect(text("cn:ALC", .link, "Directory") == expected)
    }

    @Test func aMappingWithoutANodeName() {
        let expected = """
            denied: spiffe://partner.example/ns/test/sa/shop may not link to Directory: the policy does not \
            know this identity (unmapped_identity)
              who      anonymous
              identity spiffe://partner.example/ns/test/sa/shop
                       its mapping (policy.json:13) gives no node name; add `node` to it
              rule     none; what no rule allows is denied
              nearest  policy.json:13  map spiffe spiffe://partner.example/ns/*/sa/shop to group:partners
              missing  it matches and gives no legal node name; add `node`
              policy   policy.json version 7 (…)
            """
        #expect(text("spiffe://partner.example/ns/test/sa/shop", .link, "Directory") == expected)
    }

    @Test func aForeignTrustDomain() {
        let expected = """
            denied: spiffe://evil.example/node/ACL may not link to Directory: the policy does not know this \
            identity (unmapped_identity)
              who      anonymous
              identity spiffe://evil.example/node/ACL
                       evil.example is not one of the policy's trust domains, and no mapping matches spiffe:\
            //evil.example/node/ACL
              rule     none; what no rule allows is denied
              nearest  policy.json:7  map spiffe spiffe://mesh.example/node/Directory to permission mesh-dir\
            ectory
              missing  it is for spiffe://mesh.example/node/Directory, not spiffe://evil.example/node/ACL
              policy   policy.json version 7 (…)
            """
        #expect(text("spiffe://evil.example/node/ACL", .link, "Directory") == expected)
    }

    @Test func administerThroughAWildcard() {
        let expected = """
            denied: node:db-1 may not administer ACL (no_rule)
              who      node:db-1
              identity spiffe://mesh.example/node/db-1 is node:db-1
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:9  map node db-* to service:db, group:backends, group:operators
              rule     none; what no rule allows is denied
              nearest  policy.json:41  allow administer from group:operators to ACL, UserService
              missing  node:db-1 is in group operators through a wildcard, which does not count for administer
              policy   policy.json version 7 (…)
            """
        #expect(text("db-1", .administer, "ACL") == expected)
    }

    @Test func noProvider() {
        let expected = """
            denied: node:ACL may not provide db: it is no provider of it (not_provider)
              who      node:ACL
              identity spiffe://mesh.example/node/ACL is node:ACL
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              rule     none; what no rule allows is denied
              nearest  policy.json:36  allow register, provide from node:db-* to db
              missing  node:ACL is not node:db-*
              policy   policy.json version 7 (…)
            """
        #expect(text("ACL", .provide, "db") == expected)
    }

    @Test func everyNodeIsItsAgent() {
        let expected = """
            allowed: node:ACL may provide mesh.agent
              who      node:ACL
              identity spiffe://mesh.example/node/ACL is node:ACL
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              rule     none needed
              policy   policy.json version 7 (…)
            """
        #expect(text("ACL", .provide, "mesh.agent") == expected)
    }

    @Test func aBuiltInName() {
        let expected = """
            denied: node:ACL may not register mesh.agent: the name is built in (reserved_name)
              who      node:ACL
              identity spiffe://mesh.example/node/ACL is node:ACL
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              rule     none; what no rule allows is denied
              policy   policy.json version 7 (…)
            """
        #expect(text("ACL", .register, "mesh.agent") == expected)
    }

    @Test func aBuiltInPermission() {
        let expected = """
            allowed: node:ACL may discover db
              who      node:ACL
              identity spiffe://mesh.example/node/ACL is node:ACL
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              rule     built-in  permission mesh-node: allow discover to **
              policy   policy.json version 7 (…)
            """
        #expect(text("ACL", .discover, "db") == expected)
    }

    @Test func aGroupOneIsNotIn() {
        let expected = """
            denied: node:ACL may not connect to mesh.agent (no_rule)
              who      node:ACL
              identity spiffe://mesh.example/node/ACL is node:ACL
                       policy.json:6  map node ** to permission mesh-node
                       policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              rule     none; what no rule allows is denied
              nearest  policy.json:43  allow connect from group:operators to mesh.agent
              missing  node:ACL is not in group operators
              policy   policy.json version 7 (…)
            """
        #expect(text("ACL", .connect, "mesh.agent") == expected)
    }

    @Test func anotherVerb() {
        let expected = """
            denied: uid:1000 may not register db (no_rule)
              who      uid:1000
              identity uid 1000 is uid:1000
                       policy.json:15  map uid 1000 to group:operators
              rule     none; what no rule allows is denied
              nearest  policy.json:36  allow register, provide from node:db-* to db
              missing  uid:1000 is not node:db-*
              policy   policy.json version 7 (…)
            """
        #expect(text("uid:1000", .register, "db") == expected)
    }

    @Test func hostileTarget() {
        let expected = """
            denied: service:web may not connect to d\\u{1b}[31mb: that is no name (invalid_name)
              who      service:web
              identity service:web by its name alone
                       policy.json:8  groups and permissions of its mappings count only together with the no\
            de or user
                       policy.json:20  group frontends lists service:web
              rule     none; what no rule allows is denied
              policy   policy.json version 7 (…)
            """
        #expect(text("service:web", .connect, "d\u{1b}[31mb") == expected)
    }

    @Test func hostileCommonName() {
        let expected = """
            denied: CN "evil\\u{202e}\\u{a}x" (no SPIFFE URI) may not connect to db: the policy does not kno\
            w this identity (unmapped_identity)
              who      anonymous
              identity CN "evil\\u{202e}\\u{a}x" (no SPIFFE URI)
                       without a SPIFFE URI a CN identifies only where a mapping names it, and none does
              rule     none; what no rule allows is denied
              nearest  policy.json:10  map cn ACL to service:acl, group:backends, permission mesh-node
              missing  it is for CN ACL, not evil\\u{202e}\\u{a}x
              policy   policy.json version 7 (…)
            """
        #expect(text("cn:evil\u{202e}\nx", .connect, "db") == expected)
    }

    @Test func nobody() {
        let expected = """
            denied: nobody may not connect to db: it proved nothing (not_authenticated)
              who      anonymous
              identity nobody
              rule     none; what no rule allows is denied
              policy   policy.json (…)
            """
        #expect(text("anonymous", .connect, "db", in: Fixture.rules("")) == expected)
    }

    @Test func anUnmappedUser() {
        let expected = """
            denied: uid 9 may not connect to db: the policy does not know this identity (unmapped_identity)
              who      anonymous
              identity uid 9
                       no mapping, group or rule names uid:9
              rule     none; what no rule allows is denied
              nearest  policy.json:1  map uid 8
              missing  it is for uid 8, not uid 9
              policy   policy.json (…)
            """
        #expect(
            text("uid:9", .connect, "db", in: Fixture.parsed("{ identities: [{ match: { uid: 8 } }] }")) == expected)
    }

    @Test func jsonHasEverything() throws {
        let policy = Fixture.policy
        let node = Fixture.principal("UserService")
        let explanation = policy.authorizeOpen(peer: node, actingAs: .service("web"), service: "db").explanation
        #expect(
            explanation.json.text() == """
                {"decision":"allowed","allowed":true,"reason":"allowed","summary":"service:web may connect to db",\
                "principal":"service:web","peer":"node:UserService","verb":"connect","target":"db","identity":[\
                {"text":"spiffe://mesh.example/node/UserService is node:UserService"},\
                {"text":"map node ** to permission mesh-node","index":0,"file":"policy.json","line":6,\
                "rule":"map node ** to permission mesh-node"},\
                {"text":"map node UserService to service:web, service:jobs, group:frontends","index":2,\
                "file":"policy.json","line":8,\
                "rule":"map node UserService to service:web, service:jobs, group:frontends"},\
                {"text":"node:UserService holds service:web"},\
                {"text":"group frontends lists service:web","index":0,"file":"policy.json","line":20,\
                "rule":"group frontends lists service:web"}],\
                "rule":{"index":0,"file":"policy.json","line":33,\
                "text":"allow connect from group:frontends to db, cache.*"},"also":[],"nearest":null,\
                "policy":{"file":"policy.json","version":7,"fingerprint":"\(policy.fingerprint)"}}
                """)
    }

    @Test func jsonIsReadBack() {
        let policy = Fixture.policy
        for row in DecisionTableTests.connections + DecisionTableTests.actings + DecisionTableTests.administrations {
            let parts = row.who.split(separator: " as ", maxSplits: 1).map(String.init)
            let acting = parts.count > 1 ? PrincipalID(parts[1]) : nil
            let decision = policy.authorize(Fixture.principal(parts[0]), actingAs: acting, row.verb, row.target)
            let explanation = decision.explanation
            let read = Explanation(json: explanation.json)
            #expect(read == explanation)
            #expect(read?.text == explanation.text)
        }
        #expect(Explanation(json: [:]) == nil)
        #expect(Explanation(json: "x") == nil)
    }

    @Test func fingerprintTellsTextsApart() {
        let one = Fixture.parsed("{}")
        #expect(one.fingerprint == Fixture.parsed("{}").fingerprint)
        #expect(one.fingerprint != Fixture.parsed("{ }").fingerprint)
        #expect(one.fingerprint.count == 16)
    }
}
