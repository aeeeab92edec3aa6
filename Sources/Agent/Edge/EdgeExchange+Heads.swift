import EventLoop
import Gateway
import HTTP
import JOSE

/// Heads on their way through the edge, both ways.
extension EdgeExchange {
    /// The request's head as the service gets it.
    func forwarded(_ match: RouteMatch, _ route: EdgeRouteRuntime) throws(EdgeRefusal) -> HTTPRequestHead {
        guard let client else { throw EdgeRefusal(.badTarget, status: 400, "nobody asks") }
        let who: Caller? =
            caller.isPrincipal || caller.commonName != nil
            ? Caller(
                principal: caller.name, groups: core.connector.groups(of: caller.acting), commonName: caller.commonName)
            : nil
        let context = RequestRewriter.Context(
            client: client, match: match, requestID: requestID, trace: .of(head.headers, using: &core.random),
            service: route.settings.service, caller: who, credential: presented, upgrade: upgrade,
            time: Clock.unixSeconds())
        return try route.rewriter.rewrite(head, context)
    }

    /// The response's head as the client gets it.
    func responseHead(_ answer: HTTPResponseHead, keepsAlive: Bool) throws(EdgeRefusal) -> HTTPResponseHead {
        var passed = try responseRewriter.rewrite(answer, responseContext(keepsAlive: keepsAlive))
        // Chunked says where a body ends also where the connection breaks.
        if passed.framing == .untilClose, head.version == .http11 {
            passed.framing = HTTPStatus.isBodyless(answer.status, answering: head.method) ? .none : .chunked
            passed.headers.remove("Connection")
            if !keepsAlive { passed.headers.append("Connection", "close") }
        }
        if let dpopNonce { passed.headers.set("DPoP-Nonce", dpopNonce) }
        // A stream of events may outlive its token, by renewal.
        if caller.authenticated?.expiry != nil,
            answer.headers["Content-Type"]?.hasPrefix("text/event-stream") == true
        {
            passed.headers.set("Conduit-Connection", connection.publicID)
        }
        return passed
    }

    /// An answer of the edge itself as the client gets it.
    func decorated(_ response: HTTPResponse, keepsAlive: Bool) -> HTTPResponse {
        var decorated = responseRewriter.decorate(response, responseContext(keepsAlive: keepsAlive))
        if keepsAlive, head.version == .http10 { decorated.head.headers.set("Connection", "keep-alive") }
        return decorated
    }

    private var responseRewriter: ResponseRewriter {
        ResponseRewriter(security: connection.listener.security, cors: route?.cors)
    }

    private func responseContext(keepsAlive: Bool) -> ResponseRewriter.Context {
        ResponseRewriter.Context(
            method: head.method, version: head.version,
            scheme: client?.scheme ?? (connection.facts.isTLS ? .https : .http), requestID: requestID,
            origin: head.headers["Origin"], upgrade: upgrade, keepsAlive: keepsAlive)
    }
}
