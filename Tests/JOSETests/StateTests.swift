import Bytes
import JOSE
import JSON
import PKI
import Testing

/// What is kept in files and between calls: replays, API keys, revocations, the local issuer.
@Suite struct StateTests {
    private let now = Attempt.now

    private func reason(_ body: () throws -> Void) -> JOSEReason? {
        do {
            try body()
            return nil
        } catch { return (error as? JOSEError)?.reason }
    }

    @Test func replaysAreRememberedAsLongAsTheProofCounts() throws {
        let keys = try Keys.shared.get()
        var attempt = try Attempt(.dpop, keys)
        attempt.configuration.dpop?.nonces = nil
        attempt.token.claims["exp"] = .integer(now + 2000)
        let authenticator = try attempt.authenticator()
        let token = try attempt.token.text()
        var replays = ReplayCache()
        func use(_ identifier: String, madeAt issuedAt: Int64, at now: Int64) throws -> String {
            var proof = attempt.proof
            proof.claims["jti"] = .string(identifier)
            proof.claims["iat"] = .integer(issuedAt)
            proof.claims["ath"] = .string(Base64URL.encode(sha256(Array(token.utf8))))
            let credentials = ClientCredentials(
                authorization: ["DPoP \(token)"], dpop: [try proof.text()], method: "GET", url: Attempt.url)
            switch authenticator.authenticate(credentials, at: now, remember: { replays.remember($0, at: now) }) {
            case .success: return "accepted"
            case .failure(let failure): return failure.reason.rawValue
            }
        }
        // Made by a clock that is ahead, used at once, and again at the last second at which it counts.
        #expect(try use("a", madeAt: now + 15, at: now) == "accepted")
        #expect(try use("a", madeAt: now + 15, at: now + 75) == "dpop_proof_replayed")
        #expect(try use("a", madeAt: now + 15, at: now + 76) == "dpop_proof_too_old")
        // The identifier may come again when the old proof is worth nothing any more.
        #expect(replays.count == 1)
        #expect(try use("a", madeAt: now + 100, at: now + 100) == "accepted")
        #expect(replays.count == 1)
        for index in 0..<5000 {
            let time = now + 200 + Int64(index / 10)
            #expect(try index % 500 != 0 || use("p\(index)", madeAt: time, at: time) == "accepted")
        }
        #expect(replays.count <= 3)
    }

