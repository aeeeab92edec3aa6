import Bytes
import JOSE
import JSON
import PKI

private let now = Attempt.now

/// Tokens that are bound to a key, their proofs, and API keys.
func bindingCases(_ table: inout NegativeTable) {
    table.add("cnf a string", .badConfirmation) { attempt, _ in attempt.token.claims["cnf"] = "jkt" }
    table.add("cnf empty", .badConfirmation) { attempt, _ in attempt.token.claims["cnf"] = [:] }
    table.add("cnf null", .badConfirmation) { attempt, _ in attempt.token.claims["cnf"] = .some(.null) }
    table.add("jkt too short", .badConfirmation) { attempt, _ in attempt.token.claims["cnf"] = ["jkt": "AAAA"] }
    table.add("jkt a number", .badConfirmation) { attempt, _ in attempt.token.claims["cnf"] = ["jkt": 1] }
    table.add("cnf with jwk", .unsupportedConfirmation) { attempt, keys in
        attempt.token.claims["cnf"] = ["jwk": .object(try keys.proof.jwk())]
    }
    table.add("cnf with kid", .unsupportedConfirmation) { attempt, _ in
        attempt.token.claims["cnf"] = ["kid": "ec"]
    }
    table.add("cnf with x5t", .unsupportedConfirmation) { attempt, _ in
        attempt.token.claims["cnf"] = ["x5t": "AAAA"]
    }
    table.add("bearer where DPoP is required", .bindingRequired) { attempt, _ in attempt.dpop = .required }
    table.add("bound where DPoP is off", .dpopNotAccepted, .dpop) { attempt, _ in attempt.dpop = .off }
    table.add("bound where DPoP has no settings", .dpopNotAccepted, .dpop) { attempt, _ in
        attempt.configuration.dpop = nil
    }
    table.add("scheme DPoP, token not bound", .tokenNotBound, .dpop) { attempt, _ in
        attempt.token.claims["cnf"] = .none
    }
    table.add("bound with the scheme Bearer", .dpopSchemeRequired, .dpop) { attempt, _ in
        attempt.present = { credentials, token, proof in
            credentials.authorization = ["Bearer " + token]
            credentials.dpop = [proof]
        }
    }
    table.add("no client certificate", .certificateRequired, .certificate) { attempt, _ in
        attempt.credentials.certificateThumbprint = nil
    }
    table.add("another client certificate", .certificateMismatch, .certificate) { attempt, _ in
        attempt.credentials.certificateThumbprint?[31] ^= 1
    }
    table.add("half of the thumbprint", .certificateMismatch, .certificate) { attempt, _ in
        attempt.credentials.certificateThumbprint?.removeLast(16)
    }
    table.add("bound to both, certificate absent", .certificateRequired, .dpop) { attempt, _ in
        var both = attempt.token.claims["cnf"]?.object ?? [:]
        both["x5t#S256"] = .string(Base64URL.encode(Attempt.certificate))
        attempt.token.claims["cnf"] = .object(both)
    }
    table.add("bound to both, proof absent", .missingProof, .dpop) { attempt, _ in
        var both = attempt.token.claims["cnf"]?.object ?? [:]
        both["x5t#S256"] = .string(Base64URL.encode(Attempt.certificate))
        attempt.token.claims["cnf"] = .object(both)
        attempt.credentials.certificateThumbprint = Attempt.certificate
        attempt.present = { credentials, token, _ in credentials.authorization = ["DPoP " + token] }
    }
    table.add("no proof", .missingProof, .dpop) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.authorization = ["DPoP " + token] }
    }
    table.add("bound token in a subprotocol without proof", .missingProof, .dpop) { attempt, _ in
        attempt.present = { credentials, token, _ in credentials.token = token }
    }
    table.add("two proofs", .multipleProofs, .dpop) { attempt, _ in
        attempt.present = { credentials, token, proof in
            credentials.authorization = ["DPoP " + token]
            credentials.dpop = [proof, proof]
        }
    }
    table.add("proof too large", .proofTooLarge, .dpop) { attempt, _ in
        attempt.proof.claims["more"] = .string(String(repeating: "x", count: 8 << 10))
    }
    table.add("proof not a JWT", .malformedProof, .dpop) { attempt, _ in attempt.proof.edit = { _ in "proof" } }
    table.add("proof with a member twice", .malformedProof, .dpop) { attempt, _ in
        let text = JSONValue.object(attempt.proof.claims).text()
        attempt.proof.claimsText = text.dropLast() + ",\"htm\":\"GET\"}"
    }
    table.add("proof with crit", .malformedProof, .dpop) { attempt, _ in attempt.proof.header["crit"] = ["x"] }
    table.add("proof without signature", .malformedProof, .dpop) { attempt, _ in
        attempt.proof.signer = .bytes([])
    }
    table.add("the token as its proof", .proofWrongType, .dpop) { attempt, _ in
        attempt.present = { credentials, token, _ in
            credentials.authorization = ["DPoP " + token]
            credentials.dpop = [token]
        }
    }
    table.add("proof typ JWT", .proofWrongType, .dpop) { attempt, _ in attempt.proof.header["typ"] = "JWT" }
    table.add("proof typ absent", .proofWrongType, .dpop) { attempt, _ in attempt.proof.header["typ"] = .none }
    table.add("proof alg none", .proofAlgorithm, .dpop) { attempt, _ in attempt.proof.header["alg"] = "none" }
    table.add("proof alg absent", .proofAlgorithm, .dpop) { attempt, _ in attempt.proof.header["alg"] = .none }
    table.add("proof alg HS256", .proofAlgorithm, .dpop) { attempt, _ in attempt.proof.header["alg"] = "HS256" }
    table.add("proof alg not configured", .proofAlgorithm, .dpop) { attempt, _ in
        attempt.configuration.dpop?.algorithms = [.edDSA]
    }
    table.add("proof without jwk", .proofMissingKey, .dpop) { attempt, _ in
        attempt.proof.header["jwk"] = .none
    }
    table.add("proof with a private jwk", .proofPrivateKey, .dpop) { attempt, keys in
        attempt.proof.header["jwk"] = .object(try keys.proof.jwk(["d": "AAAA"]))
    }
    table.add("proof with a symmetric jwk", .proofPrivateKey, .dpop) { attempt, _ in
        attempt.proof.header["jwk"] = ["kty": "oct", "k": "AAAA"]
    }
    table.add("proof jwk a string", .proofBadKey, .dpop) { attempt, _ in attempt.proof.header["jwk"] = "key" }
    table.add("proof jwk of another kind than alg", .proofBadKey, .dpop) { attempt, keys in
        attempt.proof.header["jwk"] = .object(try keys.p384.jwk())
    }
    table.add("proof jwk off its curve", .proofBadKey, .dpop) { attempt, keys in
        var jwk = try keys.proof.jwk()
        jwk["y"] = try keys.p256.jwk()["y"]
        attempt.proof.header["jwk"] = .object(jwk)
    }
    table.add("proof with RSA 1024", .proofBadKey, .dpop) { attempt, keys in
        attempt.proof.header["alg"] = "RS256"
        attempt.proof.header["jwk"] = .object(try keys.weakRSA.jwk())
        attempt.proof.signer = .key(keys.weakRSA, .rsaPKCS1(.sha256))
    }
    table.add("another client's proof", .proofWrongKey, .dpop) { attempt, keys in
        attempt.proof.header["jwk"] = .object(try keys.otherP256.jwk())
        attempt.proof.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("token bound to another key", .proofWrongKey, .dpop) { attempt, keys in
        attempt.token.claims["cnf"] = ["jkt": .string(try JWK(reading: keys.otherP256.jwk()).thumbprint)]
    }
    table.add("proof signed by another key", .proofBadSignature, .dpop) { attempt, keys in
        attempt.proof.signer = .key(keys.otherP256, .ecdsa(.sha256))
    }
    table.add("proof changed after signing", .proofBadSignature, .dpop) { attempt, _ in
        attempt.proof.edit = { proof in
            let parts = proof.split(separator: ".")
            let body = Base64URL.encode(Array(#"{"jti":"other"}"#.utf8))
            return "\(parts[0]).\(body).\(parts[2])"
        }
    }
    table.add("htm absent", .proofMissingClaim, .dpop) { attempt, _ in attempt.proof.claims["htm"] = .none }
    table.add("htm a number", .proofMissingClaim, .dpop) { attempt, _ in attempt.proof.claims["htm"] = 1 }
    table.add("htu absent", .proofMissingClaim, .dpop) { attempt, _ in attempt.proof.claims["htu"] = .none }
    table.add("proof iat absent", .proofMissingClaim, .dpop) { attempt, _ in
        attempt.proof.claims["iat"] = .none
    }
    table.add("proof iat a string", .proofMissingClaim, .dpop) { attempt, _ in
        attempt.proof.claims["iat"] = "now"
    }
    table.add("proof jti absent", .proofMissingClaim, .dpop) { attempt, _ in
        attempt.proof.claims["jti"] = .none
    }
    table.add("proof jti empty", .proofBadID, .dpop) { attempt, _ in attempt.proof.claims["jti"] = "" }
    table.add("proof jti huge", .proofBadID, .dpop) { attempt, _ in
        attempt.proof.claims["jti"] = .string(String(repeating: "j", count: 257))
    }
    table.add("htm POST", .proofWrongMethod, .dpop) { attempt, _ in attempt.proof.claims["htm"] = "POST" }
    table.add("htm in lower case", .proofWrongMethod, .dpop) { attempt, _ in attempt.proof.claims["htm"] = "get" }
    table.add("request with another method", .proofWrongMethod, .dpop) { attempt, _ in
        attempt.credentials.method = "DELETE"
    }
    table.add("htu of another path", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = .string(Attempt.url + "/1")
    }
    table.add("htu of another host", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://other.example/api/orders"
    }
    table.add("htu over http", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "http://edge.example/api/orders"
    }
    table.add("htu with another port", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://edge.example:8443/api/orders"
    }
    table.add("htu with user information", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://edge.example@attacker.example/api/orders"
    }
    table.add("htu with dot segments", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://edge.example/api/x/../orders"
    }
    table.add("htu in another case", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://edge.example/API/orders"
    }
    table.add("htu with an encoded slash", .proofWrongURL, .dpop) { attempt, _ in
        attempt.proof.claims["htu"] = "https://edge.example/api%2Forders"
    }
    table.add("htu a path", .proofWrongURL, .dpop) { attempt, _ in attempt.proof.claims["htu"] = "/api/orders" }
    table.add("htu empty", .proofWrongURL, .dpop) { attempt, _ in attempt.proof.claims["htu"] = "" }
    table.add("proof a second too old", .proofTooOld, .dpop) { attempt, _ in
        attempt.proof.claims["iat"] = .integer(now - 61)
    }
    table.add("proof of the future", .proofInFuture, .dpop) { attempt, _ in
        attempt.proof.claims["iat"] = .integer(now + 16)
    }
    table.add("proof of before the start, no nonces", .proofBeforeStart, .dpop) { attempt, _ in
        attempt.configuration.dpop?.nonces = nil
        attempt.configuration.dpop?.startedAt = now - 1
    }
    table.add("ath absent", .proofMissingTokenHash, .dpop) { attempt, _ in attempt.binds = false }
    table.add("ath of another token", .proofWrongTokenHash, .dpop) { attempt, _ in
        attempt.binds = false
        attempt.proof.claims["ath"] = .string(Base64URL.encode(sha256(Array("another".utf8))))
    }
    table.add("ath a number", .proofWrongTokenHash, .dpop) { attempt, _ in
        attempt.binds = false
        attempt.proof.claims["ath"] = 1
    }
    table.add("nonce absent", .nonceRequired, .dpop) { attempt, _ in attempt.proof.claims["nonce"] = .none }
    table.add("nonce a second too old", .nonceStale, .dpop) { attempt, _ in
        let nonce = attempt.configuration.dpop?.nonces?.make(at: now - 301) ?? ""
        attempt.proof.claims["nonce"] = .string(nonce)
    }
    table.add("proof used before a restart", .nonceStale, .dpop) { attempt, _ in
        // The same secret, another process: what the client's proof carries was given by the one before.
        attempt.configuration.dpop?.nonces = try DPoPNonces(
            secret: Attempt.nonceSecret, instance: .init(repeating: 2, count: 16), startedAt: now)
    }
    table.add("nonce of before the start, edges sharing", .nonceStale, .dpop) { attempt, _ in
        attempt.configuration.dpop?.nonces = try DPoPNonces(
            secret: Attempt.nonceSecret, instance: .init(repeating: 2, count: 16), startedAt: now - 4,
            acceptsOthers: true)
    }
    table.add("nonce under another secret", .nonceInvalid, .dpop) { attempt, _ in
        attempt.configuration.dpop?.nonces = try DPoPNonces(
            secret: Passphrase(bytes: [UInt8](repeating: 4, count: 32)), instance: .init(repeating: 1, count: 16),
            startedAt: now - 1000)
    }
    table.add("nonce invented", .nonceInvalid, .dpop) { attempt, _ in
        attempt.proof.claims["nonce"] = "eyJ7S_zG.eyJH0-Z.HX4w-7v"
    }
    table.add("nonce a number", .nonceInvalid, .dpop) { attempt, _ in attempt.proof.claims["nonce"] = 5 }
    table.add("nonce with its time changed", .nonceInvalid, .dpop) { attempt, _ in
        var bytes = Base64URL.decode(attempt.proof.claims["nonce"]?.string ?? "") ?? []
        bytes[7] ^= 1
        attempt.proof.claims["nonce"] = .string(Base64URL.encode(bytes))
    }
    table.add("proof replayed", .proofReplayed, .dpop) { attempt, _ in attempt.times = 2 }
    table.add("proof replayed without nonces", .proofReplayed, .dpop) { attempt, _ in
        attempt.configuration.dpop?.nonces = nil
        attempt.times = 2
    }
    table.add("too many proofs of one key", .tooManyProofs, .dpop) { attempt, keys in
        attempt.replays = ReplayCache(capacity: 10, capacityPerKey: 1)
        try attempt.useAnotherProof(of: attempt)
    }
    table.add("replay cache full", .replayCacheFull, .dpop) { attempt, _ in
        attempt.replays = ReplayCache(capacity: 1, capacityPerKey: 10)
        try attempt.useAnotherProof(of: attempt)
    }
    table.add("API keys not configured", .apiKeysNotAccepted, .apiKey) { attempt, _ in
        attempt.configuration.apiKeys = nil
    }
    table.add("API key cut by a character", .malformedAPIKey, .apiKey) { attempt, _ in
        attempt.presentKey { String($0.dropLast()) }
    }
    table.add("API key with its id in upper case", .malformedAPIKey, .apiKey) { attempt, _ in
        attempt.presentKey { $0.prefix(4) + $0.dropFirst(4).prefix(16).uppercased() + "A" + $0.dropFirst(21) }
    }
    table.add("API key with padding", .malformedAPIKey, .apiKey) { attempt, _ in
        attempt.presentKey { $0.dropLast() + "=" }
    }
    table.add("prefix alone", .malformedAPIKey, .apiKey) { attempt, _ in attempt.presentKey { _ in "cmk_" } }
    table.add("API key with the scheme DPoP", .malformedAuthorization, .apiKey) { attempt, _ in
        let key = attempt.apiKey
        attempt.present = { credentials, _, _ in credentials.authorization = ["DPoP " + key] }
    }
    table.add("API key with a wrong secret", .invalidAPIKey, .apiKey) { attempt, _ in
        attempt.presentKey { $0.prefix(40) + ($0.dropFirst(40).first == "A" ? "B" : "A") + $0.dropFirst(41) }
    }
    table.add("API key with an unknown id", .invalidAPIKey, .apiKey) { attempt, _ in
        attempt.presentKey { "cmk_ffffffffffffffff" + $0.dropFirst(20) }
    }
    table.add("API key of another store", .invalidAPIKey, .apiKey) { attempt, _ in
        attempt.configuration.apiKeys = APIKeyStore(random: .init(repeating: 8, count: 32))
    }
    table.add("API key expired", .apiKeyExpired, .apiKey) { attempt, _ in attempt.now = now + 100 }
    table.add("API key revoked", .apiKeyRevoked, .apiKey) { attempt, _ in
        let id = String(attempt.apiKey.dropFirst(4).prefix(16))
        try attempt.configuration.apiKeys?.revoke(id, at: now)
    }
}

extension Attempt {
    /// Presents the API key with a change.
    mutating func presentKey(_ change: (String) -> String) {
        let key = change(apiKey)
        present = { credentials, _, _ in credentials.apiKeys = [key] }
    }

    /// Remembers the use of another proof of the same client before.
    fileprivate mutating func useAnotherProof(of other: Attempt) throws {
        var other = other
        other.proof.claims["jti"] = "proof-0"
        let text = try other.token.text()
        other.proof.claims["ath"] = .string(Base64URL.encode(sha256(Array(text.utf8))))
        var credentials = other.credentials
        other.present(&credentials, text, try other.proof.text())
        var replays = replays
        _ = try other.authenticator().authenticate(credentials, at: now) { replays.remember($0, at: Attempt.now) }
        self.replays = replays
    }
}
