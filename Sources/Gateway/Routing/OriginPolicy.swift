public import HTTP

/// Which pages may use a route: the defence against cross-site WebSocket hijacking, and a list for other requests where one
/// is configured.
///
/// A request without Origin comes from no page of another site and passes. A page of the route's own origin
/// (`ClientInfo.origin`) always passes. For WebSockets every other page must be in the list; for other requests only where
/// `origins` is given, since CORS keeps browsers from showing their answers to foreign pages.
public struct OriginPolicy: Sendable, Hashable {
    /// The pages of other sites that may use the route; nil: none by WebSocket, and no check for other requests.
    public var origins: OriginList?

    /// A policy.
    public init(_ origins: OriginList? = nil) { self.origins = origins }

    /// Throws 403 where the page may not use the route, 400 where there are several Origin fields.
    public func check(_ head: HTTPRequestHead, client: ClientInfo) throws(EdgeRefusal) {
        let values = head.headers.values("Origin")
        guard let value = values.first else { return }
        guard values.count == 1 else {
            throw EdgeRefusal(.badOrigin, status: 400, "Origin may be sent only once")
        }
        if origins == nil, !WebSocketUpgrade.isRequested(by: head) { return }
        if let own = client.origin, let origin = WebOrigin(parsing: value), Text.equal(origin.description, own) {
            return
        }
        guard origins?.contains(value) == true else {
            throw EdgeRefusal(
                .originNotAllowed, status: 403, "pages of this origin may not use this route",
                hint: "add the page's origin to the route's origins")
        }
    }
}
