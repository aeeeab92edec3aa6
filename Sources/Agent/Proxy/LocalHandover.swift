import EventLoop

/// A local connection between two workers, with what its stream has brought and its socket not taken yet.
struct LocalHandover {
    let role: LocalConnection.Role
    /// The socket. Whoever gets the handover owns it.
    let descriptor: Int32
    /// Bytes that wait for the socket, and how many at their head are the agent's own.
    let pending: [UInt8]
    let pendingAnswer: Int
    /// The peer's direction is complete.
    let peerFinished: Bool
    /// The application's direction is complete, and the stream has been told.
    let sentFinish: Bool
    /// The socket has been told of the peer's end.
    let wroteShutdown: Bool
}
