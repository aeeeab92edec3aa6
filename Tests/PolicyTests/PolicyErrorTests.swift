import Policy
import Testing

@Suite struct PolicyErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let code: PolicyError.Code
        let place: String
        let part: String

        init(_ text: String, _ code: PolicyError.Code, _ place: String, _ part: String = "") {
            self.text = text
            self.code = code
            self.place = place
            self.part = part
        }

        var testDescription: String { text }
    }

    @Test(arguments: cases) func refusesWithItsPlace(_ row: Case) {
        let error = #expect(throws: PolicyError.self) { try PolicyDocument.parse(row.text, file: "p.json") }
        #expect(error?.code == row.code)
        #expect(error.map { "\($0.line):\($0.column)" } == row.place)
        #expect(error?.message.contains(row.part) == true, "\(error?.message ?? "")")
        #expect(error.map { $0.description.hasPrefix("p.json:\(row.place): ") } == true)
    }

    static let cases: [Case] = [
        // The text.
        Case("", .syntax, "1:1"),
        Case("{ rules: [}", .syntax, "1:11"),
        Case("{ rules: [], rules: [] }", .syntax, "1:14"),
        Case("[]", .wrongType, "1:1", "expected an object, found an array"),
        Case("{ rules: {} }", .wrongType, "1:10", "expected an array"),
        Case("{ rules: [1] }", .wrongType, "1:11", "expected an object"),
        Case("{ version: \"1\" }", .wrongType, "1:12", "expected an integer"),
        Case("{ version: -1 }", .wrongType, "1:12"),
        // Keys.
        Case("{ rule: [] }", .unknownKey, "1:3", "did you mean \"rules\"?"),
        Case("{\n  identites: []\n}", .unknownKey, "2:3", "did you mean \"identities\"?"),
        Case("{ zzz: 1 }", .unknownKey, "1:3", "unknown key \"zzz\""),
        Case("{ rules: [{ allow: 'link', form: 'node:a', to: 'b' }] }", .unknownKey, "1:28", "\"from\"?"),
        Case("{ rules: [{ alow: 'link', from: 'node:a', to: 'b' }] }", .unknownKey, "1:13", "\"allow\"?"),
        Case("{ identities: [{ match: { name: 'x' } }] }", .unknownKey, "1:27"),
        Case("{ identities: [{ match: { cn: 'x' }, service: 'y' }] }", .unknownKey, "1:38", "\"services\"?"),
        Case("{ permissions: { x: [{ allow: 'link', from: 'node:a', to: 'b' }] } }", .unknownKey, "1:39"),
        Case("{ rules: [{ allow: 'link', from: 'node:a' }] }", .missingKey, "1:11", "`to`"),
        Case("{ rules: [{ allow: 'link', to: 'a' }] }", .missingKey, "1:11", "`from`"),
        Case("{ rules: [{ from: 'node:a', to: 'a' }] }", .missingKey, "1:11", "`allow` or `deny`"),
        Case("{ identities: [{ services: 'x' }] }", .missingKey, "1:16", "`match`"),
        Case("{ rules: [{ allow: 'link', deny: 'link', from: 'node:a', to: 'b' }] }", .badRule, "1:11"),
        // Lists.
        Case("{ rules: [{ allow: [], from: 'node:a', to: 'b' }] }", .emptyList, "1:20"),
        Case("{ rules: [{ allow: 'link', from: [], to: 'b' }] }", .emptyList, "1:34"),
        Case("{ rules: [{ allow: 'link', from: 'node:a', to: [] }] }", .emptyList, "1:48"),
        Case("{ trustDomains: [] }", .emptyList, "1:17"),
        Case("{ rules: [{ allow: 'link', from: ['node:a', 1], to: 'b' }] }", .wrongType, "1:45", "a string"),
        Case("{ rules: [{ allow: 'link', from: { a: 1 }, to: 'b' }] }", .wrongType, "1:34"),
        // Verbs.
        Case("{ rules: [{ allow: 'conect', from: 'node:a', to: 'b' }] }", .unknownVerb, "1:20", "\"connect\"?"),
        Case("{ rules: [{ allow: '*', from: 'node:a', to: 'b' }] }", .unknownVerb, "1:20", "no wildcard"),
        Case("{ rules: [{ allow: 'dance', from: 'node:a', to: 'b' }] }", .unknownVerb, "1:20", "verbs are link"),
        Case("{ rules: [{ allow: ['connect', 'link'], from: 'node:a', to: 'b' }] }", .mixedTargets, "1:32"),
        Case("{ rules: [{ allow: ['act-as', 'connect'], from: 'node:a', to: 'b' }] }", .mixedTargets, "1:31"),
        // Principals.
        Case("{ rules: [{ allow: 'link', from: '*', to: 'b' }] }", .badPrincipal, "1:34", "crosses namespaces"),
        Case("{ rules: [{ allow: 'link', from: '**', to: 'b' }] }", .badPrincipal, "1:34", "crosses namespaces"),
        Case("{ rules: [{ allow: 'link', from: '*:a', to: 'b' }] }", .badPrincipal, "1:34"),
        Case("{ rules: [{ allow: 'link', from: 'ACL', to: 'b' }] }", .badPrincipal, "1:34", "node:ACL"),
        Case("{ rules: [{ allow: 'link', from: 'nodes:ACL', to: 'b' }] }", .badPrincipal, "1:34", "\"node\"?"),
        Case("{ rules: [{ allow: 'link', from: 'node:', to: 'b' }] }", .badPrincipal, "1:34"),
        Case("{ rules: [{ allow: 'link', from: 'node:a b', to: 'b' }] }", .badPrincipal, "1:34"),
        Case("{ rules: [{ allow: 'connect', from: 'uid:root', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ rules: [{ allow: 'connect', from: 'uid:01', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ rules: [{ allow: 'connect', from: 'uid:4294967296', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ rules: [{ allow: 'connect', from: 'uid:1*', to: 'b' }] }", .badPattern, "1:37", "number or `*`"),
        Case("{ rules: [{ allow: 'connect', from: 'jwt:alice', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ rules: [{ allow: 'connect', from: 'anonymous:x', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ rules: [{ allow: 'connect', from: 'group:', to: 'b' }] }", .badName, "1:37"),
        Case("{ groups: { a: 'group:b' } }", .badPrincipal, "1:16", "can't contain a group"),
        Case("{ groups: { 'a b': [] } }", .badName, "1:13"),
        // Targets and patterns.
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: 'node:b' }] }", .badName, "1:51", "about services"),
        Case("{ rules: [{ allow: 'link', from: 'node:a', to: 'service:b' }] }", .badName, "1:48", "about nodes"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: 'b c' }] }", .badName, "1:51"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: '' }] }", .badName, "1:51"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: '.' }] }", .badName, "1:51"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: 'b.' }] }", .badName, "1:51"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: 'b.*.' }] }", .badPattern, "1:51", "empty segments"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: '**b' }] }", .badPattern, "1:51", "segment of its own"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: '**.**' }] }", .badPattern, "1:51", "only once"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a', to: '[ab]*' }] }", .badPattern, "1:51", "only `*`"),
        Case("{ rules: [{ allow: 'connect', from: 'node:a*ü', to: 'b' }] }", .badPattern, "1:37"),
        Case("{ rules: [{ allow: 'act-as', from: 'node:a', to: 'web' }] }", .badPrincipal, "1:50", "service:web"),
        Case("{ rules: [{ allow: 'act-as', from: 'node:a', to: 'group:x' }] }", .badPrincipal, "1:50"),
        Case("{ rules: [{ allow: 'act-as', from: 'node:a', to: '*' }] }", .badPrincipal, "1:50", "namespaces"),
        // No wildcard gives administer.
        Case("{ rules: [{ allow: 'administer', from: 'uid:*', to: 'a' }] }", .administerWildcard, "1:40"),
        Case("{ rules: [{ allow: 'administer', from: ['uid:0', 'node:x-*'], to: 'a' }] }", .administerWildcard, "1:50"),
        Case(
            "{ rules: [{ allow: 'administer', from: 'uid:0', to: '*' }] }", .administerWildcard, "1:53", "@every-node"),
        Case("{ rules: [{ allow: ['link', 'administer'], from: 'uid:0', to: 'x-*' }] }", .administerWildcard, "1:63"),
        Case("{ permissions: { p: [{ allow: 'administer', to: '**' }] } }", .administerWildcard, "1:49"),
        Case("{ rules: [{ allow: 'link', from: 'node:a', to: '@every-node' }] }", .badPattern, "1:48"),
        // Mappings.
        Case("{ identities: [{ match: {} }] }", .badMapping, "1:25", "at least one"),
        Case("{ identities: [{ match: { cn: 'a', uid: 1 } }] }", .badMapping, "1:25", "no caller has both"),
        Case("{ identities: [{ match: { cn: 'a-*' }, node: 'x' }] }", .badMapping, "1:46", "without wildcards"),
        Case("{ identities: [{ match: { uid: 1 }, node: 'x' }] }", .badMapping, "1:43", "for local users"),
        Case("{ identities: [{ match: { cn: 'a' }, node: 'x y' }] }", .badName, "1:44"),
        Case("{ identities: [{ match: { cn: 'a' }, services: ['x/y'] }] }", .badName, "1:49"),
        Case("{ identities: [{ match: { cn: 'a' }, services: 'mesh.agent' }] }", .reservedName, "1:48"),
        Case("{ identities: [{ match: { cn: 'a' }, groups: 'x y' }] }", .badName, "1:46"),
        Case("{ identities: [{ match: { cn: '' } }] }", .badPattern, "1:31"),
        Case("{ identities: [{ match: { cn: 1 } }] }", .wrongType, "1:31"),
        Case("{ identities: [{ match: { uid: '1' } }] }", .wrongType, "1:32"),
        Case("{ identities: [{ match: { uid: 4294967296 } }] }", .wrongType, "1:32"),
        Case("{ identities: [{ match: { spiffe: 'http://a/b' } }] }", .badPattern, "1:35", "spiffe://"),
        Case("{ identities: [{ match: { spiffe: 'spiffe://*/node/a' } }] }", .badPattern, "1:35", "spelled out"),
        Case("{ identities: [{ match: { spiffe: 'spiffe://A.example/x' } }] }", .badPattern, "1:35", "lower case"),
        Case("{ identities: [{ match: { spiffe: 'spiffe:///x' } }] }", .badPattern, "1:35"),
        // Tokens and keys.
        Case(
            "{ identities: [{ match: { issuer: 'https://i', cn: 'a' } }] }", .badMapping, "1:25",
            "spiffe, cn and node are of certificates, issuer and subject of tokens: no caller has both"),
        Case(
            "{ identities: [{ match: { issuer: 'https://i', key: 'a' } }] }", .badMapping, "1:25",
            "issuer and subject are of tokens, key of API keys: no caller has both"),
        Case("{ identities: [{ match: { subject: 'a' } }] }", .badMapping, "1:25", "without the `issuer`"),
        Case("{ identities: [{ match: { isuer: 'a' } }] }", .unknownKey, "1:27", "did you mean \"issuer\"?"),
        Case("{ identities: [{ match: { issuer: 'https://*.x' } }] }", .badPattern, "1:35", "spelled out"),
        Case("{ identities: [{ match: { issuer: '' } }] }", .badPattern, "1:35", "`iss`"),
        Case("{ identities: [{ match: { issuer: 1 } }] }", .wrongType, "1:35", "a string"),
        Case("{ identities: [{ match: { issuer: 'i', subject: 'a**' } }] }", .badPattern, "1:49", "segment of its own"),
        Case("{ identities: [{ match: { key: '' } }] }", .badPattern, "1:32"),
        Case("{ identities: [{ match: { attributes: { a: 'b' } } }] }", .badMapping, "1:25", "with `issuer` or `key`"),
        Case(
            "{ identities: [{ match: { uid: 1, attributes: { a: 'b' } } }] }", .badMapping, "1:25",
            "told by tokens and API keys; this match is for local users"),
        Case("{ identities: [{ match: { key: '*', attributes: {} } }] }", .emptyList, "1:49", "no attribute is named"),
        Case("{ identities: [{ match: { key: '*', attributes: { a: [] } } }] }", .emptyList, "1:54"),
        Case("{ identities: [{ match: { key: '*', attributes: ['a'] } }] }", .wrongType, "1:49", "an object"),
        Case("{ identities: [{ match: { key: '*', attributes: { a: 1 } } }] }", .wrongType, "1:54"),
        Case(
            "{ identities: [{ match: { key: '*', attributes: { 'a b': 'c' } } }] }", .badName, "1:51", "visible ASCII"),
        Case("{ identities: [{ match: { key: '*' }, groupFrom: 'a' }] }", .unknownKey, "1:39", "\"groupsFrom\"?"),
        Case("{ identities: [{ match: { key: '*' }, groupsFrom: '' }] }", .badName, "1:51"),
        Case(
            "{ identities: [{ match: { cn: 'a' }, permissionsFrom: 'p' }] }", .badMapping, "1:55",
            "`permissionsFrom` is for tokens and API keys; this match is for certificates"),
        Case("{ identities: [{ match: { key: '*' }, node: 'x' }] }", .badMapping, "1:45", "for API keys"),
        Case("{ rules: [{ allow: 'connect', from: 'jwt:https://i/a%2fb', to: 'b' }] }", .badPrincipal, "1:37"),
        Case("{ trustDomains: 'Mesh.example' }", .badName, "1:17"),
        Case("{ permissions: { 'mesh-node': [] } }", .reservedName, "1:18", "built in"),
        Case("{ permissions: { 'a b': [] } }", .badName, "1:18"),
    ]

    @Test func refusesMoreCombinationsThanTheIndexTakes() {
        let names = (0..<1500).map { "'node:n\($0)'" }.joined(separator: ",")
        let text = "{ rules: [\n{ allow: 'link', from: [\(names)], to: [\(names)] }] }"
        let error = #expect(throws: PolicyError.self) { try PolicyDocument.parse(text, file: "p.json") }
        #expect(error?.code == .tooLarge)
        #expect(error?.line == 2)
    }

    @Test func emptyPolicyDeniesEverything() throws {
        for policy in [PolicyDocument.empty, try PolicyDocument.parse("{}", file: "p")] {
            let node = policy.principal(for: .node(commonName: "a", spiffe: "spiffe://m/node/a"))
            #expect(node.isIdentified)
            for verb in Verb.allCases {
                #expect(!policy.authorize(node, verb, "service:x").allowed)
                #expect(!policy.authorize(node, verb, "x").allowed)
            }
        }
    }
}
