import Bytes
import JSON
import PKI

/// The check of a DPoP proof (RFC 9449, section 4.3) for one request with one token.
struct DPoPCheck {
    let settings: DPoPSettings
    /// The request's method.
    let method: String
    /// The request's URL.
    let url: String
    /// What `ath` must be.
    let tokenHash: String
    /// The thumbprint of the key that the token is bound to.
    let thumbprint: String

    /// Most bytes of a proof. One with RSA 4096 and long names has about 2 KiB.
    static let sizeLimit = 8 << 10
    /// Most bytes of a `jti`.
    static let tokenIDLimit = 256

    /// Checks a proof; what is to be remembered of it.
    func use(of text: String, at now: Int64) throws(Refusal) -> ProofUse {
        let proof = try parse(text)
        guard proof.header.type == "dpop+jwt" else { throw Refusal(.proofWrongType, "typ is not dpop+jwt") }
        let key = try key(of: proof.header)
        guard ConstantTime.equal(key.thumbprint, thumbprint) else {
            throw Refusal(.proofWrongKey, "the proof's key is not that of cnf.jkt")
        }
        guard let scheme = proof.header.algorithm.scheme,
            key.key.verify(proof.signature, over: proof.signingInput, scheme: scheme)
        else { throw Refusal(.proofBadSignature, "the signature is not that of the key in the proof") }
        try checkTarget(proof.claims)
        let identifier = try identifier(proof.claims)
        let isNonceAging = try checkNonce(proof.claims, at: now)
        try checkTime(proof.claims, at: now)
        try checkTokenHash(proof.claims)
        return ProofUse(
            thumbprint: thumbprint, identifier: identifier, until: now + settings.replayWindow,
            isNonceAging: isNonceAging)
    }

    /// Takes the proof apart. Refusals get the reasons of proofs; what exactly was wrong stays in the detail.
    private func parse(_ text: String) throws(Refusal) -> CompactToken {
        do throws(Refusal) {
            return try CompactToken(text, limit: Self.sizeLimit)
        } catch {
            let detail = "\(error.reason.rawValue): \(error.detail)"
            switch error.reason {
            case .tokenTooLarge: throw Refusal(.proofTooLarge, error.detail)
            case .unsecuredToken, .unsupportedAlgorithm, .missingAlgorithm: throw Refusal(.proofAlgorithm, detail)
            default: throw Refusal(.malformedProof, detail)
            }
        }
    }

    private func key(of header: JWSHeader) throws(Refusal) -> JWK {
        guard settings.algorithms.contains(header.algorithm) else {
            throw Refusal(.proofAlgorithm, "\(header.algorithm.rawValue) is not accepted")
        }
        guard let value = header.key else { throw Refusal(.proofMissingKey, "the header has no jwk") }
        guard let object = value.object else { throw Refusal(.proofBadKey, "jwk is \(value.typeName)") }
        let key: JWK
        do throws(JWKProblem) {
            key = try JWK(reading: object, isKept: false)
        } catch {
            let isSecret = error.reason == .privateKey || error.reason == .symmetricKey
            throw Refusal(isSecret ? .proofPrivateKey : .proofBadKey, "\(error.reason.rawValue): \(error.detail)")
        }
        guard key.objection(to: header.algorithm) == nil else {
            throw Refusal(.proofBadKey, "\(header.algorithm.rawValue) with a key of the kind \(key.key.kind)")
        }
        return key
    }

    private func checkTarget(_ claims: JSONObject) throws(Refusal) {
        guard try Self.text(claims, "htm") == method else { throw Refusal(.proofWrongMethod, "htm is not \(method)") }
        let target = TargetURL(try Self.text(claims, "htu"))
        guard let target, target == TargetURL(url) else {
            throw Refusal(.proofWrongURL, "htu is not the URL of the request at the configured public origin")
        }
    }

    private func identifier(_ claims: JSONObject) throws(Refusal) -> String {
        let identifier = try Self.text(claims, "jti")
        guard !identifier.isEmpty, identifier.utf8.count <= Self.tokenIDLimit else {
            throw Refusal(.proofBadID, "jti has \(identifier.utf8.count) bytes")
        }
        return identifier
    }

    /// Whether the nonce is good but getting old.
    private func checkNonce(_ claims: JSONObject, at now: Int64) throws(Refusal) -> Bool {
        guard let nonces = settings.nonces else { return false }
        guard let value = claims["nonce"] else { throw Refusal(.nonceRequired, "no nonce") }
        guard let nonce = value.string else { throw Refusal(.nonceInvalid, "nonce is \(value.typeName)") }
        switch nonces.check(nonce, at: now) {
        case .good: return false
        case .aging: return true
        case .stale(let why): throw Refusal(.nonceStale, why)
        case .invalid: throw Refusal(.nonceInvalid, "the nonce was never given")
        }
    }

    private func checkTime(_ claims: JSONObject, at now: Int64) throws(Refusal) {
        let issuedAt: Int64?
        do throws(Refusal) {
            issuedAt = try Claims.time(claims, "iat", rounded: .down)
        } catch {
            throw Refusal(.proofMissingClaim, error.detail)
        }
        guard let issuedAt else { throw Refusal(.proofMissingClaim, "no iat") }
        guard issuedAt <= now + settings.leeway else {
            throw Refusal(
                .proofInFuture,
                "iat is \(issuedAt - now) s to come: the client's clock is ahead, or this host's behind")
        }
        guard issuedAt >= now - settings.maximumAge else {
            throw Refusal(.proofTooOld, "iat was \(now - issuedAt) s ago")
        }
        // A client whose clock is ahead could have made it before the start.
        guard settings.nonces != nil || issuedAt > settings.startedAt + settings.leeway else {
            throw Refusal(.proofBeforeStart, "iat is not after the start of this process")
        }
    }

    private func checkTokenHash(_ claims: JSONObject) throws(Refusal) {
        guard let value = claims["ath"] else { throw Refusal(.proofMissingTokenHash, "no ath") }
        guard let hash = value.string, ConstantTime.equal(hash, tokenHash) else {
            throw Refusal(.proofWrongTokenHash, "ath is not the hash of the token")
        }
    }

    private static func text(_ claims: JSONObject, _ name: String) throws(Refusal) -> String {
        guard let value = claims[name] else { throw Refusal(.proofMissingClaim, "no \(name)") }
        guard let text = value.string else { throw Refusal(.proofMissingClaim, "\(name) is \(value.typeName)") }
        return text
    }
}
