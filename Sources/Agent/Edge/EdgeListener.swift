import EventLoop
import JSON
import Synchronization

/// A listener for external clients. Its socket is bound at start, before anything is served; connections are accepted on
/// one loop and dealt to the one that has the fewest.
final class EdgeListener: AcceptHandler, @unchecked Sendable {
    // Sendable by hand: the mutable parts are used on the accepting loop only, after `start`.

    /// The address as configured: its name.
    let name: String
    /// Where it really listens.
    let address: SocketAddress?
    /// Systemd opened the socket, and owns a Unix socket's file.
    let isActivated: Bool
    /// For copies of the socket.
    let listening: ListeningDescriptor
    private let descriptor: Locked<Int32?>
    private let shared: EdgeShared
    private var listener: Listener?

    /// Takes over a socket that listens.
    init(_ socket: consuming FileDescriptor, name: String, shared: EdgeShared, isActivated: Bool = false) {
        self.isActivated = isActivated
        listening = ListeningDescriptor(socket.rawValue)
        address = Socket.localAddress(socket.rawValue)
        descriptor = Locked(socket.release())
        self.name = name
        self.shared = shared
    }

    deinit {
        listening.forget()
        if let left = descriptor.withLock({ $0.take() }) { FileDescriptor(owning: left).close() }
    }

    /// Starts to accept, on this loop's thread.
    func start(on loop: EventLoop) throws(SystemError) {
        guard let taken = descriptor.withLock({ $0.take() }) else { return }
        listener = try Listener(FileDescriptor(owning: taken), loop: loop, handler: self)
    }

    /// Stops to accept; what was accepted goes on.
    func close() {
        listening.forget()
        listener?.close()
        listener = nil
    }

    /// Removes the file of a Unix socket.
    func removeSocketFile() {
        if case .unix(let path)? = address, !path.isEmpty, !isActivated { Socket.removeSocketFile(path) }
    }

    func accepted(
        _ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop
    ) {
        let loops = shared.loops
        guard let target = loops.min(by: { $0.openConnections < $1.openConnections }) else { return }
        // Counted here, so that a burst within one tick is dealt evenly.
        target.willOpen()
        let raw = descriptor.release()
        target.submit { [name] core in core.accept(FileDescriptor(owning: raw), from: peer, listener: name) }
    }

    func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop) {
        shared.log.error(
            "accept_failed", "an edge listener could not accept a connection",
            [("listener", .string(name)), ("error", .string("\(error)"))])
    }
}
