import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import PKI
import Policy
import TLS

/// Who asks for what, and whether he may: everything before a byte goes to a service.
extension EdgeExchange {
    /// Decides about the request, and sends it or waits for keys.
    func admit() throws(EdgeRefusal) {
        let listener = connection.listener
        let client = try listener.trust.client(of: connection.facts, request: head)
        self.client = client
        var random = SystemRandomNumberGenerator()
        requestID = RequestID.of(head.headers, client: client, using: &random)
        if let key = client.address?.limitKey, let refusal = core.shared.refusal(of: key, at: core.loop.now) {
            core.counters.limited(refusal.reason)
            throw refusal
        }
        if try answerOwn(client) { return }
        let match = try core.runtime.routes.match(head, host: client.host)
        let route = core.runtime.routeSettings[match.route]
        self.match = match
        self.route = route
        if let preflight = route.cors?.preflight(head, requestID: requestID) {
            var response = preflight
            return answer(&response)
        }
        try route.origins.check(head, client: client)
        if case .length(let length) = head.framing, length > route.settings.maximumBody {
            throw EdgeRefusal(
                reason: "body_too_large", status: 413,
                detail: "the body is larger than the \(route.settings.maximumBody) bytes allowed here")
        }
        let readsToken = route.settings.require != .none && route.settings.require != .certificate
        upgrade = try WebSocketUpgrade(head, readsToken: readsToken)
        try identify(requirement: route.settings.require, scopes: route.settings.scopes)
    }

    /// Finds out who asks; goes on with `proceed`, perhaps after keys were fetched.
    private func identify(
        requirement: Configuration.EdgeRequirement, scopes: [String], isRetry: Bool = false
    ) throws(EdgeRefusal) {
        let certificate = connection.channel.session?.peerIdentity
        let wantsToken: Bool
        switch requirement {
        case .none:
            caller = .anonymous(commonName: certificate?.commonName)
            return try proceed()
        case .certificate: wantsToken = false
        case .token, .both: wantsToken = true
        case .either: wantsToken = try credential() != nil || certificate == nil
        }
        if requirement == .certificate || requirement == .both || !wantsToken {
            guard certificate != nil else {
                core.counters.authenticated("missing_certificate")
                throw EdgeRefusal.unauthenticated(
                    reason: "missing_certificate", detail: "a client certificate is required here", challenges: [],
                    hint: "connect with the certificate that you were issued")
            }
        }
        guard wantsToken else {
            caller = try certified(certificate)
            core.counters.authenticated("ok")
            return try proceed()
        }
        let now = Clock.unixSeconds()
        let shared = core.shared
        let result = core.runtime.authenticator.authenticate(try clientCredentials(), at: now) { use in
            shared.remember(use, at: now)
        }
        switch result {
        case .success(let authenticated):
            core.counters.authenticated("ok")
            dpopNonce = authenticated.dpopNonce
            guard authenticated.holds(scopes: scopes) else {
                throw EdgeRefusal(core.runtime.authenticator.insufficientScope(required: scopes, of: authenticated))
            }
            guard let id = PrincipalID(authenticated.principal) else {
                throw EdgeRefusal.forbidden(reason: "bad_subject", detail: "the subject cannot be a principal's name")
            }
            caller = EdgeCaller(
                acting: .external(id, attributes: authenticated.attributes), name: authenticated.principal,
                authenticated: authenticated, commonName: certificate?.commonName)
            try proceed()
        case .failure(let failure):
            if let issuer = failure.wantsKeysOf, !isRetry, let wantsKeys = core.wantsKeys {
                return waitForKeys(of: issuer, requirement, scopes, wantsKeys)
            }
            core.counters.authenticated(failure.reason.rawValue)
            if failure.countsAsFailure, let key = client?.address?.limitKey {
                core.shared.failed(key, at: core.loop.now)
            }
            core.shared.log.info(
                "edge_authentication_failed", "a client did not prove who it is",
                [
                    ("request", .string(requestID)), ("client", .string(client?.address?.description ?? "")),
                    ("reason", .string(failure.reason.rawValue)), ("issuer", .string(failure.issuer ?? "")),
                    ("detail", .string(failure.detail)),
                ])
            throw EdgeRefusal(failure)
        }
    }

