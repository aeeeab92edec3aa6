import Agent
import Testing

@Suite struct ConfigurationChangesTests {
    static func changes(_ old: String, _ new: String) throws -> [String] {
        let (old, new) = (try ConfigurationFixture.configuration(old), try ConfigurationFixture.configuration(new))
        return old.changes(to: new).map(\.description)
    }

    @Test func nothingChanged() throws {
        let text = "services: [{ name: 'a', target: '127.0.0.1:1' }], log: { level: 'error' }"
        #expect(try Self.changes(text, text) == [])
        #expect(try Self.changes("", "links: { pingInterval: '10000ms' }") == [])
    }

    @Test func valuesSayWhatTheyNeed() throws {
        #expect(
            try Self.changes("log: { level: 'error' }, workers: 2", "workers: 3, links: { pingInterval: '5s' }") == [
                "workers: 2 → 3 (needs a restart)", "links.pingInterval: 10s → 5s", "log.level: error → info",
            ])
    }

    @Test func elementsAreToldApartByName() throws {
        let old =
            "services: [{ name: 'a', target: '127.0.0.1:1' }, { name: 'b', target: '127.0.0.1:2' }, { name: 'c', target: '127.0.0.1:3' }]"
        let new =
            "services: [{ name: 'c', target: '127.0.0.1:3', weight: 5, check: { kind: 'none' } }, { name: 'd', target: '127.0.0.1:4' }, { name: 'a', target: '127.0.0.1:1' }]"
        #expect(
            try Self.changes(old, new) == [
                "services[b]: removed", "services[c].weight: 100 → 5", "services[c].check.kind: tcp → none",
                "services[d]: added",
            ])
    }

    @Test func upstreamsByListenerAndPeersByNode() throws {
        let old = "upstreams: [{ listen: '127.0.0.1:1', service: 'a' }], peers: [{ node: 'p', address: 'p:1' }]"
        let new = "upstreams: [{ listen: '127.0.0.1:1', service: 'b' }], peers: [{ node: 'p', address: 'p:2' }]"
        #expect(try Self.changes(old, new) == ["peers[p].address: p:1 → p:2", "upstreams[127.0.0.1:1].service: a → b"])
    }

    /// An inline policy that only moved is the same policy.
    @Test func aMovedPolicyIsUnchanged() throws {
        func policy(_ text: String) throws -> Configuration {
            let text = ConfigurationFixture.text(text).replacing("policy: { file: \"p.json\" },", with: "")
            return try ConfigurationFixture.load(text).configuration
        }
        let one = try policy("policy: { inline: { version: 1 } }")
        let moved = try policy("\n\n policy: { inline: { 'version':   1 } }")
        let other = try policy("policy: { inline: { version: 2 } }")
        #expect(one.changes(to: moved) == [])
        #expect(one.changes(to: other).map(\.key) == ["policy.inline"])
    }
}
