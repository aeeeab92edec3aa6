public import Bytes
public import HTTP

/// What a client gets that speaks plain HTTP on a port that speaks TLS.
public enum PlaintextAnswer: String, Sendable, Hashable, CaseIterable {
    /// 400 with a text that says what to do; for clients of an API, which should not get used to plain requests.
    case explain
    /// 308 to the same URL with https, for GET and HEAD that are no WebSocket handshake; others get the explanation, since
    /// their body and credentials have crossed the network already and must not do so again.
    case redirect

    /// The answer to a request; the connection closes behind it.
    ///
    /// - Parameters:
    ///   - head: the request, if a head could be read (`RequestParser`); otherwise only the explanation is possible.
    ///   - publicOrigin: `https://host[:port]`, under which clients reach this port. Without it the request's Host and
    ///     `port` are taken.
    ///   - hosts: The hosts that the answer may name. For others there is no redirect: it would lead wherever the sender
    ///     of the request likes.
    ///   - port: the port of this listener.
    public func response(
        to head: HTTPRequestHead?, publicOrigin: String? = nil, hosts: HostList, port: UInt16, requestID: String?
    ) -> HTTPResponse {
        let isSocket = head.map { WebSocketUpgrade.isRequested(by: $0) } ?? false
        let authority = hosts.admits(head?.authority) ? head?.authority : nil
        let origin = publicOrigin ?? authority.map { "https://\($0.host)\(port == 443 ? "" : ":\(port)")" }
        if self == .redirect, let head, let origin, !isSocket, head.method == .get || head.method == .head,
            let path = try? RequestPath(parsing: head.path)
        {
            let target = HTTPTarget.origin(path: path.text, query: head.query)
            var headers: HTTPHeaders = ["Location": "\(origin)\(target)", "Connection": "close"]
            if let requestID { headers.append("X-Request-Id", requestID) }
            return HTTPResponse(status: 308, headers: headers)
        }
        let example = isSocket ? origin.map { "wss\($0.dropFirst("https".count))" } : origin
        let refusal = EdgeRefusal(
            .tlsRequired, status: 400, "this port speaks TLS, and the request came without",
            hint: "use \(example ?? (isSocket ? "wss://" : "https://"))", closesConnection: true)
        return refusal.response(requestID: requestID)
    }

    /// Writes the answer as it goes onto the socket.
    public func write(
        to head: HTTPRequestHead?, publicOrigin: String? = nil, hosts: HostList, port: UInt16, requestID: String?,
        into queue: inout ByteQueue
    ) throws(HTTPError) {
        try response(to: head, publicOrigin: publicOrigin, hosts: hosts, port: port, requestID: requestID)
            .encode(answering: head?.method ?? .get, into: &queue)
    }
}
