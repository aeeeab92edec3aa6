import EventLoop
import JSON

/// The listener for links, at the start and when a reload gives it another address.
extension Agent {
    /// What a reload makes of it. The new one is open before the old one closes.
    struct MeshListenerChange {
        /// The new listener; nil for none.
        let door: Door?
        /// Where the old one listens.
        let from: Configuration.Address?
        /// Where the new one does.
        let to: Configuration.Address?
    }

    /// Accepts links from `socket`.
    func makeMeshDoor(_ socket: consuming FileDescriptor) throws(SystemError) -> Door {
        try Door(socket, log: log) { [unowned self] descriptor, address in
            let raw = descriptor.release()
            let worker = self.shared.workers[self.supervisor.leastLoadedWorker()]
            worker.submit { $0.accept(FileDescriptor(owning: raw), from: address) }
        }
    }

    /// Opens the listener of a new configuration; nil where it stays the same.
    func prepareMeshListener(_ next: Configuration.Address?) throws -> MeshListenerChange? {
        let current = configuration.listen.mesh
        guard next != current else { return nil }
        if activated.contains(.mesh) {
            throw StartFailure(
                exitCode: 78,
                lines: ["listen.mesh cannot change while the agent runs: systemd has opened \(Self.text(current))"],
                hint: "change ListenStream= of the socket unit too, then restart the socket and the agent")
        }
        guard let next else { return MeshListenerChange(door: nil, from: current, to: nil) }
        do throws(SystemError) {
            let socket = try Socket.listen(try Self.socketAddress(next))
            return MeshListenerChange(door: try makeMeshDoor(socket), from: current, to: next)
        } catch {
            let isOwn = error.errno == Errno.addressInUse && next.port == current?.port
            throw StartFailure(
                exitCode: 1, lines: ["listen.mesh cannot be \(next): \(error)"],
                hint: isOwn
                    ? "this agent itself has the port, on \(Self.text(current)): choose another port, or restart the agent"
                    : error.hint)
        }
    }

    /// Goes on with another listener. Links that came by the old one stay; where others find this node is told by the
    /// directory.
    func use(_ change: MeshListenerChange?) {
        guard let change else { return }
        let old = meshDoor
        meshDoor = change.door
        old?.makeWay()
        log.info(
            "mesh_listener_changed", "links are accepted at another address; those that are there stay",
            [("from", .string(Self.text(change.from))), ("to", .string(Self.text(change.to)))])
    }

    private static func text(_ address: Configuration.Address?) -> String { address.map { "\($0)" } ?? "none" }

    private static func socketAddress(_ address: Configuration.Address) throws(SystemError) -> SocketAddress {
        guard let parsed = try? SocketAddress(parsing: address.description) else {
            throw SystemError(call: "listen on", subject: "\(address)", errno: Errno.addressNotAvailable)
        }
        return parsed
    }
}
