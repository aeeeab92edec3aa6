public import HTTP

/// Makes the request that the service gets out of the one that came in.
///
/// What is forwarded is what was authorised: the target that `RouteTable` matched, in its canonical spelling; the method
/// and the framing as parsed; of the fields everything that is the client's to say, and the rest from what the edge knows.
/// The result is always HTTP/1.1 in origin form and encodes without error.
///
/// **Removed**: what concerns only the client's connection, whatever Connection names, `ProtectedFields` in any spelling,
/// Host, Expect (the edge answers `100-continue` itself when it is ready for the body, see `HTTPRequestHead.expectsContinue`),
/// the credential that the edge used, Sec-WebSocket-* outside of handshakes, and offers of protocols other than WebSocket (so no h2c behind the edge's back).
///
/// **Written**: Host, X-Forwarded-For (the client's address alone: the chain was judged here), -Proto, -Host, X-Request-Id,
/// traceparent, tracestate, Via, the caller's fields and their signature, `TE: trailers` where the client takes trailers.
public struct RequestRewriter: Sendable {
    /// What Host says.
    public enum HostField: Sendable, Hashable {
        /// What the client asked for (`ClientInfo.host`).
        case client
        /// Always the same: for services that answer to their own name only.
        case fixed(HTTPAuthority)
    }

    /// Everything about one request that was found out before.
    public struct Context: Sendable {
        /// Who the client is.
        public var client: ClientInfo
        /// Where the request goes.
        public var match: RouteMatch
        /// Its id.
        public var requestID: String
        /// Its trace.
        public var trace: TraceContext
        /// Name of the service.
        public var service: String
        /// Who calls; nil where nobody had to prove who he is.
        public var caller: Caller?
        /// The credential that the edge used, if one was presented.
        public var credential: PresentedCredential?
        /// The WebSocket handshake, if the request is one.
        public var upgrade: WebSocketUpgrade?
        /// Unix time in seconds, for the signature.
        public var time: Int64

        /// A context out of its parts.
        public init(
            client: ClientInfo, match: RouteMatch, requestID: String, trace: TraceContext, service: String,
            caller: Caller? = nil, credential: PresentedCredential? = nil, upgrade: WebSocketUpgrade? = nil,
            time: Int64 = 0
        ) {
            self.client = client
            self.match = match
            self.requestID = requestID
            self.trace = trace
            self.service = service
            self.caller = caller
            self.credential = credential
            self.upgrade = upgrade
            self.time = time
        }
    }

    /// What Host says.
    public var host: HostField
    /// Whether Authorization, X-API-Key and DPoP are passed on although the edge used them. Off: a service could use the
    /// token elsewhere in its caller's name. Tokens in subprotocols and queries are never passed on.
    public var passesCredential: Bool
    /// Signs the caller's fields; nil where the service does not want that.
    public var signature: CallerSignature?
    /// This edge's name in Via, a token.
    public var via: String

    /// Passings of the same edge after which a request is refused as a loop.
    private static let mostPassings = 5

    /// A rewriter.
    public init(
        host: HostField = .client, passesCredential: Bool = false, signature: CallerSignature? = nil,
        via: String = "conduit"
    ) {
        precondition(Text.isToken(via), "the name in Via must be a token")
        self.host = host
        self.passesCredential = passesCredential
        self.signature = signature
        self.via = via
    }