    @Test func aNonceGetsOldAndIsReplaced() throws {
        let keys = try Keys.shared.get()
        let nonces = try DPoPNonces(
            secret: Attempt.nonceSecret, instance: .init(repeating: 1, count: 16), startedAt: now - 1000)
        for (age, isReplaced) in [(0, false), (150, false), (151, true), (300, true)] as [(Int64, Bool)] {
            var attempt = try Attempt(.dpop, keys)
            attempt.proof.claims["nonce"] = .string(nonces.make(at: now - age))
            let client = try attempt.result().get()
            #expect((client.dpopNonce != nil) == isReplaced, "\(age)")
        }
        // Edges that share the secret accept each other's only where that is configured.
        let other = try DPoPNonces(
            secret: Attempt.nonceSecret, instance: .init(repeating: 2, count: 16), startedAt: now - 500)
        let sharing = try DPoPNonces(
            secret: Attempt.nonceSecret, instance: .init(repeating: 1, count: 16), startedAt: now - 400,
            acceptsOthers: true)
        for (age, isGood) in [(300, true), (301, false)] as [(Int64, Bool)] {
            var attempt = try Attempt(.dpop, keys)
            attempt.configuration.dpop?.nonces = sharing
            attempt.proof.claims["nonce"] = .string(other.make(at: now - age))
            #expect(try (attempt.outcome() == "accepted") == isGood)
        }
        #expect(
            reason { _ = try DPoPNonces(secret: Passphrase(bytes: [1]), instance: [], startedAt: 0) } == .weakSecret)
    }

    @Test func apiKeysSurviveTheirFile() throws {
        var store = APIKeyStore(random: .init(repeating: 5, count: 32))
        let made = try store.add(
            name: "build", attributes: ["groups": ["ci", "bots"]], scopes: ["push"], expiresAt: now + 10, at: now,
            random: Array(10..<50))
        #expect(made.key.hasPrefix("cmk_0a0b0c0d0e0f1011_") && made.key.utf8.count == 64)
        try store.revoke(made.record.id, at: now + 1)
        let again = try APIKeyStore(reading: store.text)
        #expect(again.records == store.records && again.revision == 2 && again.text == store.text)
        let text = String(decoding: store.text, as: UTF8.self)
        #expect(!text.contains(made.key.dropFirst(21)), "the secret is not in the file")
        #expect(reason { try store.revoke("0000000000000000", at: now) } == .unknownKeyID)
        #expect(reason { _ = try store.add(name: "a\nb", at: now, random: Array(0..<40)) } == .badValue)
        #expect(reason { _ = try store.add(name: "twice", at: now, random: Array(10..<50)) } == .badValue)
        for (from, to, expected) in [
            ("\"version\": 1", "\"version\": 2", JOSEReason.unknownVersion),
            ("\"revision\"", "\"revisoin\"", .malformedFile), ("\"hashKey\": \"", "\"hashKey\": \"A", .malformedFile),
            ("0a0b0c0d0e0f1011", "0A0b0c0d0e0f1011", .badValue), ("\"ci\"", "7", .malformedFile),
            ("\"keys\": [", "\"keys\": [7,", .malformedFile),
        ] {
            let changed = text.replacingFirst(from, with: to)
            #expect(changed != text)
            #expect(reason { _ = try APIKeyStore(reading: Array(changed.utf8)) } == expected, "\(from)")
        }
    }

    @Test func revocationsSurviveTheirFileAndGoInTime() throws {
        var list = RevocationList()
        try list.add(
            Revocation(.token(id: "a", issuer: nil), revokedAt: now, expiresAt: now + 10, note: "lost"), at: now)
        try list.add(Revocation(.subject("s", issuer: "i", issuedBefore: now), revokedAt: now), at: now)
        try list.add(Revocation(.token(id: "b", issuer: "i"), revokedAt: now, expiresAt: now + 20), at: now)
        let again = try RevocationList(reading: list.text)
        #expect(again.entries == list.entries && again.revision == 3)
        #expect(again.revokesToken("a", issuer: "x", at: now) && !again.revokesToken("b", issuer: "x", at: now))
        #expect(again.revokesSubject("s", issuer: "i", issuedAt: now - 1, at: now))
        #expect(!again.revokesSubject("s", issuer: "i", issuedAt: now, at: now))
        #expect(!again.revokesToken("a", issuer: "x", at: now + 10))
        // What has ended goes with the next change; what is named again is there once.
        try list.add(Revocation(.token(id: "b", issuer: "i"), revokedAt: now + 15), at: now + 15)
        #expect(list.entries.count == 2 && list.revision == 4)
        #expect(reason { _ = try Revocation(.token(id: "", issuer: nil), revokedAt: now) } == .badValue)
        let text = String(decoding: list.text, as: UTF8.self)
        for (from, to) in [("\"subject\"", "\"sub\""), ("\"issuer\": \"i\"", "\"issuer\": 1"), ("[", "{")] {
            let changed = text.replacingFirst(from, with: to)
            #expect(reason { _ = try RevocationList(reading: Array(changed.utf8)) } == .malformedFile)
        }
    }

    @Test func theLocalIssuersTokensAreAccepted() throws {
        let issuer = try TokenIssuer(reading: TokenIssuer.make(name: "https://tokens.example").fileText())
        let proofKey = try DPoPKey(Keys.shared.get().proof)
        let authenticator = try Authenticator(
            .init(
                issuers: [
                    TrustedIssuer(
                        name: issuer.name, audiences: ["edge"], keys: .set(issuer.keySet), claims: ["team": "groups"],
                        dpop: .required)
                ], dpop: DPoPSettings(nonces: nil, startedAt: now - 100)))
        let token = try issuer.issue(
            TokenRequest(
                subject: "alice", audiences: ["edge"], lifetime: 60, scopes: ["read"], claims: ["team": ["a", "b"]],
                dpopThumbprint: proofKey.publicKey.thumbprint), at: now, random: Array(0..<16))
        let proof = try proofKey.proof(
            method: "GET", url: "https://edge.example/x?y", token: token, at: now, random: Array(0..<16))
        let credentials = ClientCredentials(
            authorization: ["DPoP \(token)"], dpop: [proof], method: "GET", url: "https://edge.example/x")
        let client = try authenticator.authenticate(credentials, at: now) { _ in .firstUse }.get()
        #expect(client.principal == "jwt:https://tokens.example/alice" && client.attributes == ["groups": ["a", "b"]])
        #expect(client.scopes == ["read"] && client.tokenID == "AAECAwQFBgcICQoLDA0ODw")
        func request(_ change: (inout TokenRequest) -> Void) -> JOSEReason? {
            var request = TokenRequest(subject: "a", audiences: ["edge"], lifetime: 60)
            change(&request)
            return reason { _ = try issuer.issue(request, at: now, random: Array(0..<16)) }
        }
        #expect(request { _ in } == nil)
        #expect(request { $0.subject = "" } == .badValue)
        #expect(request { $0.audiences = [] } == .missingAudience)
        #expect(request { $0.lifetime = 0 } == .outOfRange)
        #expect(request { $0.claims = ["exp": 1] } == .badValue)
        #expect(request { $0.scopes = ["a b"] } == .badValue)
        #expect(request { $0.claims = ["x": .string(String(repeating: "x", count: 16 << 10))] } == .badValue)
        #expect(reason { _ = try TokenIssuer.make(name: "") } == .badIssuerName)
        #expect(!issuer.publicKey.json.text().contains("\"d\""))
    }

    @Test func inspectionSaysWhatIsWrong() throws {
        let keys = try Keys.shared.get()
        var attempt = try Attempt(.bearer, keys)
        let set = try KeySet([JWK(keys.p256.publicKey, keyID: "ec")])
        let good = TokenInspection(try attempt.token.text(), at: now, audiences: [Attempt.audience], keys: set)
        #expect(!good.isFaulty && good.isSignatureGood == true && good.subject == "alice" && good.expiry == now + 600)
        attempt.token.header["jku"] = "https://elsewhere.example"
        attempt.token.signer = .bytes([1, 2, 3])
        attempt.token.claims["exp"] = .integer(now - 1)
        let bad = TokenInspection(try attempt.token.text(), at: now, audiences: ["other"], keys: set)
        #expect(bad.findings.map(\.reason) == [.expired, nil, .badSignature] && bad.isSignatureGood == false)
        #expect(TokenInspection("nonsense", at: now).findings.map(\.reason) == [.malformedToken])
        attempt.token.headerText = "{"
        let half = TokenInspection(try attempt.token.text(), at: now)
        #expect(half.header == nil && half.claims?["sub"] == "alice")
    }
}
