import Policy
import Testing

@Suite struct PolicyWarningTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let expected: [String]

        init(_ text: String, _ expected: String...) {
            self.text = text
            self.expected = expected
        }

        var testDescription: String { text }
    }

    @Test(arguments: cases) func warns(_ row: Case) {
        let warnings = Fixture.parsed(row.text).warnings
        #expect(warnings.map { "\($0.position) \($0.code.rawValue)" } == row.expected, "\(warnings)")
    }

    /// A service may be registered after the rule is written: only what is one slip away from another, two in a longer name, is odd.
    @Test(arguments: [
        ("helo", "hello"), ("hlelo", "hello"), ("Hello", "hello"), ("hel_lo", "hello"), ("paymnets-ap", "payments-api"),
        ("heo", nil), ("hello", nil), ("hello2", nil), ("hello-2", nil), ("web", nil), ("payments", nil),
        ("pymnts-ap", nil), ("hello*", nil), ("mesh.helo", nil),
    ])
    func aRegisteredServiceIsSuggested(_ name: String, _ meant: String?) {
        let policy = Fixture.parsed(
            """
            { permissions: { x: [{ allow: 'provide', to: '\(name)' }] }, rules: [
              { deny: 'connect', from: 'uid:1', to: '\(name)' }, { allow: 'link', from: 'node:a', to: 'helo' }] }
            """)
        let registered = ["hello", "web-admin", "payments-api"]
        let found = policy.warnings(registered: registered).filter { $0.code == .unknownService }
        let message = meant.map { "no service \(name) is among those that you may discover; did you mean \"\($0)\"?" }
        #expect(found.map(\.message) == (message.map { [$0, $0] } ?? []), "\(found)")
        #expect(policy.warnings(registered: []) == policy.warnings)
    }

    static let cases: [Case] = [
        Case("{}"),
        Case("{ rules: [{ allow: 'connect', from: 'group:x', to: 'a' }] }", "1:11 unknown_group"),
        Case("{ groups: { x: [] }, rules: [{ allow: 'connect', from: 'group:x', to: 'a' }] }", "1:30 unknown_group"),
        Case("{ groups: { x: 'uid:1' }, rules: [{ allow: 'connect', from: 'group:x', to: 'a' }] }"),
        Case(
            """
            { identities: [{ match: { uid: 1 }, groups: 'x' }],
              rules: [{ allow: 'connect', from: 'group:x', to: 'a' }] }
            """),
        Case("{ rules: [{ allow: 'connect', from: 'service:x', to: 'a' }] }", "1:11 unknown_service_identity"),
        Case(
            """
            { rules: [{ allow: 'connect', from: 'service:x', to: 'a' },
              { allow: 'act-as', from: 'node:edge', to: 'service:**' }] }
            """),
        Case("{ identities: [{ match: { cn: 'a' }, permissions: 'mesh-nodes' }] }", "1:16 unknown_permission"),
        Case("{ identities: [{ match: { cn: 'a' }, permissions: 'mesh-node' }] }"),
        Case("{ permissions: { x: [{ allow: 'link', to: 'a' }] } }", "1:18 unused_permission"),
        Case("{ rules: [{ allow: 'provide', from: 'uid:1', to: 'a' }] }", "1:11 never_matches"),
        Case("{ rules: [{ allow: 'link', from: ['uid:1', 'jwt:a/b'], to: 'a' }] }", "1:11 never_matches"),
        Case("{ rules: [{ allow: 'link', from: ['uid:1', 'node:b'], to: 'a' }] }"),
        Case("{ rules: [{ deny: 'provide', from: 'uid:1', to: 'a' }] }"),
        Case("{ rules: [{ allow: 'connect', from: 'jwt:https://i/*', to: 'a' }] }", "1:11 nobody_acts_as"),
        Case("{ rules: [{ deny: 'connect', from: 'jwt:https://i/*', to: 'a' }] }"),
        Case(
            "{ identities: [{ match: { issuer: 'https://i' } }, { match: { key: '*' } }] }", "1:16 nobody_acts_as",
            "1:52 nobody_acts_as"),
        Case(
            """
            { identities: [{ match: { issuer: 'https://i' } }, { match: { key: '*' } }],
              rules: [{ allow: 'act-as', from: 'node:edge', to: ['jwt:https://i/**', 'key:*'] }] }
            """),
        Case(
            """
            { identities: [{ match: { key: '*' }, groupsFrom: 'groups' }],
              rules: [{ allow: 'act-as', from: 'node:edge', to: 'key:*' },
                { allow: 'connect', from: 'group:any', to: 'a' }] }
            """),
        Case(
            """
            { identities: [{ match: { key: '*' }, permissionsFrom: 'permissions' }],
              rules: [{ allow: 'act-as', from: 'node:edge', to: 'key:*' }] }
            """, "1:16 unknown_permission"),
        Case(
            """
            { identities: [{ match: { key: '*' }, permissionsFrom: 'permissions' }],
              permissions: { x: [{ allow: 'connect', to: 'a' }] },
              rules: [{ allow: 'act-as', from: 'node:edge', to: 'key:*' }] }
            """),
        Case(
            """
            { identities: [{ match: { issuer: 'https://i' }, groups: 'ops' }],
              rules: [{ allow: 'act-as', from: 'node:edge', to: 'jwt:**' },
                { allow: 'administer', from: 'group:ops', to: 'x' }] }
            """, "1:16 administer_through_wildcard"),
        Case("{ rules: [{ allow: 'register', from: 'node:a', to: 'mesh.directory' }] }", "1:11 never_matches"),
        // Through a wildcard nobody gets to a built-in service.
        Case(
            """
            { rules: [{ allow: 'act-as', from: 'node:edge', to: 'key:*' },
            { allow: 'connect', from: 'key:a', to: 'mesh.agent' },
            { allow: 'connect', from: 'key:*', to: ['web', 'mesh.*'] }, { allow: 'connect', from: 'key:*', to: '**' }] }
            """, "2:1 never_matches", "3:1 never_matches"),
        Case(
            """
            { rules: [{ allow: 'act-as', from: 'node:edge', to: ['key:*', 'key:a'] },
            { allow: 'connect', from: 'key:a', to: 'mesh.agent' }, { allow: 'connect', from: 'key:*', to: 'mesh.*' }] }
            """),
        Case(
            """
            { rules: [{ allow: 'act-as', from: 'node:*', to: 'key:a' },
            { allow: 'connect', from: 'key:a', to: 'mesh.agent' }] }
            """, "2:1 never_matches"),
        Case(
            """
            { rules: [{ allow: 'link', from: ['node:a', 'node:b'], to: 'x' },
            { allow: 'link', from: ['node:b', 'node:a'], to: 'x' }] }
            """, "2:1 duplicate_rule"),
        Case(
            """
            { rules: [
            { deny: 'link', from: 'node:a', to: 'x' },
            { allow: 'link', from: 'node:a', to: 'x' }] }
            """, "3:1 always_denied"),
        Case(
            """
            { rules: [{ allow: 'administer', from: 'group:ops', to: 'x' }],
            groups: { ops: ['uid:0', 'uid:*'] } }
            """, "2:26 administer_through_wildcard"),
        Case(
            """
            { rules: [{ allow: 'administer', from: 'group:ops', to: 'x' }],
            identities: [{ match: { user: 'op-*' }, groups: 'ops' }, { match: { user: 'op' }, groups: 'ops' }] }
            """, "2:14 administer_through_wildcard"),
        Case(
            """
            { permissions: { ops: [{ allow: 'administer', to: 'x' }] },
            identities: [{ match: { uid: '*' }, permissions: 'ops' }] }
            """, "2:14 administer_through_wildcard"),
    ]

    @Test func suggestsTheGroupThatWasMeant() {
        let policy = Fixture.parsed(
            "{ groups: { admins: 'uid:0' }, rules: [{ allow: 'administer', from: 'group:admin', to: 'x' }] }")
        #expect(policy.warnings.map(\.message) == ["nothing puts anybody into group admin; did you mean \"admins\"?"])
    }
}
