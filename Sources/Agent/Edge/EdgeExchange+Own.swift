import Gateway
import HTTP
import JOSE
import JSON
import Policy

/// What the edge itself answers on every listener, before any route is looked at.
extension EdgeExchange {
    /// The paths that are the edge's own.
    private enum Own {
        static let keys = "/.well-known/jwks.json"
        static let renew = "/v1/token/renew"
        static let connect = "/v1/connect/"
    }

    /// Largest body of a renewal: a large token and a proof.
    private static let maximumRenewal = 32 << 10

    /// Answers a request for one of the edge's own paths; false for all others.
    func answerOwn(_ client: ClientInfo) throws(EdgeRefusal) -> Bool {
        switch head.path {
        case Own.keys:
            guard let keys = core.runtime.localKeys else { return false }
            try demand([.get, .head])
            var response = HTTPResponse(
                status: 200,
                headers: ["Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=300"],
                body: keys)
            answer(&response)
            return true
        case Own.renew:
            try demand([.post])
            collect(atMost: Self.maximumRenewal) { exchange, body throws(EdgeRefusal) in try exchange.renew(body) }
            return true
        default:
            guard head.path.hasPrefix(Own.connect), core.runtime.configuration.connect.enabled else { return false }
            try connect(String(head.path.dropFirst(Own.connect.count)))
            return true
        }
    }

    /// Refuses every other method.
    func demand(_ methods: [HTTPMethod]) throws(EdgeRefusal) {
        guard !methods.contains(head.method) else { return }
        throw EdgeRefusal(
            .methodNotAllowed, status: 405, "this method has no meaning here",
            headers: ["Allow": methods.map(\.rawValue).joined(separator: ", ")])
    }

    // MARK: - Renewal

    /// `POST /v1/token/renew` with `{"connection": ID}` and the new token in Authorization, or as `"token"` in the body.
    private func renew(_ body: [UInt8]) throws(EdgeRefusal) {
        guard let object = try? JSONReader.parse(body).object, let id = object["connection"]?.string else {
            throw EdgeRefusal(
                reason: "bad_renewal", status: 400,
                detail: "the body must be {\"connection\": ID}, with the new token in Authorization or as \"token\"")
        }
        var credentials = try clientCredentials()
        if let token = object["token"]?.string {
            guard credentials.isEmpty else {
                throw EdgeRefusal(.multipleCredentials, status: 400, "send the token once")
            }
            credentials.token = token
            credentials.tokenSource = .body
        }
        renew(id, credentials)
    }

    private func renew(_ id: String, _ credentials: ClientCredentials, isRetry: Bool = false) {
        let result = core.authenticate(
            credentials, client: client?.address, requestID: requestID, isRetry: isRetry)
        switch result {
        case .failed(let failure):
            let waits = !isRetry && wait(for: failure) { [weak self] in self?.renew(id, credentials, isRetry: true) }
            if !waits { refuse(EdgeRefusal(failure)) }
        case .known(let authenticated):
            let index = id.prefix { $0 != "-" }
            guard let loop = core.shared.loops.first(where: { String($0.index) == index }) else {
                return refuse(Self.unknownConnection)
            }
            let handle = core.handle
            let box = Handover(WeakBox(self))
            loop.submit { core in
                let refusal = core.renew(id, authenticated)
                handle.submit { _ in box.value.value?.renewed(authenticated, refusal) }
            }
        }
    }

    private static var unknownConnection: EdgeRefusal {
        EdgeRefusal(reason: "unknown_connection", status: 404, detail: "there is no connection of this id")
    }

    private func renewed(_ authenticated: Authenticated, _ refusal: EdgeRefusal?) {
        if let refusal { return refuse(refusal) }
        let expiry: JSONValue = authenticated.expiry.map { .integer($0) } ?? .null
        var response = HTTPResponse.json(JSONValue.object(["expires": expiry]).text())
        response.head.headers.set("Cache-Control", "no-store")
        answer(&response)
    }

    // MARK: - Any service as a WebSocket

    /// `GET /v1/connect/SERVICE`: a WebSocket whose binary messages are the bytes of a TCP service.
    private func connect(_ service: String) throws(EdgeRefusal) {
        try demand([.get])
        guard Policy.Name.isLegal(service) else {
            throw EdgeRefusal(.noRoute, status: 404, "that is no service's name")
        }
        let settings = core.runtime.configuration.connect
        guard settings.require != .none else {
            throw EdgeRefusal.forbidden(reason: "connect_disabled", detail: "nobody may connect here")
        }
        // A service with a route is reached by that route alone: what the route demands, limits and tells the service about
        // its caller would be passed over here.
        guard !core.runtime.routeSettings.contains(where: { $0.settings.service == service }) else {
            throw EdgeRefusal.forbidden(
                reason: "routed_service", detail: "this service has a route; it is not reached as a stream of bytes")
        }
        let route = core.runtime.connectRoute(service)
        self.route = route
        if let client { try route.origins.check(head, client: client) }
        guard let upgrade = try WebSocketUpgrade(head, readsToken: settings.require != .certificate) else {
            throw EdgeRefusal(
                .badWebSocketHandshake, status: 426, "this path speaks WebSocket only",
                headers: ["Upgrade": "websocket"])
        }
        self.upgrade = upgrade
        isServiceSocket = true
        try identify(requirement: settings.require, scopes: settings.scopes)
    }
}

extension EdgeCore {
    /// Goes on with a connection under a new token; nil, or why not.
    func renew(_ id: String, _ authenticated: Authenticated) -> EdgeRefusal? {
        let parts = id.split(separator: "-")
        guard parts.count == 3, let number = UInt64(parts[1], radix: 36), let connection = connections[number],
            connection.publicID == id
        else {
            return EdgeRefusal(reason: "unknown_connection", status: 404, detail: "there is no connection of this id")
        }
        return connection.renew(authenticated)
    }
}

extension EdgeRuntime {
    /// The route of `GET /v1/connect/SERVICE`.
    func connectRoute(_ service: String) -> EdgeRouteRuntime {
        var settings = Configuration.EdgeRoute()
        settings.path = "/v1/connect"
        settings.service = service
        settings.require = configuration.connect.require
        settings.scopes = configuration.connect.scopes
        settings.idleTimeout = configuration.connect.idleTimeout
        let origins = configuration.connect.origins
        return EdgeRouteRuntime(
            settings: settings, name: "/v1/connect", rate: nil,
            origins: OriginPolicy(origins.isEmpty ? nil : OriginList(origins.compactMap { .init(parsing: $0) })),
            cors: nil, rewriter: RequestRewriter())
    }
}

/// A reference that keeps nothing alive.
final class WeakBox<Value: AnyObject> {
    weak var value: Value?

    init(_ value: Value) { self.value = value }
}
