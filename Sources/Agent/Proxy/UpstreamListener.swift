import EventLoop
import JSON
import Synchronization

/// A local listener that leads to a service. Its socket is bound at start, before anything is served.
final class UpstreamListener: AcceptHandler, @unchecked Sendable {
    // Sendable by hand: the mutable parts are used on one worker's thread only, after `start`.

    /// What connections that come in are carried to; can change while it listens.
    struct Settings: Sendable, Equatable {
        let service: String
        let acting: ActingAs
        let node: String?
        let instance: String?
        let connectTimeout: UInt64
        let maximumConnections: Int
    }

    let origin: String
    /// Systemd opened the socket, and owns a Unix socket's file.
    let isActivated: Bool
    /// For copies of the socket.
    let listening: ListeningDescriptor
    private let settings: Locked<Settings>
    private let open = Atomic<Int>(0)
    private let descriptor: Locked<Int32?>
    private let address: SocketAddress?
    private var listener: Listener?
    private weak var core: WorkerCore?

    init(_ socket: consuming FileDescriptor, origin: String, settings: Settings, isActivated: Bool = false) {
        self.isActivated = isActivated
        listening = ListeningDescriptor(socket.rawValue)
        address = Socket.localAddress(socket.rawValue)
        descriptor = Locked(socket.release())
        self.origin = origin
        self.settings = Locked(settings)
    }

    /// Changes where new connections lead; those that are open stay.
    func update(_ new: Settings) { settings.withLock { $0 = new } }

    deinit {
        listening.forget()
        if let left = descriptor.withLock({ $0.take() }) { FileDescriptor(owning: left).close() }
    }

    /// Starts to accept, on this worker's thread.
    func start(on loop: EventLoop, core: WorkerCore) throws(SystemError) {
        guard let taken = descriptor.withLock({ $0.take() }) else { return }
        self.core = core
        if address?.port != nil { Self.setOptions(taken) }
        listener = try Listener(FileDescriptor(owning: taken), loop: loop, handler: self)
    }

    /// Removes the file of a Unix socket.
    func removeSocketFile() {
        if case .unix(let path)? = address, !path.isEmpty, !isActivated { Socket.removeSocketFile(path) }
    }

    /// Stops to accept; what was accepted goes on.
    func close() {
        listening.forget()
        listener?.close()
        listener = nil
    }

    /// Connections that came in here and are still open.
    var openConnections: Int { open.load(ordering: .relaxed) }

    /// One of them is over.
    func connectionClosed() { open.subtract(1, ordering: .relaxed) }

    func accepted(
        _ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop
    ) {
        // What waited in a queue of systemd's has not inherited them.
        if isActivated, peer.port != nil { Self.setOptions(descriptor.rawValue) }
        carry(descriptor)
    }

    /// Takes a connection over that another process accepted for this upstream, and what that has read from it.
    func adopt(_ descriptor: consuming FileDescriptor, _ bytes: [UInt8]) {
        if Socket.localAddress(descriptor.rawValue)?.port != nil { Self.setOptions(descriptor.rawValue) }
        carry(descriptor, firstBytes: bytes)
    }

    /// Of a TCP listener, whose connections inherit them, or of a connection.
    private static func setOptions(_ descriptor: Int32) {
        try? Socket.setNoDelay(descriptor)
        // An application's host that vanished says nothing; without probes its stream would stay for ever.
        try? Socket.setKeepAlive(descriptor)
    }

    private func carry(_ descriptor: consuming FileDescriptor, firstBytes: [UInt8] = []) {
        guard let core else { return }
        let settings = settings.withLock { $0 }
        guard open.load(ordering: .relaxed) < settings.maximumConnections else {
            core.counters.failed("too_many_connections")
            try? Socket.setLingerZero(descriptor.rawValue)
            return
        }
        open.add(1, ordering: .relaxed)
        let attempt = OpenAttempt(
            service: settings.service, acting: settings.acting, node: settings.node, instance: settings.instance,
            origin: origin, timeout: settings.connectTimeout, upstream: self,
            firstBytes: firstBytes)
        core.open(descriptor, attempt)
    }

    func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop) {
        core?.shared.log.error(
            "accept_failed", "an upstream could not accept a connection",
            [("upstream", .string(origin)), ("error", .string("\(error)"))])
    }
}
