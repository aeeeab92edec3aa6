import EventLoop
import Glibc

/// Sockets that listen already when the agent starts: those of the process that it takes over from, and those that systemd
/// opened. What the configuration wants is taken from here, where it is here, and bound where it is not.
@ControlPlane
final class InheritedListeners {
    /// What a listener is for; with the raw value as its name in `LISTEN_FDNAMES`.
    enum Kind: String, CaseIterable, Sendable {
        /// `listen.mesh`
        case mesh
        /// `listen.control`
        case control
        /// `listen.metrics`
        case metrics
        /// `ca.listen`
        case ca
        /// One of `upstreams`
        case upstream
        /// One of `edge.listeners`
        case edge
        /// Where the next process asks to take over.
        case takeover
    }

    /// A listener that was taken.
    struct Taken: ~Copyable {
        let socket: FileDescriptor
        /// Systemd opened it, and owns a Unix socket's file.
        let isActivated: Bool

        /// The socket's number; the caller closes it.
        consuming func release() -> Int32 { socket.release() }
    }

    private struct Entry {
        let kind: Kind
        let address: SocketAddress
        let descriptor: Int32
        let isActivated: Bool
    }

    private var entries: [Entry] = []

    /// None.
    init() {}

    deinit { for entry in entries { close(entry.descriptor) } }

    /// Adds a socket, whose owner this is from now on.
    func add(_ kind: Kind, _ descriptor: Int32, isActivated: Bool) {
        let address = Socket.localAddress(descriptor) ?? .unix(path: "")
        entries.append(Entry(kind: kind, address: address, descriptor: descriptor, isActivated: isActivated))
    }

    /// The socket that listens on `address`. One of systemd's has to be named for its use; of the other process any will do,
    /// since the configuration may have changed.
    func take(_ kind: Kind, _ address: SocketAddress) -> Taken? {
        guard
            let index = entries.firstIndex(where: {
                $0.address == address && ($0.kind == kind || !$0.isActivated)
            })
        else { return nil }
        let entry = entries.remove(at: index)
        return Taken(socket: FileDescriptor(owning: entry.descriptor), isActivated: entry.isActivated)
    }

    /// The socket that listens on `address`, taken or made (`Socket.listen`).
    func listen(
        _ kind: Kind, _ address: SocketAddress, v6Only: Bool = true, mode: UInt32 = 0o600
    ) throws -> Taken {
        if let taken = take(kind, address) { return taken }
        if let wrong = entries.first(where: { $0.isActivated && $0.address == address }) {
            throw StartFailure(
                exitCode: 78,
                lines: [
                    "systemd's socket \(address) has the name \(wrong.kind.rawValue), but it is for \(kind.rawValue)"
                ],
                hint: "correct FileDescriptorName= in its socket unit")
        }
        return Taken(socket: try Socket.listen(address, v6Only: v6Only, mode: mode), isActivated: false)
    }

    /// Every socket that systemd opened must be wanted: one that nobody serves would let clients wait for ever.
    func requireAllActivatedTaken() throws(StartFailure) {
        let left = entries.filter(\.isActivated)
        guard !left.isEmpty else { return }
        throw StartFailure(
            exitCode: 78,
            lines: left.map {
                "systemd's socket \($0.kind.rawValue) listens on \($0.address), which is not configured"
            },
            hint: "let ListenStream= and the configuration name the same address, or correct FileDescriptorName=")
    }

    /// Closes what the configuration does not want any more, the files of Unix sockets included.
    func closeRest() {
        for entry in entries {
            close(entry.descriptor)
            if case .unix(let path) = entry.address, !path.isEmpty, !entry.isActivated { Socket.removeSocketFile(path) }
        }
        entries = []
    }
}
