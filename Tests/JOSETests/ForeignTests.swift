import Foundation
import JOSE
import JSON
import Testing

/// Tokens and proofs that other libraries made (`fixtures/make.py`).
@Suite struct ForeignTests {
    private let fixture: JSONValue
    private let now = Attempt.now

    init() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("fixtures/foreign.json")
        fixture = try JSONReader.parse(Array(Data(contentsOf: file)))
    }

    private func authenticator(_ keys: TrustedIssuer.Keys) throws -> Authenticator {
        try Authenticator(
            .init(
                issuers: [
                    TrustedIssuer(
                        name: Attempt.issuer, audiences: [Attempt.audience], keys: keys, claims: ["groups": "groups"])
                ], dpop: DPoPSettings(nonces: nil, startedAt: now - 1000)))
    }

    private func keySet() throws -> KeySet { try KeySet(reading: fixture["keys"]?.serialized() ?? []) }

    @Test func tokensOfOtherLibrariesAreAccepted() throws {
        let byKey = try authenticator(.set(keySet()))
        let bySecret = try authenticator(.secret(SharedSecret(Keys.secret)))
        var seen: Set<String> = []
        for entry in fixture["tokens"]?.array ?? [] {
            let name = "\(entry["library"]?.string ?? "") \(entry["algorithm"]?.string ?? "")"
            let authenticator = name.contains("HS") ? bySecret : byKey
            let token = entry["token"]?.string ?? ""
            let credentials = ClientCredentials(authorization: ["Bearer \(token)"], method: "GET", url: Attempt.url)
            let result = authenticator.authenticate(credentials, at: now) { _ in .firstUse }
            guard case .success(let client) = result else {
                Issue.record("\(name): \(result)")
                continue
            }
            #expect(client.principal == "jwt:https://issuer.example/alice" && client.scopes == ["read", "write"])
            #expect(client.attributes == ["groups": ["staff", "ops"]] && client.tokenID == "foreign")
            seen.insert(name)
        }
        #expect(seen.count == 27)
    }

    @Test func proofsOfOtherLibrariesAreAcceptedOnce() throws {
        let authenticator = try authenticator(.set(keySet()))
        var replays = ReplayCache()
        let entries = fixture["proofs"]?.array ?? []
        #expect(entries.count == 4)
        for entry in entries {
            let credentials = ClientCredentials(
                authorization: ["DPoP \(entry["token"]?.string ?? "")"], dpop: [entry["proof"]?.string ?? ""],
                method: "GET", url: "https://EDGE.example:443/api/%6Frders?page=2")
            let first = authenticator.authenticate(credentials, at: now) { replays.remember($0, at: now) }
            guard case .success(let client) = first else {
                Issue.record("\(entry["algorithm"]?.string ?? ""): \(first)")
                continue
            }
            #expect(client.binding == .dpop(thumbprint: entry["thumbprint"]?.string ?? ""))
            let second = authenticator.authenticate(credentials, at: now) { replays.remember($0, at: now) }
            guard case .failure(let failure) = second else {
                Issue.record("used twice")
                continue
            }
            #expect(failure.reason == .proofReplayed)
        }
    }
}
