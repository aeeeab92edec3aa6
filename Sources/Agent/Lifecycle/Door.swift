import EventLoop
import JSON

/// A listener of the control plane.
@ControlPlane
final class Door: AcceptHandler {
    private var listener: Listener?
    private let listening: ListeningDescriptor
    private let log: Log
    private let taken: @ControlPlane (consuming FileDescriptor, SocketAddress) -> Void

    /// Accepts from `socket`; every connection is given to `taken`.
    init(
        _ socket: consuming FileDescriptor, log: Log,
        taken: @escaping @ControlPlane (consuming FileDescriptor, SocketAddress) -> Void
    ) throws(SystemError) {
        listening = ListeningDescriptor(socket.rawValue)
        self.log = log
        self.taken = taken
        listener = try Listener(socket, loop: ControlPlane.loop, handler: self)
    }

    /// A copy of the socket, for another process.
    func duplicate() throws(SystemError) -> Int32? { try listening.duplicate() }

    /// Accepts what waits, and no more: another one is open already.
    func makeWay() {
        listener?.acceptWaiting()
        close()
    }

    /// Accepts no more.
    func close() {
        listening.forget()
        listener?.close()
        listener = nil
    }

    nonisolated func accepted(
        _ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop
    ) {
        let raw = descriptor.release()
        ControlPlane.assumeIsolated { taken(FileDescriptor(owning: raw), peer) }
    }

    nonisolated func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            log.error("accept_failed", "a connection could not be accepted", [("detail", .string("\(error)"))])
        }
    }
}