    /// The request for the service. Throws 400 where Connection names what it must not, 508 where the request goes round.
    public func rewrite(_ head: HTTPRequestHead, _ context: Context) throws(EdgeRefusal) -> HTTPRequestHead {
        try MethodRules.check(head)
        if context.upgrade == nil, WebSocketUpgrade.isRequested(by: head) {
            throw EdgeRefusal(.badWebSocketHandshake, status: 400, "a WebSocket handshake that was not checked")
        }
        var headers = HTTPHeaders()
        headers.append("Host", hostField(context.client))
        headers.append(contentsOf: try kept(head.headers, context))
        try writeVia(head, into: &headers)
        writeForwarded(context, into: &headers)
        if let upgrade = context.upgrade {
            headers.append("Connection", "Upgrade")
            headers.append("Upgrade", "websocket")
            if !upgrade.protocols.isEmpty {
                headers.append("Sec-WebSocket-Protocol", upgrade.protocols.joined(separator: ", "))
            }
        } else if head.version == .http11, head.headers.has("trailers", in: "TE") {
            headers.append("Connection", "TE")
            headers.append("TE", "trailers")
        }
        var forwarded = HTTPRequestHead(
            method: head.method, target: target(context), headers: headers, framing: head.framing)
        writeCaller(context, into: &forwarded)
        return forwarded
    }

    private func target(_ context: Context) -> HTTPTarget {
        if case .query(let rest)? = context.credential?.source {
            return .origin(path: context.match.forwardedPath, query: rest)
        }
        return context.match.forwardedTarget
    }

    private func hostField(_ client: ClientInfo) -> String {
        switch host {
        case .client: client.host?.description ?? "unknown"
        case .fixed(let authority): authority.description
        }
    }

    /// The fields that are the client's to say.
    private func kept(_ headers: HTTPHeaders, _ context: Context) throws(EdgeRefusal) -> HTTPHeaders {
        let named = try ConnectionFields.checkedNames(headers)
        var removed: FieldKind = [.protected, .hopByHop, .rewritten]
        if let upgrade = context.upgrade {
            removed.insert(.socketProtocol)
            if !upgrade.passesExtensions { removed.insert(.socketExtensions) }
        } else {
            removed.insert(.socket)
        }
        if let credential = context.credential, !passesCredential {
            removed.insert(.proof)
            switch credential.source {
            case .authorization: removed.insert(.authorization)
            case .apiKeyField: removed.insert(.apiKey)
            case .subprotocol, .query, .message: break
            }
        }
        var kept = headers
        kept.removeAll { name in
            !FieldKind.of(name).isDisjoint(with: removed) || !named.isEmpty && named.contains(FieldKey(name))
        }
        return kept
    }

    private func writeForwarded(_ context: Context, into headers: inout HTTPHeaders) {
        let client = context.client
        headers.append("X-Forwarded-For", client.address?.description ?? "unknown")
        headers.append("X-Forwarded-Proto", client.scheme.rawValue)
        if let host = client.host { headers.append("X-Forwarded-Host", host.description) }
        headers.append("X-Request-Id", context.requestID)
        headers.append("traceparent", context.trace.traceparent)
        if let state = context.trace.tracestate { headers.append("tracestate", state) }
    }

    private func writeCaller(_ context: Context, into head: inout HTTPRequestHead) {
        guard let caller = context.caller else { return }
        head.headers.append("Conduit-Caller", caller.principalField)
        if !caller.groups.isEmpty { head.headers.append("Conduit-Caller-Groups", caller.groupsField) }
        if caller.commonName != nil { head.headers.append("Conduit-Caller-CN", caller.commonNameField) }
        guard let signature, let subject = CallerSignature.Subject(received: head, service: context.service) else {
            return
        }
        head.headers.append("Conduit-Caller-Signature", signature.field(subject, time: context.time))
    }

    /// Via of the client and our own entry (RFC 9110, 7.6.3).
    private func writeVia(_ head: HTTPRequestHead, into headers: inout HTTPHeaders) throws(EdgeRefusal) {
        let passed = head.headers.list("Via")
        let own = passed.count { entry in
            let words = Text.split(entry, at: 0x20)
            return words.count >= 2 && Text.equalIgnoringCase(words[1], via)
        }
        if own >= Self.mostPassings {
            throw EdgeRefusal(.loopDetected, status: 508, "the request came by here \(own) times already")
        }
        let version = head.version == .http11 ? "1.1" : "1.0"
        headers.append("Via", (passed + ["\(version) \(via)"]).joined(separator: ", "))
    }
}
