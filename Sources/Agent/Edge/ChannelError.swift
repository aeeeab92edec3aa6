import EventLoop
import TLS

/// Why a byte channel ended although its owner did not end it.
enum ChannelError: Error, CustomStringConvertible {
    /// The socket failed: reset by the peer, unreachable, and so on.
    case socket(errno: Int32)
    /// TLS failed; before the handshake was complete or after.
    case tls(TLSError)
    /// The connection ended inside the TLS handshake.
    case handshakeTruncated

    /// The peer has reset its connection.
    var isReset: Bool { reason == "connection_reset" }

    /// A stable code for logs and metrics.
    var reason: String {
        switch self {
        case .socket(Errno.connectionReset), .socket(Errno.brokenPipe): "connection_reset"
        case .socket: "socket_failed"
        case .tls(let error): error.reason
        case .handshakeTruncated: "handshake_truncated"
        }
    }

    /// What happened, for people.
    var description: String {
        switch self {
        case .socket(let errno): SystemError.text(errno)
        case .tls(let error): error.description
        case .handshakeTruncated: "the connection ended inside the TLS handshake"
        }
    }
}
