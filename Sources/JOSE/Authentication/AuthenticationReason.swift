/// Why an external client was not let in: a stable code for answers, logs, metrics and tests.
public enum AuthenticationReason: String, Sendable, CaseIterable, CustomStringConvertible {
    // What was presented.
    /// Nothing was presented.
    case missingToken = "missing_token"
    /// Credentials stand in more than one place, or twice.
    case multipleCredentials = "multiple_credentials"
    /// An `Authorization` scheme that is not used here.
    case unsupportedScheme = "unsupported_scheme"
    /// An `Authorization` field that is no scheme and token.
    case malformedAuthorization = "malformed_authorization"
    /// More bytes than a token may have.
    case tokenTooLarge = "token_too_large"

    // Form of a token.
    /// Not three parts with dots between them.
    case malformedToken = "malformed_token"
    /// A JWS in JSON serialisation; tokens are compact.
    case jsonSerialization = "json_serialization"
    /// A JWE.
    case encryptedToken = "encrypted_token"
    /// A token within a token (`cty: JWT`).
    case nestedToken = "nested_token"
    /// A part that is not canonical base64url without padding.
    case badBase64 = "bad_base64"
    /// A header that is no JSON object, or has a member of the wrong type.
    case malformedHeader = "malformed_header"
    /// Claims that are no JSON object.
    case malformedClaims = "malformed_claims"
    /// A member that stands twice in a JSON object.
    case duplicateMember = "duplicate_member"
    /// No `alg`.
    case missingAlgorithm = "missing_algorithm"
    /// `alg` is `none`, in whatever case.
    case unsecuredToken = "unsecured_token"
    /// An `alg` that is not known.
    case unsupportedAlgorithm = "unsupported_algorithm"
    /// A critical header that is not known, or a malformed `crit` (RFC 7515, section 4.1.11).
    case unsupportedCritical = "unsupported_critical"
    /// `b64` is in the header (RFC 7797).
    case unencodedPayload = "unencoded_payload"
    /// `typ` says that it is another kind of token.
    case wrongType = "wrong_type"
    /// The part with the signature is empty.
    case missingSignature = "missing_signature"

    // Keys.
    /// No `iss` that is configured.
    case unknownIssuer = "unknown_issuer"
    /// No `iss`, or one that is not a string.
    case missingIssuer = "missing_issuer"
    /// An `alg` that this issuer must not use.
    case algorithmNotAllowed = "algorithm_not_allowed"
    /// The issuer's keys could not be fetched yet.
    case keysUnavailable = "keys_unavailable"
    /// No `kid`, and more than one key fits.
    case missingKeyID = "missing_key_id"
    /// A `kid` that is empty, too long or not a string.
    case badKeyID = "bad_key_id"
    /// No key with this `kid`, even after a refresh.
    case unknownKey = "unknown_key"
    /// The key is of another kind than the algorithm needs (RFC 8725, section 3.1).
    case wrongKeyType = "wrong_key_type"
    /// The key is for another algorithm.
    case keyAlgorithmMismatch = "key_algorithm_mismatch"
    /// The key's `use` or `key_ops` does not permit verification.
    case keyNotForSignatures = "key_not_for_signatures"
    /// An RSA key below 2048 bits or with a bad exponent.
    case weakKey = "weak_key"
    /// A key that is none: a point off its curve, a wrong length, bad base64url.
    case invalidKey = "invalid_key"
    /// A key of a type, curve or size that is not used here.
    case unsupportedKey = "unsupported_key"
    /// The signature is not that of the key.
    case badSignature = "bad_signature"

    // Claims.
    /// No `exp`.
    case missingExpiry = "missing_expiry"
    /// A time that is no sane number.
    case badTime = "bad_time"
    /// `exp` is past.
    case expired = "token_expired"
    /// `nbf` is to come.
    case notYetValid = "token_not_yet_valid"
    /// `iat` is to come.
    case issuedInFuture = "issued_in_future"
    /// `exp` does not lie after `iat` and `nbf`.
    case badLifetime = "bad_lifetime"
    /// Valid for longer than the issuer's tokens may be.
    case lifetimeTooLong = "lifetime_too_long"
    /// No `aud`.
    case missingAudience = "missing_audience"
    /// `aud` is neither a string nor an array of strings.
    case badAudience = "bad_audience"
    /// The token is for somebody else.
    case wrongAudience = "wrong_audience"
    /// No `sub`.
    case missingSubject = "missing_subject"
    /// `sub` is not a string, empty, too long, or has control characters.
    case badSubject = "bad_subject"
    /// `jti` is not a string, empty or too long.
    case badTokenID = "bad_token_id"
    /// `scope` or `scp` is malformed.
    case badScope = "bad_scope"
    /// A claim that becomes an attribute has a type that cannot, or is too large.
    case badClaim = "bad_claim"
    /// A scope that the route requires is absent.
    case insufficientScope = "insufficient_scope"

