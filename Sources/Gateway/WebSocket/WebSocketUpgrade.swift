public import HTTP
import WebSocket

/// A client's WebSocket handshake, taken apart: what is the edge's and what is passed on.
///
/// **Subprotocols.** `conduit.auth.v1` and, where the edge reads tokens, one item `bearer.TOKEN` are the edge's: they are
/// taken out before the handshake is passed on, and the token is never part of an answer. The service chooses among the
/// others. Where it chooses none, `conduit.auth.v1` is selected if the client offered it; where the client offered
/// neither it nor another one, nothing is. Browsers fail a connection where they offered something and nothing was
/// selected: pages that send a token offer `conduit.auth.v1` or the application's subprotocol beside it.
///
/// **Extensions** are passed on untouched, with one exception: where `conduit.auth.v1` is offered, Sec-WebSocket-Extensions
/// is taken out. Messages to the edge could not be read out of a compressed stream without breaking the other messages'
/// compression (RFC 7692, 7.2.3.2: they share one window).
public struct WebSocketUpgrade: Sendable, Hashable {
    /// The subprotocol that is spoken with the edge itself.
    public static let edgeProtocol = "conduit.auth.v1"
    /// What a subprotocol item with a token begins with.
    public static let tokenPrefix = "bearer."

    /// Sec-WebSocket-Key.
    public let key: String
    /// Origin, which browsers send.
    public let origin: String?
    /// The subprotocols that are passed on, in the client's order.
    public let protocols: [String]
    /// The token from the subprotocols. Secret.
    public let token: String?
    /// Whether the client speaks `conduit.auth.v1` (see `InBandAuth`).
    public let offersEdgeProtocol: Bool
    /// Whether Sec-WebSocket-Extensions is passed on.
    public let passesExtensions: Bool

    /// Whether the request asks to switch to WebSocket at all.
    public static func isRequested(by head: HTTPRequestHead) -> Bool {
        head.upgrade.contains { Text.equalIgnoringCase($0, "websocket") }
    }

    /// Reads the handshake of a request for which `isRequested` holds; nil for other requests.
    ///
    /// - Parameter readsToken: whether `bearer.TOKEN` is the edge's. Where the route wants no token it is the
    ///   application's own business and passes.
    public init?(_ head: HTTPRequestHead, readsToken: Bool) throws(EdgeRefusal) {
        guard Self.isRequested(by: head) else { return nil }
        if head.framing.hasBody {
            throw EdgeRefusal(
                .badWebSocketHandshake, status: 400, "a WebSocket handshake has no body", closesConnection: true)
        }
        let checked = Handshake.checkRequest(
            method: head.method.rawValue, isHTTP11: head.version == .http11, headers: { head.headers.values($0) })
        let request: Handshake.Request
        switch checked {
        case .success(let value): request = value
        case .failure(let refusal):
            throw EdgeRefusal(
                .badWebSocketHandshake, status: refusal.status, refusal.description,
                headers: HTTPHeaders(refusal.headers.map { ($0.name, $0.value) }))
        }
        var protocols: [String] = []
        var token: String?
        var offersEdgeProtocol = false
        for offer in request.offeredProtocols {
            if Text.equal(offer, Self.edgeProtocol) {
                offersEdgeProtocol = true
            } else if readsToken, offer.utf8.starts(with: Self.tokenPrefix.utf8) {
                if token != nil { throw PresentedCredential.several }
                let text = String(Substring(offer.utf8.dropFirst(Self.tokenPrefix.utf8.count)))
                if text.isEmpty {
                    throw PresentedCredential.malformed("the subprotocol bearer. has no token behind it")
                }
                token = text
            } else {
                protocols.append(offer)
            }
        }
        key = head.headers["Sec-WebSocket-Key"] ?? ""
        origin = request.origin
        self.protocols = protocols
        self.token = token
        self.offersEdgeProtocol = offersEdgeProtocol
        passesExtensions = !offersEdgeProtocol
    }

    /// The edge's own `101`, selecting `conduit.auth.v1`: for a client who authenticates with his first message, and for
    /// one who is to be told by a close frame why he may not come in.
    public func edgeAnswer() -> HTTPResponseHead {
        HTTPResponseHead(
            status: 101,
            headers: [
                "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": Handshake.acceptKey(key),
                "Sec-WebSocket-Protocol": Self.edgeProtocol,
            ])
    }

    /// The subprotocol that the service selected in its `101`; nil if none. Throws 502 where the answer does not fit what
    /// was passed on.
    public func serviceSelection(_ head: HTTPResponseHead) throws(EdgeRefusal) -> String? {
        let accepts = head.headers.values("Sec-WebSocket-Accept")
        guard head.status == 101, head.headers.has("websocket", in: "Upgrade"),
            head.headers.has("upgrade", in: "Connection"), accepts.count == 1,
            Text.equal(accepts[0], Handshake.acceptKey(key))
        else { throw Self.badAnswer("the service's answer to the WebSocket handshake is not in order") }
        if !passesExtensions, head.headers.contains("Sec-WebSocket-Extensions") {
            throw Self.badAnswer("the service selected an extension that was not offered")
        }
        let selected = head.headers.values("Sec-WebSocket-Protocol")
        guard let first = selected.first else { return nil }
        guard selected.count == 1, protocols.contains(where: { Text.equal($0, first) }) else {
            throw Self.badAnswer("the service selected a subprotocol that was not offered")
        }
        return first
    }

    private static func badAnswer(_ text: String) -> EdgeRefusal {
        EdgeRefusal(.badServiceAnswer, status: 502, text)
    }
}
