import Policy
import Testing

@Suite struct DecisionTableTests {
    /// Who asks (`identity` or `identity as principal`), what for, the reason, and the line of the rule (0: none).
    struct Row: Sendable, CustomTestStringConvertible {
        let who: String
        let verb: Verb
        let target: String
        let reason: PolicyReason
        let line: Int

        init(_ who: String, _ verb: Verb, _ target: String, _ reason: PolicyReason, _ line: Int = 0) {
            self.who = who
            self.verb = verb
            self.target = target
            self.reason = reason
            self.line = line
        }

        var testDescription: String { "\(who) \(verb) \(target)" }
    }

    @Test(arguments: links + registrations + provisions + discoveries)
    func decidesAboutTheMesh(_ row: Row) { check(row) }

    @Test(arguments: connections + actings)
    func decidesAboutStreams(_ row: Row) { check(row) }

    @Test(arguments: administrations + identities + permissionToActAs)
    func decidesAboutRights(_ row: Row) { check(row) }

    @Test func hasAtLeast120Rows() {
        let count =
            Self.links.count + Self.registrations.count + Self.provisions.count + Self.discoveries.count
            + Self.connections.count + Self.actings.count + Self.administrations.count + Self.identities.count
            + Self.permissionToActAs.count
        #expect(count >= 120)
    }

    private func check(_ row: Row) {
        let policy = Fixture.policy
        let parts = row.who.split(separator: " as ", maxSplits: 1).map(String.init)
        let principal = Fixture.principal(parts[0])
        let acting = parts.count > 1 ? PrincipalID(parts[1]) : nil
        let decision = policy.authorize(principal, actingAs: acting, row.verb, row.target)
        #expect(decision.reason == row.reason)
        #expect(decision.allowed == (row.reason == .allowed))
        #expect((decision.rule?.line ?? 0) == row.line)
    }

    static let links: [Row] = [
        Row("node:UserService", .link, "ACL", .allowed),
        Row("node:UserService", .link, "host.example.org", .allowed),
        Row("node:UserService", .link, "mesh.node", .allowed),
        Row("node:Directory", .link, "ACL", .allowed),
        Row("node:bad-1", .link, "ACL", .deniedByRule, 46),
        Row("node:bad-", .link, "ACL", .deniedByRule, 46),
        Row("node:Bad-1", .link, "ACL", .allowed),
        Row("node:bad-1.example", .link, "ACL", .allowed),
        Row("cn:ACL", .link, "Directory", .allowed),
        Row("cn:Old Server", .link, "Directory", .noRule),
        Row("cn:UserService", .link, "Directory", .unmappedIdentity),
        Row("cn:nobody", .link, "Directory", .unmappedIdentity),
        Row("spiffe://evil.example/node/ACL", .link, "Directory", .unmappedIdentity),
        Row("spiffe://mesh.example/ns/ACL", .link, "Directory", .unmappedIdentity),
        Row("spiffe://mesh.example/node/ACL/x", .link, "Directory", .unmappedIdentity),
        Row("spiffe://mesh.example/node/", .link, "Directory", .unmappedIdentity),
        Row("uid:1000", .link, "ACL", .noRule),
        Row("service:web", .link, "ACL", .noRule),
        Row("anonymous", .link, "ACL", .noRule),
        Row("node:UserService", .link, "", .invalidName),
        Row("node:UserService", .link, "a b", .invalidName),
        Row("node:UserService", .link, "a..b", .invalidName),
    ]

    static let registrations: [Row] = [
        Row("node:UserService", .register, "web", .allowed, 35),
        Row("node:UserService", .register, "Web", .noRule),
        Row("node:UserService", .register, "web2", .noRule),
        Row("node:UserService", .register, "jobs", .noRule),
        Row("node:UserService", .register, "jobs.nightly", .allowed, 35),
        Row("node:UserService", .register, "jobs.nightly.eu", .allowed, 35),
        Row("node:UserService", .register, "jobs.", .invalidName),
        Row("node:UserService", .register, "db", .noRule),
        Row("node:db-1", .register, "db", .allowed, 36),
        Row("node:db-1.example", .register, "db", .noRule),
        Row("node:ACL", .register, "db", .noRule),
        Row("node:Directory", .register, "mesh.directory", .reservedName),
        Row("node:UserService", .register, "mesh.agent", .reservedName),
        Row("node:UserService", .register, "mesh", .reservedName),
        Row("node:UserService", .register, "mesh.other", .reservedName),
        Row("node:UserService", .register, "meshed", .noRule),
        Row("cn:nobody", .register, "mesh.agent", .unmappedIdentity),
        Row("uid:1000", .register, "web", .allowed, 37),
        Row("uid:1000", .register, "db", .noRule),
        Row("uid:1001", .register, "web", .noRule),
    ]