    // Binding.
    /// `cnf` is malformed.
    case badConfirmation = "bad_confirmation"
    /// `cnf` holds a way of confirmation that is not known; it cannot be checked.
    case unsupportedConfirmation = "unsupported_confirmation"
    /// The issuer's tokens must be bound to a DPoP key and this one is not.
    case bindingRequired = "binding_required"
    /// A DPoP-bound token where DPoP is off.
    case dpopNotAccepted = "dpop_not_accepted"
    /// The scheme is DPoP and the token is bound to no key.
    case tokenNotBound = "token_not_bound"
    /// A bound token with the scheme Bearer (RFC 9449, section 7.2).
    case dpopSchemeRequired = "dpop_scheme_required"
    /// A certificate-bound token without a client certificate.
    case certificateRequired = "certificate_required"
    /// A certificate-bound token with another certificate.
    case certificateMismatch = "certificate_mismatch"

    // DPoP proofs.
    /// A bound token without its proof.
    case missingProof = "missing_dpop_proof"
    /// More than one `DPoP` field.
    case multipleProofs = "multiple_dpop_proofs"
    /// More bytes than a proof may have.
    case proofTooLarge = "dpop_proof_too_large"
    /// Not a signed JWT, or header or claims of the wrong form.
    case malformedProof = "malformed_dpop_proof"
    /// `typ` is not `dpop+jwt`.
    case proofWrongType = "dpop_wrong_type"
    /// `alg` is `none`, symmetric, unknown or not among those of the configuration.
    case proofAlgorithm = "dpop_bad_algorithm"
    /// No `jwk` in the header.
    case proofMissingKey = "dpop_missing_key"
    /// The `jwk` in the header is a private or symmetric key.
    case proofPrivateKey = "dpop_private_key"
    /// The `jwk` is invalid, too weak or does not fit `alg`.
    case proofBadKey = "dpop_bad_key"
    /// The proof's signature is wrong.
    case proofBadSignature = "dpop_bad_signature"
    /// The proof is made with another key than the token is bound to.
    case proofWrongKey = "dpop_wrong_key"
    /// `htm`, `htu`, `iat` or `jti` is absent or of the wrong type.
    case proofMissingClaim = "dpop_missing_claim"
    /// `htm` is another method.
    case proofWrongMethod = "dpop_wrong_method"
    /// `htu` is another URL.
    case proofWrongURL = "dpop_wrong_url"
    /// `iat` is too long ago.
    case proofTooOld = "dpop_proof_too_old"
    /// `iat` is to come.
    case proofInFuture = "dpop_proof_in_future"
    /// The proof was made before this process started, so nobody knows whether it was used.
    case proofBeforeStart = "dpop_proof_before_start"
    /// `jti` is empty or too long.
    case proofBadID = "dpop_bad_id"
    /// No `ath`.
    case proofMissingTokenHash = "dpop_missing_token_hash"
    /// `ath` is the hash of another token.
    case proofWrongTokenHash = "dpop_wrong_token_hash"
    /// No `nonce`.
    case nonceRequired = "dpop_nonce_required"
    /// A nonce of ours that is too old, or of before a restart, or of another edge.
    case nonceStale = "dpop_nonce_stale"
    /// A nonce that was never given.
    case nonceInvalid = "dpop_nonce_invalid"
    /// The proof was used before.
    case proofReplayed = "dpop_proof_replayed"
    /// More proofs of one key than may be used within their lifetime.
    case tooManyProofs = "too_many_dpop_proofs"
    /// No room to remember another proof.
    case replayCacheFull = "replay_cache_full"

    // API keys.
    /// An API key where none are configured.
    case apiKeysNotAccepted = "api_keys_not_accepted"
    /// Something that begins like an API key and is none.
    case malformedAPIKey = "malformed_api_key"
    /// An unknown id or a wrong secret; which of them nobody learns.
    case invalidAPIKey = "invalid_api_key"
    /// The right key, past its end.
    case apiKeyExpired = "api_key_expired"
    /// The right key, revoked.
    case apiKeyRevoked = "api_key_revoked"

    // Revocation.
    /// The token's `jti` is in the revocation list.
    case tokenRevoked = "token_revoked"
    /// The token's subject is in the revocation list.
    case subjectRevoked = "subject_revoked"

    /// The stable code.
    public var description: String { rawValue }
}
