import EventLoop
import Gateway
import JOSE
import JSON

/// Who somebody is: asked for requests, for messages on a WebSocket and for renewals.
extension EdgeCore {
    /// What credentials came to.
    enum Authentication {
        /// Somebody proved who he is.
        case known(Authenticated)
        /// Nobody did; the failure tells also whether other keys might help.
        case failed(AuthenticationFailure)
    }

    /// Checks credentials, and counts and notes what they came to.
    ///
    /// - Parameters:
    ///   - client: whom failures are held against.
    ///   - isRetry: the issuer's keys were looked for already.
    func authenticate(
        _ credentials: ClientCredentials, client: IPAddress?, requestID: String, isRetry: Bool = false
    ) -> Authentication {
        let now = Clock.unixSeconds()
        let shared = shared
        if let known = verifiedTokens.find(credentials), runtime.authenticator.recheck(known, at: now) == nil {
            counters.authenticated("ok")
            return .known(known)
        }
        let result = runtime.authenticator.authenticate(credentials, at: now) { shared.remember($0, at: now) }
        switch result {
        case .success(let authenticated):
            counters.authenticated("ok")
            verifiedTokens.remember(credentials, authenticated)
            return .known(authenticated)
        case .failure(let failure):
            if failure.wantsKeysOf != nil, !isRetry, wantsKeys != nil { return .failed(failure) }
            counters.authenticated(failure.reason.rawValue)
            if failure.countsAsFailure, let key = client?.limitKey { shared.failed(key, at: loop.now) }
            shared.log.info(
                "edge_authentication_failed", "a client did not prove who it is",
                [
                    ("request", .string(requestID)), ("client", .string(client?.description ?? "")),
                    ("reason", .string(failure.reason.rawValue)), ("issuer", .string(failure.issuer ?? "")),
                    ("detail", .string(failure.detail)),
                ])
            return .failed(failure)
        }
    }

    /// Has the keys looked for that a failure asks for, and calls `body` on this loop afterwards. False where nothing can
    /// be looked for.
    func fetchKeys(for failure: AuthenticationFailure, then body: @escaping () -> Void) -> Bool {
        guard let issuer = failure.wantsKeysOf, let wantsKeys else { return false }
        let box = Handover(body)
        wantsKeys(issuer) { [handle] in handle.submit { _ in box.value() } }
        return true
    }

    /// The same client with a new token, which must be good for what goes on: its scopes, and its attributes for the policy.
    func renewed(
        _ caller: EdgeCaller, _ authenticated: Authenticated, scopes: [String], service: String
    ) throws(EdgeRefusal) -> EdgeCaller {
        guard let current = caller.authenticated, authenticated.isSameClient(as: current),
            case .external(let id, _) = caller.acting
        else { throw .forbidden(reason: "other_client", detail: "the connection belongs to another client") }
        guard authenticated.holds(scopes: scopes) else {
            throw EdgeRefusal(runtime.authenticator.insufficientScope(required: scopes, of: authenticated))
        }
        var renewed = caller
        renewed.authenticated = authenticated
        renewed.acting = .external(id, attributes: authenticated.attributes)
        if let failure = connector.refusal(of: renewed.acting, service: service), failure.kind == .denied {
            throw .forbidden(reason: failure.reason, detail: "the new token does not permit this")
        }
        return renewed
    }

    /// The right to go on with what was proven earlier: nil, or why not.
    func refusal(of caller: EdgeCaller, service: String) -> EdgeRefusal? {
        if let end = caller.certificateEnd, end <= Clock.unixSeconds() { return .certificateExpired }
        if let authenticated = caller.authenticated,
            let failure = runtime.authenticator.recheck(authenticated, at: Clock.unixSeconds())
        {
            return EdgeRefusal(failure)
        }
        guard let failure = connector.refusal(of: caller.acting, service: service) else { return nil }
        guard failure.kind == .denied else { return nil }
        return .forbidden(reason: failure.reason, detail: "access was withdrawn")
    }
}

extension EdgeRefusal {
    /// The certificate by which the client came has ended.
    static var certificateExpired: EdgeRefusal {
        EdgeRefusal(
            reason: "certificate_expired", status: 401, detail: "the client's certificate has expired",
            hint: "connect again with a new certificate", closesConnection: true)
    }
}

extension ClientCredentials {
    /// The credential of a message on a WebSocket whose handshake asked for `url`.
    init(message: PresentedCredential, url: String, certificateThumbprint: [UInt8]?) {
        self.init(method: "GET", url: url, certificateThumbprint: certificateThumbprint)
        if let proof = message.proof { dpop = [proof] }
        if message.kind == .apiKey {
            apiKeys = [message.secret]
        } else {
            token = message.secret
            tokenSource = .message
        }
    }
}
