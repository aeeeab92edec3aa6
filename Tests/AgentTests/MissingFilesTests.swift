import Agent
import Foundation
import JSON
import Testing

@Suite struct MissingFilesTests {
    /// Paths at which a start finds nothing, or makes what it needs.
    static let made: Set<String> = [
        "node.stateDirectory", "listen.control", "directory.store", "ca.store", "audit.directory", "audit.key",
        "audit.syslog", "edge.authentication.revocations",
    ]
    /// Files in whose place another key of the same name is configured below.
    static let replaced: Set<String> = [
        "identity.pkcs12", "identity.join.tokenFile", "trust.servers", "trust.clients",
    ]

    static let text = """
        {
          node: { name: "n" },
          identity: { certificate: "n.crt", key: "n.key", passphraseFile: "n.pass" },
          trust: { ca: "ca.crt", operators: "operators.json", revocation: { files: "ca.crl" } },
          tls: { ct: { mode: "require", logs: "logs.json" } },
          policy: { file: "policy.json" },
          directory: { serve: true }, listen: { mesh: "127.0.0.1:7400" },
          audit: { webhook: { url: "https://127.0.0.1:1/", secretFile: "hook.secret", ca: "hook.crt" } },
          services: [{
            name: "web", target: "https://127.0.0.1:1",
            tls: {
              ca: "web.crt", certificate: "us.crt", key: "us.key", passphraseFile: "us.pass",
              revocation: { files: "web.crl" },
            },
          }],
          edge: {
            listeners: [{
              address: "127.0.0.1:2",
              certificates: [{ certificate: "edge.crt", key: "edge.key", passphraseFile: "edge.pass" }],
              clientCertificates: { mode: "required", ca: "clients.crt", revocation: { files: "clients.crl" } },
            }],
            authentication: {
              apiKeys: "api.json", localIssuer: { key: "issuer.key" }, callerSecretFile: "caller.secret",
              dpop: { nonceSecretFile: "nonce.secret" },
              issuers: [
                { issuer: "https://a.test", audiences: "a", jwks: { file: "a.json" } },
                { issuer: "https://b.test", audiences: "b", jwks: { url: "https://b.test/keys", ca: "b.crt" } },
                { issuer: "https://c.test", audiences: "c", secretFile: "c.secret" },
              ],
            },
            routes: [{ path: "/", service: "web" }],
          },
        }
        """

    /// A node that serves the CA, which gets its own certificate there.
    static let authority = """
        {
          node: { name: "n" }, policy: { inline: { version: 1, rules: [] } }, directory: { serve: true },
          ca: { certificate: "i.crt", key: "i.key", passphraseFile: "i.pass", listen: "127.0.0.1:7443" },
        }
        """

    private static func lines(_ text: String) throws -> [String] {
        let name = NSTemporaryDirectory() + "/no-such-\(UUID().uuidString)/mesh.json"
        return Agent.check(try ConfigurationFixture.load(text, name: name)).filter { !$0.hasPrefix("hint: ") }
    }

    /// Every key of the documentation whose value is a file's path has its line.
    @Test func everyKeyThatNamesAFileIsLookedAt() throws {
        let lines = try Self.lines(Self.text) + Self.lines(Self.authority)
        #expect(lines.allSatisfy { $0.hasSuffix(": No such file or directory (unreadable_file)") }, "\(lines)")
        let said = Set(
            lines.map { line in
                String(line.prefix { $0 != ":" }).replacing(/\[[0-9]+\]/, with: "[]")
            })
        let paths = ConfigurationTable.keys.filter { $0.placeholder == "PATH" || $0.type.hasPrefix("a path or ") }
        #expect(paths.count > 30, "\(paths.map(\.name))")
        for key in paths.map(\.name) where !Self.made.contains(key) && !Self.replaced.contains(key) {
            guard key != "edge.routes[].path", key != "edge.routes[].rewrite" else { continue }
            #expect(said.contains(key), "\(key): \(lines)")
        }
        #expect(Set(lines).count == lines.count && lines.count == said.count, "\(lines)")
    }

    /// What stands in the place of these.
    @Test func otherWaysToNameThem() throws {
        let rest = "policy: { inline: { version: 1, rules: [] } }, directory: { serve: true }"
        let trust = "trust: { servers: ['s.crt', 'b.crt'], clients: ['b.crt', 'c.crt'] }"
        #expect(
            try Self.lines("{ node: { name: 'n' }, identity: { pkcs12: 'n.p12' }, \(trust), \(rest) }")
                .map { String($0.prefix { $0 != ":" }) }
                == ["identity.pkcs12", "trust.servers", "trust.servers", "trust.clients"])
        // What is got by joining is not missing.
        let joined = try Self.lines("{ node: { name: 'n' }, identity: { join: { tokenFile: 't' } }, \(rest) }")
        #expect(joined.map { String($0.prefix { $0 != ":" }) } == ["identity.join.tokenFile"])
    }
}