    static let provisions: [Row] = [
        Row("node:UserService", .provide, "web", .allowed, 35),
        Row("node:UserService", .provide, "db", .notProvider),
        Row("node:db-7", .provide, "db", .allowed, 36),
        Row("node:db-7", .provide, "web", .notProvider),
        Row("node:Directory", .provide, "mesh.directory", .allowed),
        Row("node:ACL", .provide, "mesh.directory", .notProvider),
        Row("node:ACL", .provide, "mesh.agent", .allowed),
        Row("node:Directory", .provide, "mesh.agent", .allowed),
        Row("cn:nobody", .provide, "mesh.agent", .unmappedIdentity),
        Row("uid:0", .provide, "mesh.agent", .notProvider),
        Row("service:web", .provide, "web", .notProvider),
        Row("node:ACL", .provide, "mesh.other", .notProvider),
        Row("node:ACL", .provide, "we b", .invalidName),
    ]

    static let discoveries: [Row] = [
        Row("node:UserService", .discover, "db", .allowed),
        Row("node:UserService", .discover, "a.b.c", .allowed),
        Row("node:UserService", .discover, "mesh.directory", .noRule),
        Row("node:bad-1", .discover, "db", .deniedByRule, 45),
        Row("service:web", .discover, "db", .noRule),
        Row("service:rogue", .discover, "db", .deniedByRule, 45),
        Row("service:rogue", .discover, "mesh.directory", .deniedByRule, 45),
        Row("uid:1000", .discover, "db", .noRule),
        Row("anonymous", .discover, "db", .noRule),
        Row("cn:ACL", .discover, "db", .allowed),
        Row("cn:a.legacy.example", .discover, "db", .noRule),
    ]

    static let connections: [Row] = [
        Row("service:web", .connect, "db", .allowed, 33),
        Row("service:web", .connect, "cache.a", .allowed, 33),
        Row("service:web", .connect, "cache.a.b", .noRule),
        Row("service:web", .connect, "cache", .noRule),
        Row("service:web", .connect, "web", .noRule),
        Row("service:db", .connect, "db", .noRule),
        Row("service:acl", .connect, "db", .allowed, 34),
        Row("service:acl", .connect, "cache.a", .noRule),
        Row("service:rogue", .connect, "db", .deniedByRule, 45),
        Row("uid:1000", .connect, "db", .allowed, 34),
        Row("uid:4242", .connect, "db", .allowed, 34),
        Row("uid:1000", .connect, "web", .noRule),
        Row("uid:0", .connect, "mesh.agent", .allowed, 43),
        Row("uid:1000", .connect, "mesh.agent", .allowed, 43),
        Row("uid:4242", .connect, "mesh.agent", .noRule),
        Row("uid:1000", .connect, "mesh.directory", .noRule),
        Row("node:UserService", .connect, "db", .allowed, 33),
        Row("node:UserService", .connect, "anything", .allowed, 44),
        Row("node:UserService", .connect, "mesh.agent", .noRule),
        Row("node:UserService", .connect, "mesh.directory", .allowed),
        Row("node:UserService", .connect, "cache.secret", .deniedByRule, 47),
        Row("node:db-1", .connect, "mesh.agent", .allowed, 43),
        Row("node:edge-1", .connect, "db", .allowed, 33),
        Row("node:edge-1", .connect, "web", .allowed, 39),
        Row("node:bad-1", .connect, "db", .deniedByRule, 45),
        Row("node:bad-1", .connect, "mesh.directory", .deniedByRule, 45),
        Row("cn:Old Server", .connect, "db", .allowed, 44),
        Row("cn:a.legacy.example", .connect, "db", .allowed, 44),
        Row("cn:a.b.legacy.example", .connect, "db", .unmappedIdentity),
        Row("cn:legacy.example", .connect, "db", .unmappedIdentity),
        Row("jwt:https://id.example/alice", .connect, "web", .allowed, 40),
        Row("jwt:https://id.example/alice", .connect, "db", .noRule),
        Row("jwt:https://id.example/a/b", .connect, "web", .unmappedIdentity),
        Row("jwt:https://other.example/alice", .connect, "web", .unmappedIdentity),
        Row("key:ops-key", .connect, "mesh.agent", .allowed, 43),
        Row("key:other", .connect, "mesh.agent", .unmappedIdentity),
        Row("anonymous", .connect, "status", .allowed, 49),
        Row("anonymous", .connect, "db", .noRule),
        Row("service:web", .connect, "", .invalidName),
        Row("service:web", .connect, "db\n", .invalidName),
    ]

