/// Which end of the WebSocket connection this program is.
///
/// The role decides who masks: every frame of a client is masked and no frame of a server is (RFC 6455 section 5.1).
public enum Role: Sendable, Hashable {
    /// This end opened the connection: it masks what it sends and refuses masked frames.
    case client
    /// This end accepted the connection: it sends unmasked and refuses unmasked frames.
    case server

    /// Whether frames that arrive at this end must be masked.
    @inlinable
    public var expectsMask: Bool { self == .server }
}
