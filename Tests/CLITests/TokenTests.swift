import Foundation
import JOSE
import JSON
import Testing

/// `mesh token` and `mesh apikey`: files only.
@Suite struct TokenTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    private func issuer() throws {
        #expect(try mesh(["token", "init", "--issuer", "https://tokens.example"], in: workspace).status == 0)
    }

    private func issue(_ more: [String] = []) throws -> Finished {
        try mesh(["token", "issue", "--subject", "alice", "--audience", "edge"] + more, in: workspace)
    }

    @Test func issuedTokenIsAcceptedByTheRoom() throws {
        try issuer()
        #expect(try workspace.mode("token-issuer.json") == 0o600)
        let keys = try KeySet(reading: Array(mesh(["token", "jwks"], in: workspace).output))
        let result = try issue(["--claim", "groups=a", "--claim", "groups=b", "--scope", "read", "--ttl", "5m"])
        #expect(result.status == 0 && result.lines.count == 1 && result.errors == "")
        let authenticator = try Authenticator(
            .init(issuers: [
                TrustedIssuer(
                    name: "https://tokens.example", audiences: ["edge"], keys: .set(keys), claims: ["groups": "groups"])
            ]))
        let credentials = ClientCredentials(
            authorization: ["Bearer \(result.lines[0])"], method: "GET", url: "https://edge/")
        let now = Int64(Date().timeIntervalSince1970)
        let client = try authenticator.authenticate(credentials, at: now) { _ in .firstUse }.get()
        #expect(client.attributes == ["groups": ["a", "b"]] && client.scopes == ["read"])
        #expect((now + 200...now + 330).contains(client.expiry ?? 0))
    }

    @Test func inspectSaysWhatIsWrongAndNeverPrintsTheToken() throws {
        try issuer()
        let token = try issue().text
        try workspace.write(token, to: "token")
        try workspace.write(mesh(["token", "jwks"], in: workspace).output, to: "jwks.json")
        let good = try mesh(["token", "inspect", "token", "--jwks", "jwks.json", "--audience", "edge"], in: workspace)
        #expect(good.status == 0 && good.text.contains("Signature: good") && good.text.contains("alice"))
        #expect(!good.text.contains(token.prefix(40)))
        let other = try mesh(
            ["token", "inspect", "-", "--audience", "else", "--json"], input: Data(token.utf8), in: workspace)
        #expect(other.status == 1)
        let json = try JSONReader.parse(Array(other.output))
        #expect(json["findings"]?[0]?["reason"] == "wrong_audience" && json["signature"] == "not verified")
        try workspace.write("eyJhbGciOiJub25lIn0.e30.", to: "none")
        #expect(try mesh(["token", "inspect", "none"], in: workspace).text.contains("(unsecured_token)"))
        #expect(try mesh(["token", "inspect", "absent"], in: workspace).status == 4)
        // Names in a token are somebody else's: they do not reach the terminal as they are.
        try workspace.write("e30.eyJcdTAwMWJbMm0iOjF9.AAAA", to: "escape")
        #expect(try !mesh(["token", "inspect", "escape"], in: workspace).text.contains("\u{1B}"))
    }

    @Test func proofsAreMadeForBoundTokens() throws {
        try issuer()
        #expect(try mesh(["token", "dpop", "--new", "--key", "dpop.key"], in: workspace).status == 0)
        #expect(try workspace.mode("dpop.key") == 0o600)
        #expect(try mesh(["token", "dpop", "--new", "--key", "dpop.key"], in: workspace).status == 1)
        try workspace.write(issue(["--dpop-key", "dpop.key"]).text, to: "token")
        let proof = try mesh(
            ["token", "dpop", "--key", "dpop.key", "--url", "https://edge/x", "--token", "token", "--json"],
            in: workspace)
        let thumbprint = try JSONReader.parse(Array(proof.output))["thumbprint"]?.string ?? "none"
        #expect(try mesh(["token", "inspect", "token"], in: workspace).text.contains(thumbprint))
        #expect(try mesh(["token", "dpop", "--key", "dpop.key"], in: workspace).status == 2)
        #expect(try mesh(["token", "dpop", "--key", "dpop.key", "--url", "edge"], in: workspace).status == 2)
        let absent = try mesh(["token", "dpop", "--key", "no.key", "--url", "https://edge"], in: workspace)
        #expect(absent.status == 4 && absent.errors.contains("hint: make a key: mesh token dpop --new"))
    }

    @Test func revocationsAreAddedAndNamed() throws {
        try issuer()
        try workspace.write(issue().text, to: "token")
        #expect(try mesh(["token", "revoke", "--token", "token"], in: workspace).status == 0)
        let subject = ["token", "revoke", "--subject", "bob"]
        #expect(try mesh(subject, in: workspace).status == 2)
        #expect(try mesh(subject + ["--issuer", "https://tokens.example"], in: workspace).status == 0)
        #expect(try mesh(["token", "revoke", "--jti", "abc", "--for", "1h"], in: workspace).status == 0)
        #expect(try mesh(["token", "revoke"], in: workspace).status == 2)
        let list = try RevocationList(reading: Array(workspace.read("revocations.json").utf8))
        #expect(list.entries.count == 3 && list.revision == 3)
        #expect(list.revokesToken("abc", issuer: "any", at: 0))
        try workspace.write("{}", to: "revocations.json")
        let damaged = try mesh(["token", "revoke", "--jti", "abc"], in: workspace)
        #expect(damaged.status == 78 && damaged.errors.contains("(malformed_file)\nhint: "))
        #expect(try workspace.read("revocations.json") == "{}")
    }

    @Test func nothingIsLostWhenManyRevokeAtOnce() async throws {
        try await withThrowingTaskGroup(of: Int32.self) { group in
            for index in 0..<8 {
                group.addTask { try mesh(["token", "revoke", "--jti", "t\(index)"], in: workspace).status }
            }
            for try await status in group { #expect(status == 0) }
        }
        let list = try RevocationList(reading: Array(workspace.read("revocations.json").utf8))
        #expect(list.entries.count == 8)
    }

    @Test func apiKeysAreShownOnce() throws {
        let create = ["apikey", "create", "ci", "--ttl", "1h", "--attribute", "groups=a", "--attribute", "groups=b"]
        let made = try mesh(create, in: workspace)
        #expect(made.status == 0 && made.lines.count == 1 && made.text.hasPrefix("cmk_"))
        #expect(try workspace.mode("apikeys.json") == 0o600)
        let secret = made.lines[0].dropFirst(21)
        #expect(try !workspace.read("apikeys.json").contains(secret))
        let list = try mesh(["apikey", "list", "--json"], in: workspace)
        #expect(!list.text.contains(secret))
        let record = try JSONReader.parse(Array(list.output))[0]
        #expect(record?["name"] == "ci" && record?["attributes"]?["groups"] == ["a", "b"])
        let id = record?["id"]?.string ?? ""
        #expect(try mesh(["apikey", "revoke", id], in: workspace).status == 0)
        #expect(try mesh(["apikey", "list"], in: workspace).text.contains("revoked"))
        let unknown = try mesh(["apikey", "revoke", "0000000000000000", "--json"], in: workspace)
        #expect(unknown.status == 4)
        #expect(try JSONReader.parse(unknown.errors)["error"] == "unknown_key_id")
        #expect(try mesh(["apikey", "create", "x", "--attribute", "groups"], in: workspace).status == 2)
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o644], ofItemAtPath: workspace.path("apikeys.json"))
        #expect(try mesh(["apikey", "list"], in: workspace).errors.contains("chmod 600"))
    }

    @Test func issuerFilesAreCheckedAndKept() throws {
        let absent = try issue()
        #expect(absent.status == 4 && absent.errors.contains("hint: make an issuer: mesh token init"))
        try issuer()
        let before = try workspace.read("token-issuer.json")
        let again = try mesh(["token", "init", "--issuer", "other"], in: workspace)
        #expect(again.status == 1 && again.errors.contains("--key") && !again.errors.contains("--out"))
        #expect(try workspace.read("token-issuer.json") == before)
        #expect(try issue(["--ttl", "5000d"]).status == 2)
        #expect(try issue(["--claim", "exp=1"]).status == 2)
        #expect(try issue(["--scope", "a b"]).status == 2)
        #expect(try mesh(["token", "init", "--issuer", "a b", "--key", "n"], in: workspace).status == 2)
        try workspace.write("{\"version\": 7}", to: "token-issuer.json", mode: 0o600)
        let later = try issue()
        #expect(later.status == 78 && later.errors.contains("(unknown_version)"))
    }
}
