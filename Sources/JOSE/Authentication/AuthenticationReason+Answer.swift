/// How a reason is answered.
struct ReasonAnswer: Sendable {
    /// What a challenge says (RFC 6750, section 3.1; RFC 9449, sections 7.1 and 9).
    enum Challenge: Sendable {
        /// The schemes and nothing more.
        case plain
        /// `invalid_request`
        case request
        /// `invalid_token`, in the scheme that was used.
        case token
        /// `invalid_token`, in the scheme DPoP.
        case boundToken
        /// `invalid_dpop_proof`
        case proof
        /// `use_dpop_nonce`
        case nonce
        /// `insufficient_scope`
        case scope
    }

    let challenge: Challenge
    let status: Int
    let counts: Bool

    init(_ challenge: Challenge, _ status: Int = 401, counts: Bool) {
        self.challenge = challenge
        self.status = status
        self.counts = counts
    }
}

extension AuthenticationReason {
    /// How it is answered.
    var answer: ReasonAnswer {
        switch self {
        case .missingToken, .unsupportedScheme:
            ReasonAnswer(.plain, counts: false)
        case .multipleCredentials, .malformedAuthorization:
            ReasonAnswer(.request, 400, counts: true)
        case .tokenTooLarge, .malformedToken, .jsonSerialization, .encryptedToken, .nestedToken, .badBase64,
            .malformedHeader, .malformedClaims, .duplicateMember, .missingAlgorithm, .unsecuredToken,
            .unsupportedAlgorithm, .unsupportedCritical, .unencodedPayload, .wrongType, .missingSignature,
            .unknownIssuer, .missingIssuer, .algorithmNotAllowed, .missingKeyID, .badKeyID, .unknownKey,
            .wrongKeyType, .keyAlgorithmMismatch, .keyNotForSignatures, .weakKey, .invalidKey, .unsupportedKey,
            .badSignature, .missingExpiry, .badTime, .badLifetime, .lifetimeTooLong, .missingAudience, .badAudience,
            .wrongAudience, .missingSubject, .badSubject, .badTokenID, .badScope, .badClaim, .badConfirmation,
            .unsupportedConfirmation, .bindingRequired, .dpopNotAccepted, .certificateRequired, .certificateMismatch,
            .apiKeysNotAccepted, .malformedAPIKey, .invalidAPIKey, .apiKeyRevoked, .tokenRevoked, .subjectRevoked:
            ReasonAnswer(.token, counts: true)
        case .keysUnavailable, .replayCacheFull:
            ReasonAnswer(.plain, 503, counts: false)
        case .expired, .notYetValid, .issuedInFuture, .apiKeyExpired:
            ReasonAnswer(.token, counts: false)
        case .insufficientScope:
            ReasonAnswer(.scope, 403, counts: false)
        case .tokenNotBound, .dpopSchemeRequired, .proofWrongKey:
            ReasonAnswer(.boundToken, counts: true)
        case .missingProof, .multipleProofs, .proofTooLarge, .malformedProof, .proofWrongType, .proofAlgorithm,
            .proofMissingKey, .proofPrivateKey, .proofBadKey, .proofBadSignature, .proofMissingClaim,
            .proofWrongMethod, .proofWrongURL, .proofBadID, .proofMissingTokenHash, .proofWrongTokenHash,
            .proofReplayed:
            ReasonAnswer(.proof, counts: true)
        case .proofTooOld, .proofInFuture, .proofBeforeStart:
            ReasonAnswer(.proof, counts: false)
        // An invalid one, too: without a shared secret that is what a nonce of before a restart looks like, and all clients
        // behind one address come with such.
        case .nonceRequired, .nonceStale, .nonceInvalid:
            ReasonAnswer(.nonce, counts: false)
        case .tooManyProofs:
            ReasonAnswer(.plain, 429, counts: true)
        }
    }
}
