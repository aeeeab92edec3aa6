import Bytes
import JSON
import PKI

extension TrustedIssuer {
    /// Verifies a token's signature with a key of this issuer that is for its algorithm.
    func verify(_ token: CompactToken) throws(Refusal) {
        let algorithm = token.header.algorithm
        guard algorithms.contains(algorithm) else {
            throw Refusal(.algorithmNotAllowed, "\(algorithm.rawValue) is not for this issuer")
        }
        switch keys {
        case .pending: throw Refusal(.keysUnavailable, "the issuer's keys have not been fetched yet")
        case .secret(let secret):
            guard let digest = algorithm.mac else {
                throw Refusal(.algorithmNotAllowed, "\(algorithm.rawValue) with a shared secret")
            }
            let code = MessageAuthentication.hmac(digest, key: secret.secret, over: token.signingInput)
            guard ConstantTime.equal(code, token.signature) else {
                throw Refusal(.badSignature, "the HMAC is another")
            }
        case .set(let set):
            guard let scheme = algorithm.scheme else {
                throw Refusal(.algorithmNotAllowed, "\(algorithm.rawValue) with public keys")
            }
            let key = try set.key(token.header.keyID, for: algorithm).key
            guard key.verify(token.signature, over: token.signingInput, scheme: scheme) else {
                throw Refusal(.badSignature, "the signature is not that of the key")
            }
        }
    }

    /// What is said of a token that is not valid yet: one that was to be valid at once meets a wrong clock, another is early.
    private func doubt(_ claims: Claims, _ notBefore: Int64) -> String {
        if let issuedAt = claims.issuedAt, notBefore > issuedAt + leeway { return "; it was made for later" }
        return ": this host's clock is behind, or the issuer's ahead (leeway \(leeway) s)"
    }

    /// Checks what a verified token claims.
    func check(_ claims: Claims, at now: Int64) throws(Refusal) {
        if let issuedAt = claims.issuedAt {
            guard issuedAt <= now + leeway else {
                throw Refusal(
                    .issuedInFuture,
                    "iat is \(issuedAt - now) s to come: this host's clock is behind, or the issuer's ahead (leeway \(leeway) s)"
                )
            }
            guard claims.expiry > issuedAt else { throw Refusal(.badLifetime, "exp is not after iat") }
        }
        if let notBefore = claims.notBefore {
            guard claims.expiry > notBefore else { throw Refusal(.badLifetime, "exp is not after nbf") }
            guard notBefore <= now + leeway else {
                throw Refusal(.notYetValid, "nbf is \(notBefore - now) s to come\(doubt(claims, notBefore))")
            }
        }
        guard now < claims.expiry + leeway else { throw Refusal(.expired, "exp was \(now - claims.expiry) s ago") }
        if let maximumLifetime, claims.expiry - (claims.issuedAt ?? now) > maximumLifetime {
            throw Refusal(.lifetimeTooLong, "valid for longer than \(maximumLifetime) s")
        }
        guard claims.audiences.contains(where: { own in audiences.contains { $0.hasSameBytes(as: own) } }) else {
            throw Refusal(.wrongAudience, "none of the token's audiences is configured")
        }
    }

    /// The attributes that the claims give.
    func attributes(of claims: JSONObject) throws(Refusal) -> [String: [String]] {
        var attributes: [String: [String]] = [:]
        for mapping in mappings {
            let values = try mapping.values(in: claims)
            if !values.isEmpty { attributes[mapping.attribute, default: []] += values }
        }
        return attributes
    }
}
