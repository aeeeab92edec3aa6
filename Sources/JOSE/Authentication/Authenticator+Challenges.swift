extension Authenticator {
    /// The failure with its challenges (RFC 6750, section 3; RFC 9449, section 7.1).
    ///
    /// - Parameter usesDPoP: Whether the client came with the scheme DPoP or a proof: its scheme's challenge has the error.
    func failure(
        _ refusal: Refusal, usesDPoP: Bool, at now: Int64, scopes: [String] = []
    ) -> AuthenticationFailure {
        let reason = refusal.reason
        let answer = reason.answer
        let offersDPoP = configuration.dpop != nil && configuration.issuers.contains { $0.dpop != .off }
        let offersBearer =
            !offersDPoP || configuration.apiKeys != nil || configuration.issuers.contains { $0.dpop != .required }
        let error: (code: String, isOfDPoP: Bool)? =
            switch answer.challenge {
            case .plain: nil
            case .request: ("invalid_request", usesDPoP)
            case .token: ("invalid_token", usesDPoP)
            case .boundToken: ("invalid_token", true)
            case .proof: ("invalid_dpop_proof", true)
            case .nonce: ("use_dpop_nonce", true)
            case .scope: ("insufficient_scope", usesDPoP)
            }
        var parameters: [(String, String)] = []
        if let error {
            parameters = [("error", error.code), ("error_description", "\(reason.rawValue): \(reason.text)")]
            if !scopes.isEmpty { parameters.append(("scope", scopes.joined(separator: " "))) }
        }
        let isOfDPoP = error.map { ($0.isOfDPoP && offersDPoP) || !offersBearer } ?? usesDPoP
        var challenges: [String] = []
        if [400, 401, 403].contains(answer.status) {
            if offersBearer { challenges.append(challenge("Bearer", isOfDPoP ? [] : parameters)) }
            if offersDPoP {
                let algorithms = (configuration.dpop?.algorithms ?? []).map(\.rawValue).sorted()
                let own = [("algs", algorithms.joined(separator: " "))]
                challenges.append(challenge("DPoP", own + (isOfDPoP ? parameters : [])))
            }
            // The one that concerns the client first: some look at no other.
            if isOfDPoP { challenges.reverse() }
        }
        let sendsNonce =
            switch answer.challenge {
            case .proof, .nonce: true
            default: usesDPoP && answer.status == 401
            }
        return AuthenticationFailure(
            reason: reason, detail: refusal.detail, issuer: refusal.issuer, challenges: challenges,
            dpopNonce: sendsNonce && offersDPoP ? dpopNonce(at: now) : nil,
            wantsKeysOf: reason == .unknownKey || reason == .keysUnavailable ? refusal.issuer : nil)
    }

    /// One challenge; every value of ours can stand in a quoted string as it is.
    private func challenge(_ scheme: String, _ parameters: [(String, String)]) -> String {
        let all = [("realm", configuration.realm)] + parameters
        return "\(scheme) " + all.map { "\($0.0)=\"\($0.1)\"" }.joined(separator: ", ")
    }
}
