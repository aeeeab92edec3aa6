import Bytes
import JOSE
import JSON
import PKI
import Testing

@Suite struct AuthenticatorTests {
    private let keys: Keys

    init() throws { keys = try Keys.shared.get() }

    private func client(_ base: Attempt.Base, _ change: (inout Attempt) throws -> Void = { _ in }) throws
        -> Authenticated
    {
        var attempt = try Attempt(base, keys)
        try change(&attempt)
        return try attempt.result().get()
    }

    private func failure(_ base: Attempt.Base, _ change: (inout Attempt) throws -> Void) throws
        -> AuthenticationFailure
    {
        var attempt = try Attempt(base, keys)
        try change(&attempt)
        guard case .failure(let failure) = try attempt.result() else {
            throw JOSEError(.badValue, "accepted", hint: "")
        }
        return failure
    }

    @Test func saysWhoItIs() throws {
        let client = try client(.bearer)
        #expect(client.proof == .token(issuer: Attempt.issuer, subject: "alice"))
        #expect(client.principal == "jwt:https://issuer.example/alice")
        #expect(
            client.attributes == ["groups": ["staff", "ops"], "scopes": ["read", "write"], "roles": ["admin"]])
        #expect(client.scopes == ["read", "write"] && client.holds(scopes: ["write"]))
        #expect(client.expiry == Attempt.now + 600 && client.tokenID == "token-1" && client.binding == .bearer)
        let key = try self.client(.apiKey)
        #expect(key.principal == "key:0001020304050607" && key.attributes == ["groups": ["robots"]])
        #expect(key.expiry == Attempt.now + 100 && key.tokenID == nil)
        #expect(try self.client(.bearer) { $0.leeway = 30 }.expiry == Attempt.now + 630)
    }

    /// A token whose time is to come was made for later, or meets a wrong clock; the log says which.
    @Test func tokensOfTheFuture() throws {
        func detail(_ change: (inout Attempt) -> Void) throws -> String { try failure(.bearer, change).detail }
        let meant = try detail {
            $0.token.claims["iat"] = .integer(Attempt.now - 10)
            $0.token.claims["nbf"] = .integer(Attempt.now + 300)
        }
        #expect(meant == "nbf is 300 s to come; it was made for later")
        let behind = try detail {
            $0.leeway = 30
            $0.token.claims["iat"] = .integer(Attempt.now + 20)
            $0.token.claims["nbf"] = .integer(Attempt.now + 40)
        }
        #expect(behind == "nbf is 40 s to come: this host's clock is behind, or the issuer's ahead (leeway 30 s)")
        let ahead = try detail { $0.token.claims["iat"] = .integer(Attempt.now + 100) }
        #expect(ahead == "iat is 100 s to come: this host's clock is behind, or the issuer's ahead (leeway 0 s)")
        let unknown = try detail {
            $0.token.claims["iat"] = nil
            $0.token.claims["nbf"] = .integer(Attempt.now + 40)
        }
        #expect(unknown.contains("this host's clock is behind"))
    }

    /// What is right although it looks unusual.
    @Test func acceptsWhatTheStandardsPermit() throws {
        _ = try client(.bearer) { $0.token.header["typ"] = .none }
        _ = try client(.bearer) { $0.token.header["typ"] = "application/AT+JWT" }
        _ = try client(.bearer) { $0.token.claims["exp"] = .number(Double(Attempt.now) + 1.25) }
        _ = try client(.bearer) { $0.token.claims["aud"] = ["other", "second"] }
        _ = try client(.bearer) { $0.token.header["jku"] = "https://elsewhere.example/jwks" }
        _ = try client(.bearer) {
            $0.present = { credentials, token, _ in credentials.authorization = ["bEaReR   \(token)"] }
        }
        _ = try client(.bearer) { $0.token.claims["nbf"] = .integer(Attempt.now) }
        _ = try client(.bearer) {
            $0.leeway = 30
            $0.token.claims["exp"] = .integer(Attempt.now - 9)
        }
        #expect(try client(.bearer) { $0.token.claims["scope"] = ["a", "b", "a"] }.scopes == ["a", "b"])
        #expect(try client(.bearer) { $0.token.claims["groups"] = true }.attributes["groups"] == ["true"])
        #expect(try client(.bearer) { $0.token.claims["groups"] = .none }.attributes["groups"] == nil)
        // One key of the set fits, so it need not be named.
        _ = try client(.bearer) { $0.token.header["kid"] = .none }
        // A key of no use in the set does no harm to the others.
        let weak = try keys.weakRSA.jwk(["kid": "weak"])
        _ = try client(.bearer) { $0.keys.append(weak) }
        _ = try client(.dpop) { $0.proof.claims["htu"] = "HTTPS://Edge.Example:443/api/%6frders?x=1#y" }
        _ = try client(.dpop) {
            $0.credentials.url = "wss://edge.example/api/orders"
            $0.proof.claims["htu"] = "wss://edge.example/api/orders"
        }
        _ = try client(.dpop) {
            $0.present = {
                $0.token = $1
                $0.dpop = [$2]
            }
        }
    }

    @Test func noSubjectLooksLikeOneOfAnotherIssuer() throws {
        let client = try client(.bearer) { $0.token.claims["sub"] = "tenant/böb 100%*" }
        #expect(client.principal == "jwt:https://issuer.example/tenant%2Fb%C3%B6b%20100%25%2A")
        #expect(SubjectName.decode("tenant%2Fb%C3%B6b%20100%25%2A") == "tenant/böb 100%*")
        for wrong in ["a/b", "%2f", "%61", "%", "%zz", "%C3"] { #expect(SubjectName.decode(wrong) == nil) }
    }

    @Test func challengesAreThoseOfTheStandards() throws {
        let none = try failure(.bearer) { $0.present = { _, _, _ in } }
        let algorithms = "ES256 ES384 ES512 Ed25519 EdDSA PS256 RS256"
        #expect(
            none.challenges == [
                "Bearer realm=\"conduit-mesh\"", "DPoP realm=\"conduit-mesh\", algs=\"\(algorithms)\"",
            ])
        #expect(none.status == 401 && !none.countsAsFailure && none.dpopNonce == nil)
        let expired = try failure(.bearer) { $0.now = Attempt.now + 600 }
        #expect(
            expired.challenges.first == "Bearer realm=\"conduit-mesh\", error=\"invalid_token\", "
                + "error_description=\"token_expired: The token has expired.\"")
        #expect(!expired.countsAsFailure && expired.issuer == Attempt.issuer)
        let forged = try failure(.bearer) { $0.token.signer = .bytes([1]) }
        #expect(forged.countsAsFailure && forged.status == 401)
        let nonce = try failure(.dpop) { $0.proof.claims["nonce"] = .none }
        #expect(nonce.challenges.first?.contains("error=\"use_dpop_nonce\"") == true)
        #expect(nonce.challenges.first?.hasPrefix("DPoP ") == true && nonce.dpopNonce != nil)
        #expect(!nonce.countsAsFailure)
        let proof = try failure(.dpop) { $0.proof.claims["htm"] = "PUT" }
        #expect(proof.challenges.first?.contains("error=\"invalid_dpop_proof\"") == true)
        let doubled = try failure(.bearer) {
            $0.present = { credentials, token, proof in credentials.authorization = [token, proof] }
        }
        #expect(doubled.status == 400)
        let unknown = try failure(.bearer) { $0.token.header["kid"] = "new" }
        #expect(unknown.wantsKeysOf == Attempt.issuer)
        let pending = try failure(.bearer) { $0.issuerKeys = .pending }
        #expect(pending.status == 503 && pending.challenges.isEmpty && pending.wantsKeysOf == Attempt.issuer)
        #expect(!pending.countsAsFailure)
        let attempt = try Attempt(.bearer, keys)
        let scope = try attempt.authenticator().insufficientScope(
            required: ["admin", "a\"b"], of: attempt.result().get())
        #expect(scope.status == 403 && scope.challenges.first?.hasSuffix("scope=\"admin\"") == true)
    }

    @Test func onlyDPoPIsOfferedWhereItIsRequired() throws {
        let failure = try failure(.bearer) {
            $0.dpop = .required
            $0.configuration.apiKeys = nil
        }
        #expect(failure.reason == .bindingRequired && failure.challenges.count == 1)
        #expect(failure.challenges[0].hasPrefix("DPoP ") && failure.challenges[0].contains("invalid_token"))
    }

    @Test func nothingOfTheTokenIsInTheAnswer() throws {
        for negative in NegativeTests.cases {
            var attempt = try Attempt(negative.base, keys)
            try negative.change(&attempt, keys)
            guard case .failure(let failure)? = try? attempt.result() else { continue }
            let answer = failure.challenges.joined() + failure.text
            #expect(answer.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") })
            for secret in ["alice", "eyJ", String(attempt.apiKey.dropFirst(21)), "attacker"] {
                #expect(!answer.contains(secret) && !failure.detail.contains(secret), "\(negative.name)")
            }
        }
    }

    @Test func unknownAndWrongKeysGetOneAnswer() throws {
        let wrong = try failure(.apiKey) { $0.presentKey { $0.prefix(40) + "AAAA" + $0.dropFirst(44) } }
        let unknown = try failure(.apiKey) { $0.presentKey { "cmk_ffffffffffffffff" + $0.dropFirst(20) } }
        #expect(wrong == unknown && wrong.reason == .invalidAPIKey)
    }

    @Test func aLiveConnectionIsLookedAtAgain() throws {
        let now = Attempt.now
        let attempt = try Attempt(.bearer, keys)
        let client = try attempt.result().get()
        let authenticator = try attempt.authenticator()
        #expect(authenticator.recheck(client, at: now + 599) == nil)
        #expect(authenticator.recheck(client, at: now + 600)?.reason == .expired)
        var list = RevocationList()
        try list.add(
            Revocation(.token(id: "token-1", issuer: Attempt.issuer), revokedAt: now, expiresAt: now + 50), at: now)
        let revoking = authenticator.replacing(revocations: list)
        #expect(revoking.recheck(client, at: now)?.reason == .tokenRevoked)
        #expect(revoking.recheck(client, at: now + 50) == nil)
        list = RevocationList()
        try list.add(Revocation(.subject("alice", issuer: "https://other", issuedBefore: nil), revokedAt: now), at: now)
        #expect(authenticator.replacing(revocations: list).recheck(client, at: now) == nil)
        try list.add(Revocation(.subject("alice", issuer: Attempt.issuer, issuedBefore: nil), revokedAt: now), at: now)
        #expect(authenticator.replacing(revocations: list).recheck(client, at: now)?.reason == .subjectRevoked)
        #expect(try Authenticator(.init()).recheck(client, at: now)?.reason == .unknownIssuer)
        let holder = try self.client(.apiKey)
        #expect(authenticator.recheck(holder, at: now + 99) == nil)
        #expect(authenticator.recheck(holder, at: now + 100)?.reason == .apiKeyExpired)
        #expect(authenticator.replacing(apiKeys: nil).recheck(holder, at: now)?.reason == .invalidAPIKey)
        var store = try #require(authenticator.configuration.apiKeys)
        try store.revoke("0001020304050607", at: now)
        #expect(authenticator.replacing(apiKeys: store).recheck(holder, at: now)?.reason == .apiKeyRevoked)
    }

    @Test func renewalNeedsTheSameClient() throws {
        let first = try client(.dpop)
        let second = try client(.dpop) { $0.token.claims["jti"] = "token-2" }
        #expect(first.isSameClient(as: second))
        #expect(try !first.isSameClient(as: client(.bearer)))
        #expect(try !first.isSameClient(as: client(.dpop) { $0.token.claims["sub"] = "bob" }))
    }

    @Test func newKeysReplaceTheOld() throws {
        let attempt = try Attempt(.bearer, keys)
        var other = attempt
        other.sign("new", "EdDSA", .key(keys.ed25519, .ed25519))
        let authenticator = try attempt.authenticator().replacing(
            keys: KeySet([JWK(keys.ed25519.publicKey, keyID: "new")]), of: Attempt.issuer)
        for (token, isGood) in [(try other.token.text(), true), (try attempt.token.text(), false)] {
            let credentials = ClientCredentials(authorization: ["Bearer \(token)"], method: "GET", url: Attempt.url)
            let result = authenticator.authenticate(credentials, at: Attempt.now) { _ in .firstUse }
            #expect((try? result.get()) != nil ? isGood : !isGood)
        }
    }

    @Test func configurationsThatCannotBe() throws {
        func reason(_ body: () throws -> Void) -> JOSEReason? {
            do {
                try body()
                return nil
            } catch { return (error as? JOSEError)?.reason }
        }
        func issuer(
            _ name: String = "https://i.example", audiences: [String] = ["a"], keys: TrustedIssuer.Keys = .pending,
            algorithms: Set<JWSAlgorithm>? = nil, leeway: Int64 = 0, claims: [String: String] = [:],
            dpop: TrustedIssuer.DPoPMode = .off
        ) throws -> TrustedIssuer {
            try TrustedIssuer(
                name: name, audiences: audiences, keys: keys, algorithms: algorithms, leeway: leeway, claims: claims,
                dpop: dpop)
        }
        let secret = TrustedIssuer.Keys.secret(try SharedSecret(.init(repeating: 1, count: 32)))
        #expect(reason { _ = try issuer("") } == .badIssuerName)
        #expect(reason { _ = try issuer("a b") } == .badIssuerName)
        #expect(reason { _ = try issuer(String(repeating: "i", count: 256)) } == .badIssuerName)
        #expect(reason { _ = try issuer(audiences: []) } == .missingAudience)
        #expect(reason { _ = try issuer(algorithms: [.hs256]) } == .badAlgorithms)
        #expect(reason { _ = try issuer(algorithms: []) } == .badAlgorithms)
        #expect(reason { _ = try issuer(keys: secret, algorithms: [.hs256, .rs256]) } == .badAlgorithms)
        #expect(reason { _ = try issuer(keys: secret, algorithms: [.hs384]) } == .weakSecret)
        #expect(try issuer(keys: secret).algorithms == [.hs256])
        #expect(reason { _ = try SharedSecret(.init(repeating: 1, count: 31)) } == .weakSecret)
        #expect(reason { _ = try issuer(leeway: 301) } == .outOfRange)
        #expect(reason { _ = try issuer(claims: ["groups": "gro ups"]) } == .badValue)
        #expect(reason { _ = try Authenticator(.init(issuers: [issuer(), issuer()])) } == .duplicateIssuer)
        #expect(reason { _ = try Authenticator(.init(issuers: [issuer(dpop: .required)])) } == .missingDPoPSettings)
        #expect(reason { _ = try Authenticator(.init(realm: "a\"b")) } == .badRealm)
    }
}