    /// The request waits until the issuer's keys were fetched, or could not be.
    private func waitForKeys(
        of issuer: String, _ requirement: Configuration.EdgeRequirement, _ scopes: [String],
        _ wantsKeys: EdgeCore.KeyFetch
    ) {
        state = .authenticating
        connection.setPhaseTime(Self.keyTimeout)
        let handle = core.handle
        let box = Handover(WeakExchange(self))
        wantsKeys(issuer) {
            handle.submit { _ in
                guard let exchange = box.value.exchange, case .authenticating = exchange.state else { return }
                do throws(EdgeRefusal) {
                    try exchange.identify(requirement: requirement, scopes: scopes, isRetry: true)
                } catch {
                    exchange.refuse(error)
                }
            }
        }
    }

    /// How long a request may wait for an issuer's keys, in nanoseconds.
    private static let keyTimeout: UInt64 = 10_000_000_000

    private final class WeakExchange {
        weak var exchange: EdgeExchange?

        init(_ exchange: EdgeExchange) { self.exchange = exchange }
    }

    /// The client's certificate as a principal, by the policy's mapping.
    private func certified(_ identity: PeerIdentity?) throws(EdgeRefusal) -> EdgeCaller {
        guard let identity,
            let id = core.connector.principal(
                of: .node(commonName: identity.commonName, spiffe: identity.spiffe?.description))
        else {
            throw EdgeRefusal.forbidden(
                reason: "unknown_certificate", detail: "the certificate is good, and nobody here knows its holder")
        }
        return EdgeCaller(
            acting: .external(id, attributes: [:]), name: id.description, authenticated: nil,
            commonName: identity.commonName)
    }

    private func credential() throws(EdgeRefusal) -> PresentedCredential? {
        let reader = CredentialReader(readsQuery: core.runtime.configuration.authentication.tokenInQuery)
        return try reader.read(head, upgrade: upgrade)
    }

    /// What the client brought, in the form that the authenticator checks.
    private func clientCredentials() throws(EdgeRefusal) -> ClientCredentials {
        let origin = connection.listener.settings.publicOrigin ?? client?.origin ?? ""
        var credentials = ClientCredentials(
            method: head.method.rawValue, url: origin + head.path,
            certificateThumbprint: connection.certificateThumbprint)
        credentials.dpop = head.headers.values("DPoP")
        guard let presented = try credential() else { return credentials }
        self.presented = presented
        switch presented.source {
        case .authorization: credentials.authorization = head.headers.values("Authorization")
        case .apiKeyField: credentials.apiKeys = [presented.secret]
        case .subprotocol:
            credentials.token = presented.secret
            credentials.tokenSource = .subprotocol
        case .query:
            credentials.token = presented.secret
            credentials.tokenSource = .query
        case .message:
            credentials.token = presented.secret
            credentials.tokenSource = .message
        }
        return credentials
    }

    /// The client is known: limits and policy, then the request goes on its way.
    private func proceed() throws(EdgeRefusal) {
        guard let route, let match else { return }
        if caller.isPrincipal {
            connection.isAuthenticated = true
            guard connection.count(principal: caller.name) else {
                throw EdgeRefusal(
                    .tooManyConnections, status: 429, "too many connections at once", headers: ["Retry-After": "1"])
            }
        }
        let key = caller.isPrincipal ? caller.name : client?.address?.limitKey.description ?? "unix"
        if let refusal = core.shared.refusal(
            of: key, isPrincipal: caller.isPrincipal, route: route, at: core.loop.now)
        {
            core.counters.limited(refusal.reason)
            throw refusal
        }
        if let failure = core.connector.refusal(of: caller.acting, service: route.settings.service) {
            throw refusal(for: failure)
        }
        send(try forwarded(match, route))
    }
}

extension EdgeRefusal {
    /// The answer to a client who did not prove who he is.
    init(_ failure: AuthenticationFailure) {
        var headers = HTTPHeaders()
        for challenge in failure.challenges { headers.append("WWW-Authenticate", challenge) }
        if let nonce = failure.dpopNonce { headers.append("DPoP-Nonce", nonce) }
        if failure.status == 429 || failure.status == 503 { headers.append("Retry-After", "5") }
        self.init(reason: failure.reason.rawValue, status: failure.status, detail: failure.text, headers: headers)
    }
}
