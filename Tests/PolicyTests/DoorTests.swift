import Policy
import Testing

/// What the doors ask beyond a single rule.
@Suite struct DoorTests {
    private func policy(_ rules: String) -> PolicyDocument {
        Fixture.parsed(
            """
            { identities: [
                { match: { node: "a" }, services: ["web", "jobs"] },
                { match: { uid: 1000 } } ],
              rules: [\(rules)] }
            """)
    }

    private func open(_ rules: String, as acting: String?, service: String = "db") -> Decision {
        let policy = policy(rules)
        let acting = acting.flatMap { PrincipalID($0) }
        return policy.authorizeOpen(peer: Fixture.principal("a", in: policy), actingAs: acting, service: service)
    }

    @Test func oneOfItsServiceIdentitiesNeedsNoActAs() {
        let rules = "{ allow: 'connect', from: 'service:web', to: 'db' }"
        #expect(open(rules, as: "service:web").allowed)
        #expect(open(rules, as: "service:jobs").reason == .noRule)
        #expect(open(rules, as: nil).reason == .noRule)
        #expect(open(rules, as: "node:a").reason == .noRule)
    }

    @Test func aDenyForTheNodeStopsItsServiceIdentities() {
        let rules = "{ allow: 'connect', from: 'service:web', to: 'db' }, { deny: 'connect', from: 'node:a', to: 'db' }"
        let decision = open(rules, as: "service:web")
        #expect(decision.reason == .deniedByRule)
        #expect(decision.rule?.index == 1)
    }

    @Test func someoneElseNeedsActAsAndBothTheRight() {
        let actAs = "{ allow: 'act-as', from: 'node:a', to: 'uid:1000' }"
        let user = "{ allow: 'connect', from: 'uid:1000', to: 'db' }"
        let node = "{ allow: 'connect', from: 'node:a', to: 'db' }"
        let identity = "{ allow: 'connect', from: 'service:jobs', to: 'db' }"
        #expect(open("\(user), \(node)", as: "uid:1000").reason == .actAsMissing)
        #expect(open("\(actAs), \(node)", as: "uid:1000").reason == .noRule)
        #expect(open("\(actAs), \(user)", as: "uid:1000").reason == .nodeNotAllowed)
        #expect(open("\(actAs), \(user), \(node)", as: "uid:1000").allowed)
        // What it may as one of its identities, it may.
        #expect(open("\(actAs), \(user), \(identity)", as: "uid:1000").allowed)
        let deny = "{ deny: 'connect', from: 'node:a', to: 'db' }"
        #expect(open("\(actAs), \(user), \(identity), \(deny)", as: "uid:1000").reason == .deniedByRule)
        #expect(open("\(actAs), \(user), \(node), \(deny)", as: "uid:1000").reason == .deniedByRule)
        let denyUser = "{ deny: 'connect', from: 'uid:*', to: '**' }"
        #expect(open("\(actAs), \(user), \(node), \(denyUser)", as: "uid:1000").reason == .deniedByRule)
        let denyActAs = "{ deny: 'act-as', from: 'node:**', to: 'uid:*' }"
        #expect(open("\(actAs), \(user), \(node), \(denyActAs)", as: "uid:1000").reason == .deniedByRule)
    }

    @Test func anUnknownUserStaysUnknownThroughANode() {
        let rules = """
            { allow: 'act-as', from: 'node:a', to: 'uid:*' }, { allow: 'connect', from: 'node:a', to: 'db' }
            """
        #expect(open(rules, as: "uid:7").reason == .unmappedIdentity)
        #expect(open(rules, as: "uid:1000").reason == .noRule)
    }

    @Test func aUserNamedFromAfarHasNoGroupsOfThisHost() {
        let policy = Fixture.parsed(
            """
            { identities: [{ match: { gid: 0 }, groups: "g" }, { match: { user: "root" }, groups: "g" },
                { match: { uid: 0 } }],
              rules: [{ allow: 'act-as', from: 'node:a', to: 'uid:*' },
                { allow: 'connect', from: ['group:g', 'node:a'], to: 'db' }] }
            """)
        let local = policy.principal(for: .user(uid: 0, name: "root", gids: [0]))
        #expect(policy.authorizeOpen(peer: local, service: "db").allowed)
        let node = Fixture.principal("a", in: policy)
        #expect(policy.authorizeOpen(peer: node, actingAs: .uid(0), service: "db").reason == .noRule)
    }

