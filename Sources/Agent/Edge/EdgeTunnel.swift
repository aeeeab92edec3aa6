import Gateway
import JOSE

/// What a connection has become after its last request.
protocol EdgeTunnel: AnyObject {
    /// For metrics: websocket, connect.
    var kind: String { get }
    /// There are bytes of the client, or their end.
    func clientReceived()
    /// The client takes bytes again.
    func clientDrained()
    /// The client is gone.
    func clientLost(_ reason: String)
    /// The time that was set is over.
    func timedOut()
    /// Looks again whether it may go on.
    func recheck()
    /// Ends it, telling the client why.
    func end(_ refusal: EdgeRefusal)
    /// Goes on with a new token of the same client; nil, or why not.
    func renew(_ authenticated: Authenticated) -> EdgeRefusal?
}
