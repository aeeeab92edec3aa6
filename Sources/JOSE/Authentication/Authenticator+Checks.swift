import Bytes
import JSON

extension Authenticator {
    /// The schemes that tokens are presented with.
    enum Scheme {
        case bearer
        case dpop
    }

    /// Checks a token with everything that belongs to it.
    func checkToken(
        _ text: String, scheme: Scheme?, _ credentials: ClientCredentials, at now: Int64,
        _ remember: (ProofUse) -> ReplayCache.Outcome
    ) throws(Refusal) -> Authenticated {
        let token = try CompactToken(text)
        // A DPoP proof or any other kind of JWT is no access token (RFC 8725, section 3.11; RFC 9068, section 4).
        guard ["jwt", "at+jwt", nil].contains(token.header.type) else {
            throw Refusal(.wrongType, "typ is neither JWT nor at+jwt")
        }
        let issuer = try issuer(of: token)
        do throws(Refusal) {
            try issuer.verify(token)
            let claims = try Claims(token.claims)
            try issuer.check(claims, at: now)
            try checkRevocation(
                issuer: issuer.name, subject: claims.subject, tokenID: claims.tokenID, issuedAt: claims.issuedAt,
                at: now)
            let attributes = try issuer.attributes(of: claims.all)
            try checkCertificate(claims.confirmation, credentials)
            let nonce = try checkProof(
                issuer, claims.confirmation, scheme, token: text, credentials, at: now, remember)
            return Authenticated(
                proof: .token(issuer: issuer.name, subject: claims.subject), attributes: attributes,
                scopes: claims.scopes, expiry: claims.expiry + issuer.leeway, issuedAt: claims.issuedAt,
                tokenID: claims.tokenID, binding: claims.confirmation.binding, dpopNonce: nonce)
        } catch {
            var refusal = error
            refusal.issuer = issuer.name
            throw refusal
        }
    }

    private func issuer(of token: CompactToken) throws(Refusal) -> TrustedIssuer {
        guard let value = token.claims["iss"] else { throw Refusal(.missingIssuer, "no iss") }
        guard let name = value.string else { throw Refusal(.missingIssuer, "iss is \(value.typeName)") }
        guard let issuer = issuers[name], issuer.name.hasSameBytes(as: name) else {
            throw Refusal(.unknownIssuer, "iss is not configured")
        }
        return issuer
    }

    /// Refuses what the list names.
    func checkRevocation(
        issuer: String, subject: String, tokenID: String?, issuedAt: Int64?, at now: Int64
    ) throws(Refusal) {
        let list = configuration.revocations
        if let tokenID, list.revokesToken(tokenID, issuer: issuer, at: now) {
            throw Refusal(.tokenRevoked, "its jti is in the revocation list")
        }
        if list.revokesSubject(subject, issuer: issuer, issuedAt: issuedAt, at: now) {
            throw Refusal(.subjectRevoked, "its subject is in the revocation list")
        }
    }

    private func checkCertificate(
        _ confirmation: Confirmation, _ credentials: ClientCredentials
    ) throws(Refusal) {
        guard let wanted = confirmation.certificate else { return }
        guard let presented = credentials.certificateThumbprint else {
            throw Refusal(.certificateRequired, "the token is bound to a certificate; the connection has none")
        }
        guard ConstantTime.equal(wanted, presented) else {
            throw Refusal(.certificateMismatch, "the token is bound to another certificate")
        }
    }

    /// Checks the DPoP side of a token; the nonce for the client where its own is getting old.
    private func checkProof(
        _ issuer: TrustedIssuer, _ confirmation: Confirmation, _ scheme: Scheme?, token: String,
        _ credentials: ClientCredentials, at now: Int64, _ remember: (ProofUse) -> ReplayCache.Outcome
    ) throws(Refusal) -> String? {
        guard let thumbprint = confirmation.dpop else {
            if scheme == .dpop { throw Refusal(.tokenNotBound, "the scheme is DPoP, the token has no cnf.jkt") }
            if issuer.dpop == .required { throw Refusal(.bindingRequired, "the token has no cnf.jkt") }
            return nil
        }
        guard issuer.dpop != .off, let settings = configuration.dpop else {
            throw Refusal(.dpopNotAccepted, "the token has cnf.jkt, and DPoP is off")
        }
        if scheme == .bearer { throw Refusal(.dpopSchemeRequired, "a bound token with the scheme Bearer") }
        guard credentials.dpop.count <= 1 else {
            throw Refusal(.multipleProofs, "\(credentials.dpop.count) DPoP fields")
        }
        guard let proof = credentials.dpop.first else { throw Refusal(.missingProof, "no DPoP field") }
        let check = DPoPCheck(
            settings: settings, method: credentials.method, url: credentials.url, tokenHash: Hash.thumbprint(token),
            thumbprint: thumbprint)
        let use = try check.use(of: proof, at: now)
        switch remember(use) {
        case .firstUse: break
        case .replayed: throw Refusal(.proofReplayed, "key and jti were used before")
        case .tooManyOfKey: throw Refusal(.tooManyProofs, "too many proofs of one key")
        case .full: throw Refusal(.replayCacheFull, "the replay cache is full")
        }
        return use.isNonceAging ? settings.nonces?.make(at: now) : nil
    }

    /// Checks an API key.
    func checkAPIKey(_ text: String, at now: Int64) throws(Refusal) -> Authenticated {
        guard let store = configuration.apiKeys else {
            throw Refusal(.apiKeysNotAccepted, "no API keys are configured")
        }
        let record = try store.record(for: text)
        try checkState(of: record, at: now)
        return Authenticated(
            proof: .apiKey(id: record.id), attributes: record.attributes, scopes: record.scopes,
            expiry: record.expiresAt, issuedAt: record.createdAt)
    }

    /// Refuses a key that was revoked or has ended.
    func checkState(of record: APIKeyRecord, at now: Int64) throws(Refusal) {
        if record.revokedAt != nil { throw Refusal(.apiKeyRevoked, "the key \(record.id) was revoked") }
        if let end = record.expiresAt, now >= end { throw Refusal(.apiKeyExpired, "the key \(record.id) has ended") }
    }
}