    static let actings: [Row] = [
        Row("node:UserService as service:web", .connect, "db", .allowed, 33),
        Row("node:UserService as service:web", .connect, "cache.a", .allowed, 33),
        Row("node:UserService as service:web", .connect, "cache.secret", .deniedByRule, 47),
        Row("node:UserService as service:jobs", .connect, "db", .allowed, 33),
        Row("node:UserService as service:jobs", .connect, "other", .noRule),
        Row("node:UserService as service:acl", .connect, "db", .actAsMissing),
        Row("node:UserService as uid:1000", .connect, "db", .actAsMissing),
        Row("node:UserService as node:UserService", .connect, "other", .allowed, 44),
        Row("node:UserService as node:ACL", .connect, "other", .actAsMissing),
        Row("node:bad-1 as service:web", .connect, "db", .actAsMissing),
        Row("cn:ACL as service:acl", .connect, "db", .allowed, 34),
        Row("cn:nobody as service:acl", .connect, "db", .unmappedIdentity),
        Row("node:edge-1 as service:web", .connect, "db", .allowed, 33),
        Row("node:edge-1 as service:db", .connect, "db", .actAsMissing),
        Row("node:edge-1 as uid:1000", .connect, "db", .allowed, 34),
        Row("node:edge-1 as uid:1000", .connect, "web", .noRule),
        Row("node:edge-1 as uid:1000", .connect, "mesh.agent", .nodeNotAllowed),
        Row("node:edge-1 as uid:0", .connect, "db", .deniedByRule, 48),
        Row("node:edge-1 as jwt:https://id.example/alice", .connect, "web", .allowed, 40),
        Row("node:edge-1 as jwt:https://id.example/a/b", .connect, "web", .actAsMissing),
        Row("node:edge-1 as anonymous", .connect, "status", .actAsMissing),
        Row("node:edge-1 as key:ops-key", .connect, "mesh.agent", .actAsMissing),
    ]

    static let administrations: [Row] = [
        Row("uid:0", .administer, "ACL", .allowed, 41),
        Row("uid:0", .administer, "UserService", .allowed, 41),
        Row("uid:0", .administer, "Directory", .allowed, 42),
        Row("uid:1000", .administer, "ACL", .allowed, 41),
        Row("uid:1000", .administer, "Directory", .noRule),
        Row("uid:4242", .administer, "ACL", .noRule),
        Row("key:ops-key", .administer, "ACL", .allowed, 41),
        // In the group through the pattern db-*, which does not count.
        Row("node:db-1", .administer, "ACL", .noRule),
        Row("node:UserService", .administer, "UserService", .noRule),
        Row("service:web", .administer, "ACL", .noRule),
        Row("anonymous", .administer, "ACL", .noRule),
        Row("uid:0", .administer, "@every-node", .invalidName),
        Row("uid:0", .administer, "**", .invalidName),
    ]

    static let identities: [Row] = [
        Row("spiffe://mesh.example/node/UserService", .connect, "db", .allowed, 33),
        Row("spiffe://partner.example/ns/prod/sa/shop", .connect, "db", .allowed, 44),
        Row("spiffe://partner.example/ns/test/sa/shop", .connect, "db", .unmappedIdentity),
        Row("spiffe://partner.example/node/UserService", .connect, "db", .unmappedIdentity),
        Row("spiffe://mesh.example", .connect, "db", .unmappedIdentity),
        Row("spiffe://MESH.example/node/ACL", .connect, "db", .unmappedIdentity),
        Row("cn:acl", .connect, "db", .unmappedIdentity),
        Row("cn:ACL ", .connect, "db", .unmappedIdentity),
        Row("cn:*.legacy.example", .connect, "db", .unmappedIdentity),
        Row("key:unknown", .administer, "ACL", .unmappedIdentity),
    ]

    static let permissionToActAs: [Row] = [
        Row("node:edge-1", .actAs, "uid:1000", .allowed, 38),
        Row("node:edge-1", .actAs, "uid:0", .deniedByRule, 48),
        Row("node:edge-1", .actAs, "service:web", .allowed, 38),
        Row("node:edge-1", .actAs, "service:webby", .noRule),
        Row("node:edge-1", .actAs, "service:1000", .noRule),
        Row("node:edge-1", .actAs, "node:1000", .noRule),
        Row("node:edge-2", .actAs, "uid:1000", .noRule),
        Row("node:edge-1", .actAs, "uid:", .noRule),
        Row("node:edge-1", .actAs, "jwt:https://id.example/bob", .allowed, 38),
        Row("node:edge-1", .actAs, "jwt:https://id.example.evil/bob", .noRule),
    ]
}