    @Test func builtInServicesWantAnActAsWithoutWildcards() {
        let policy = Fixture.parsed(
            """
            { identities: [{ match: { node: "a" }, services: "web" }, { match: { node: "db-*" }, groups: "dbs" }],
              rules: [
                { allow: 'act-as', from: 'node:a', to: ['uid:*', 'uid:1', 'key:*', 'key:x', 'node:*', 'service:**'] },
                { allow: 'act-as', from: ['node:*', 'group:dbs'], to: 'key:y' },
                { allow: 'connect', from: ['node:*', 'uid:*', 'key:*', 'service:web', 'service:ops'], to: ['mesh.*', 'db'] },
                { deny: 'act-as', from: 'node:deny', to: 'key:x' }, { allow: 'act-as', from: 'node:deny', to: 'key:x' }] }
            """)
        func open(_ node: String, as acting: String, _ service: String = "mesh.agent", own: Bool = false)
            -> PolicyReason
        {
            policy.authorizeOpen(
                peer: Fixture.principal(node, in: policy), actingAs: PrincipalID(acting), service: service,
                onOwnHost: own
            ).reason
        }
        for who in ["uid:0", "uid:1", "key:y", "key:z", "node:b", "service:ops"] {
            #expect(open("a", as: who) == .notVouchedFor, "\(who)")
            #expect(open("a", as: who, "mesh.directory") == .notVouchedFor, "\(who)")
            #expect(open("a", as: who, "db") == .allowed, "\(who)")
        }
        for who in ["key:x", "service:web", "node:a"] { #expect(open("a", as: who) == .allowed, "\(who)") }
        // Of its own users the host knows more than a name.
        for who in ["uid:0", "uid:1"] { #expect(open("a", as: who, own: true) == .allowed) }
        #expect(open("a", as: "key:z", own: true) == .notVouchedFor)
        // The wildcard may be on the node's side, too.
        for node in ["b", "db-1"] { #expect(open(node, as: "key:y") == .notVouchedFor, "\(node)") }
        #expect(open("deny", as: "key:x") == .deniedByRule)
    }

    @Test func registeringNeedsTheNodeAndItsCaller() {
        let node = "{ allow: 'register', from: 'node:a', to: 'web' }"
        let user = "{ allow: 'register', from: 'uid:1000', to: 'web' }"
        func register(_ rules: String, caller: String?) -> Decision {
            let policy = policy(rules)
            return policy.authorizeRegister(
                node: Fixture.principal("a", in: policy), caller: caller.map { Fixture.principal($0, in: policy) },
                service: "web")
        }
        #expect(register(node, caller: nil).allowed)
        #expect(register(node, caller: "uid:1000").reason == .noRule)
        #expect(register(node, caller: "uid:1000").principal.id == .uid(1000))
        #expect(register(user, caller: "uid:1000").reason == .noRule)
        #expect(register(user, caller: "uid:1000").principal.id == .node("a"))
        #expect(register("\(node), \(user)", caller: "uid:1000").allowed)
        #expect(register("\(node), \(user)", caller: "uid:7").reason == .unmappedIdentity)
    }

    @Test func wildcardsDoNotReachBuiltInServices() {
        for pattern in ["**", "*.directory", "m*.directory", "*.*", "**.directory"] {
            let rules = "{ allow: ['connect', 'provide'], from: 'node:a', to: '\(pattern)' }"
            #expect(open(rules, as: nil, service: "mesh.directory").reason == .noRule, "\(pattern)")
            let policy = policy(rules)
            let node = Fixture.principal("a", in: policy)
            #expect(policy.authorizeProvide(node: node, service: "mesh.directory").reason == .notProvider)
        }
        for pattern in ["mesh.*", "mesh.**", "mesh.dir*", "mesh.directory"] {
            let rules = "{ allow: 'connect', from: 'node:a', to: '\(pattern)' }"
            #expect(open(rules, as: nil, service: "mesh.directory").allowed, "\(pattern)")
        }
        // A deny means what it says.
        let denied =
            "{ allow: 'connect', from: 'node:a', to: 'mesh.**' }, { deny: 'connect', from: 'node:a', to: '**' }"
        #expect(open(denied, as: nil, service: "mesh.directory").reason == .deniedByRule)
    }

    @Test func namespacesAreDisjoint() {
        let rules = "{ allow: 'connect', from: 'node:1000', to: 'db' }, { allow: 'connect', from: 'node:*', to: 'all' }"
        let policy = policy(rules)
        for who in ["uid:1000", "service:1000"] {
            let principal = Fixture.principal(who, in: policy)
            #expect(policy.decide(principal, .connect, "db").reason == .noRule)
            #expect(policy.decide(principal, .connect, "all").reason == .noRule)
        }
        #expect(policy.decide(Fixture.principal("node:1000", in: policy), .connect, "db").allowed)
    }

    @Test func everyAgentMayBeAdministeredByWhoIsNamed() {
        let policy = policy("{ allow: 'administer', from: 'uid:1000', to: '@every-node' }")
        let user = Fixture.principal("uid:1000", in: policy)
        #expect(policy.authorizeAdminister(user, node: "a").allowed)
        #expect(policy.authorizeAdminister(user, node: "b.example").allowed)
        #expect(!policy.authorizeAdminister(user, node: "not a name").allowed)
        #expect(policy.authorizeAdminister(Fixture.principal("a", in: policy), node: "a").reason == .noRule)
    }

    @Test func denialsSpareNobodyByNumber() {
        // The first of several denies is the one named, the first allow likewise.
        let policy = policy(
            """
            { allow: 'link', from: 'node:*', to: 'x' }, { allow: 'link', from: 'node:a', to: '*' },
            { deny: 'link', from: 'node:a', to: 'y*' }, { deny: 'link', from: 'node:a', to: 'yy' },
            """)
        let node = Fixture.principal("a", in: policy)
        #expect(policy.authorizeLink(peer: node, with: "x").rule?.index == 0)
        #expect(policy.authorizeLink(peer: node, with: "z").rule?.index == 1)
        #expect(policy.authorizeLink(peer: node, with: "yy").rule?.index == 2)
    }
}
