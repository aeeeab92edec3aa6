import JOSE

/// Tokens whose signature was verified a moment ago: a client with a connection that it keeps sends the same one with every
/// request, and a signature costs far more than the rest of a request.
///
/// Kept are bearer tokens of `Authorization` alone: a token that is bound to a key or certificate is judged with its proof
/// every time, and so is everything that comes another way. What is found here is checked again for expiry and revocation by
/// the caller. One for each loop; it starts anew with every change of keys, revocations and settings.
struct VerifiedTokens {
    /// Tokens that are kept; at the limit all are forgotten, which costs no more than verifying them again.
    private static let limit = 1_024

    private var known: [String: Authenticated] = [:]

    /// The token's holder, where these credentials are nothing but a token that was verified.
    func find(_ credentials: ClientCredentials) -> Authenticated? {
        Self.key(of: credentials).flatMap { known[$0] }
    }

    /// Remembers what these credentials came to, where it may be kept.
    mutating func remember(_ credentials: ClientCredentials, _ authenticated: Authenticated) {
        guard case .token = authenticated.proof, case .bearer = authenticated.binding, authenticated.dpopNonce == nil,
            let key = Self.key(of: credentials)
        else { return }
        if known.count >= Self.limit { known.removeAll() }
        known[key] = authenticated
    }

    /// Something changed that verification depends on.
    mutating func forgetAll() { known.removeAll() }

    private static func key(of credentials: ClientCredentials) -> String? {
        guard credentials.authorization.count == 1, credentials.token == nil, credentials.apiKeys.isEmpty,
            credentials.dpop.isEmpty
        else { return nil }
        return credentials.authorization[0]
    }
}
