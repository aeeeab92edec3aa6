public import HTTP

/// Makes the answer that the client gets out of the service's.
///
/// Removed are what concerns only the service's connection, whatever its Connection names, and `Conduit-*`. Added are Via,
/// X-Request-Id, CORS fields (which replace the service's where the edge has a CORS policy) and, over TLS, HSTS and the
/// security fields that the service has not set itself.
public struct ResponseRewriter: Sendable {
    /// Everything about one request that its answer depends on.
    public struct Context: Sendable {
        /// How the client asked.
        public var method: HTTPMethod
        /// In which version.
        public var version: HTTPVersion
        /// Over what.
        public var scheme: ClientInfo.Scheme
        /// Its id.
        public var requestID: String
        /// The Origin field of the request.
        public var origin: String?
        /// Its WebSocket handshake, if it was one that went to the service.
        public var upgrade: WebSocketUpgrade?
        /// Whether the client's connection serves another request after this one.
        public var keepsAlive: Bool

        /// A context out of its parts.
        public init(
            method: HTTPMethod, version: HTTPVersion = .http11, scheme: ClientInfo.Scheme, requestID: String,
            origin: String? = nil, upgrade: WebSocketUpgrade? = nil, keepsAlive: Bool = true
        ) {
            self.method = method
            self.version = version
            self.scheme = scheme
            self.requestID = requestID
            self.origin = origin
            self.upgrade = upgrade
            self.keepsAlive = keepsAlive
        }

        /// A context for the answer to that request.
        public init(
            _ head: HTTPRequestHead, client: ClientInfo, requestID: String, upgrade: WebSocketUpgrade? = nil,
            keepsAlive: Bool
        ) {
            self.init(
                method: head.method, version: head.version, scheme: client.scheme, requestID: requestID,
                origin: head.headers["Origin"], upgrade: upgrade, keepsAlive: keepsAlive)
        }
    }

    /// What Server says.
    public enum ServerField: Sendable, Hashable {
        /// What the service says, or nothing.
        case pass
        /// Nothing.
        case remove
        /// Always this.
        case fixed(String)
    }

    /// HSTS and the like.
    public var security: SecurityFields
    /// The CORS policy of the route, where the edge answers for it.
    public var cors: CORSPolicy?
    /// What Server says.
    public var server: ServerField
    /// This edge's name in Via, a token.
    public var via: String

    /// A rewriter.
    public init(
        security: SecurityFields = SecurityFields(), cors: CORSPolicy? = nil, server: ServerField = .pass,
        via: String = "conduit"
    ) {
        precondition(Text.isToken(via), "the name in Via must be a token")
        self.security = security
        self.cors = cors
        self.server = server
        self.via = via
    }

    /// The service's answer, final or interim, for the client.
    ///
    /// A `101` must answer the handshake that was passed on and gets the subprotocol that `WebSocketUpgrade` says; every
    /// other switch of protocols is refused with 502. A client of HTTP/1.0 gets a body without length to the end of the
    /// connection; the shell must not send him interim answers, and must close when `framing` is `.untilClose`.
    public func rewrite(_ head: HTTPResponseHead, _ context: Context) throws(EdgeRefusal) -> HTTPResponseHead {
        var headers = head.headers
        let named = ConnectionFields.named(headers)
        let isSwitch = head.status == 101
        headers.removeAll { name in
            let kind = FieldKind.of(name)
            return kind.contains(.hopByHop) || isSwitch && kind.contains(.socketProtocol)
                || FieldKind.begins(name, "conduit-") || !named.isEmpty && named.contains(FieldKey(name))
        }
        var framing = head.framing
        if isSwitch {
            try writeSwitch(head, context, into: &headers)
        } else if head.status >= 200 {
            if context.version == .http10, framing == .chunked { framing = .untilClose }
            let closes = !context.keepsAlive || framing == .untilClose
            if closes {
                headers.append("Connection", "close")
            } else if context.version == .http10 {
                headers.append("Connection", "keep-alive")
            }
        }
        headers.append("Via", "1.1 \(via)")
        cors?.write(origin: context.origin, into: &headers)
        finish(&headers, context)
        return HTTPResponseHead(status: head.status, reason: head.reason, headers: headers, framing: framing)
    }

    /// An answer of the edge itself, with the fields that answers on this route get. CORS fields are among them, so that
    /// pages can read why they were refused; the answer to a preflight has its own already.
    public func decorate(_ response: HTTPResponse, _ context: Context) -> HTTPResponse {
        var response = response
        if response.head.headers["Access-Control-Allow-Origin"] == nil {
            cors?.write(origin: context.origin, into: &response.head.headers)
        }
        finish(&response.head.headers, context)
        if response.head.status >= 200, !context.keepsAlive { response.head.headers.set("Connection", "close") }
        return response
    }

    private func finish(_ headers: inout HTTPHeaders, _ context: Context) {
        switch server {
        case .pass: break
        case .remove: headers.remove("Server")
        case .fixed(let name): headers.set("Server", name)
        }
        headers.set("X-Request-Id", context.requestID)
        if context.scheme == .https { security.write(into: &headers) }
    }

    private func writeSwitch(
        _ head: HTTPResponseHead, _ context: Context, into headers: inout HTTPHeaders
    ) throws(EdgeRefusal) {
        guard let upgrade = context.upgrade else {
            throw EdgeRefusal(.badServiceAnswer, status: 502, "the service switched protocols without being asked")
        }
        let selected = try upgrade.serviceSelection(head)
        headers.append("Connection", "Upgrade")
        headers.append("Upgrade", "websocket")
        if let selected = selected ?? (upgrade.offersEdgeProtocol ? WebSocketUpgrade.edgeProtocol : nil) {
            headers.append("Sec-WebSocket-Protocol", selected)
        }
    }
}
