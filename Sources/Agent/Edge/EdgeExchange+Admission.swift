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
        certificate = try ClientCertificate.of(client, on: connection)
        requestID = RequestID.of(head.headers, client: client, using: &core.random)
        if let key = client.address?.limitKey, let refusal = core.shared.refusal(of: key, at: core.loop.now) {
            core.counters.limited(refusal.reason)
            throw refusal
        }
        try listener.hosts.check(client.host)
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
    func identify(
        requirement: Configuration.EdgeRequirement, scopes: [String], isRetry: Bool = false
    ) throws(EdgeRefusal) {
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
        let credentials = try clientCredentials()
        if credentials.isEmpty, let upgrade, upgrade.offersEdgeProtocol {
            return try awaitFirstMessage(upgrade)
        }
        switch core.authenticate(credentials, client: client?.address, requestID: requestID, isRetry: isRetry) {
        case .known(let authenticated): try accept(authenticated)
        case .failed(let failure):
            if !isRetry, wait(for: failure, then: { [weak self] in self?.identifyAgain(requirement, scopes) }) {
                return
            }
            throw EdgeRefusal(failure)
        }
    }

    /// Somebody proved who he is, by his request or his first message.
    func accept(_ authenticated: Authenticated) throws(EdgeRefusal) {
        dpopNonce = authenticated.dpopNonce
        let scopes = route?.settings.scopes ?? []
        guard authenticated.holds(scopes: scopes) else {
            throw EdgeRefusal(core.runtime.authenticator.insufficientScope(required: scopes, of: authenticated))
        }
        guard let id = PrincipalID(authenticated.principal) else {
            throw EdgeRefusal.forbidden(reason: "bad_subject", detail: "the subject cannot be a principal's name")
        }
        caller = EdgeCaller(
            acting: .external(id, attributes: authenticated.attributes), name: authenticated.principal,
            authenticated: authenticated, commonName: certificate?.commonName, certificateEnd: certificate?.notAfter)
        try proceed()
    }

    /// Waits until the issuer's keys were looked for; false where nothing can be looked for.
    func wait(for failure: AuthenticationFailure, then body: @escaping () -> Void) -> Bool {
        guard
            core.fetchKeys(
                for: failure,
                then: { [weak self] in
                    if let self, case .authenticating = self.state { body() }
                })
        else { return false }
        state = .authenticating
        connection.setPhaseTime(Self.keyTimeout)
        return true
    }

    private func identifyAgain(_ requirement: Configuration.EdgeRequirement, _ scopes: [String]) {
        do throws(EdgeRefusal) {
            try identify(requirement: requirement, scopes: scopes, isRetry: true)
        } catch {
            refuse(error)
        }
    }

    /// How long a request may wait for an issuer's keys, in nanoseconds.
    private static let keyTimeout: UInt64 = 10_000_000_000

    /// The client's certificate as a principal, by the policy's mapping.
    private func certified(_ certificate: ClientCertificate?) throws(EdgeRefusal) -> EdgeCaller {
        let mayBeMapped = certificate.map { certificate in
            certificate.spiffe != nil || !certificate.isForeign || connection.listener.settings.clientCommonNames
        }
        guard let certificate, mayBeMapped == true,
            let id = core.connector.principal(
                of: .node(commonName: certificate.commonName, spiffe: certificate.spiffe))
        else {
            core.counters.authenticated("unknown_certificate")
            core.shared.log.info(
                "edge_authentication_failed", "a client's certificate is not known",
                [
                    ("request", .string(requestID)), ("client", .string(client?.address?.description ?? "")),
                    ("reason", "unknown_certificate"),
                    ("detail", .string(mayBeMapped == false ? Self.foreignName : "no mapping of the policy names it")),
                    ("commonName", (certificate?.commonName).map { .string($0) } ?? .null),
                    ("spiffe", (certificate?.spiffe).map { .string($0) } ?? .null),
                ])
            throw EdgeRefusal.forbidden(
                reason: "unknown_certificate", detail: "the certificate is good, and nobody here knows its holder")
        }
        return EdgeCaller(
            acting: .external(id, attributes: [:]), name: id.description, authenticated: nil,
            commonName: certificate.commonName, certificateEnd: certificate.notAfter)
    }

    private static let foreignName =
        "another CA than the mesh's issued it, and it has no SPIFFE URI: its common name counts only with "
        + "clientCertificates.commonNames"

    private func credential() throws(EdgeRefusal) -> PresentedCredential? {
        let reader = CredentialReader(readsQuery: core.runtime.configuration.authentication.tokenInQuery)
        return try reader.read(head, upgrade: upgrade)
    }

    /// The request's URL as the client sees it.
    var url: String { (connection.listener.settings.publicOrigin ?? client?.origin ?? "") + head.path }

    /// What the client brought, in the form that the authenticator checks.
    func clientCredentials() throws(EdgeRefusal) -> ClientCredentials {
        var credentials = ClientCredentials(
            method: head.method.rawValue, url: url, certificateThumbprint: certificate?.thumbprint)
        credentials.dpop = head.headers.values("DPoP")
        guard let presented = try credential() else { return credentials }
        self.presented = presented
        if presented.kind == .apiKey {
            credentials.apiKeys = [presented.secret]
            return credentials
        }
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
        guard let route else { return }
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
        if isServiceSocket {
            guard core.connector.knows(service: route.settings.service) else {
                throw EdgeRefusal(reason: "no_such_service", status: 404, detail: "there is no such service")
            }
            return send(nil)
        }
        guard let match else { return }
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
