import EventLoop
import Glibc
import JSON
import Link

/// The side of the running agent: somebody wants to take over.
///
/// Until the other process says `commit` nothing has happened that could not be undone: it may fail, say so or vanish, and
/// this one goes on. What the two say to each other stands in docs/upgrade.md.
@ControlPlane
final class TakeoverHost {
    /// How long the other process may take to read its configuration, in nanoseconds.
    private static let checkTime: UInt64 = 60_000_000_000
    /// How long it may take from there to a complete start. Nothing can be written here meanwhile.
    private static let startTime: UInt64 = 15_000_000_000

    /// What came of those who asked.
    struct Counts {
        var refused: UInt64 = 0
        var failed: UInt64 = 0
    }

    private unowned let agent: Agent
    private let log: Log
    private let door: Door
    private var isBusy = false
    private(set) var counts = Counts()

    /// The socket beside the control socket.
    nonisolated static func path(control: String) -> String { control + ".takeover" }

    /// Serves a socket that listens.
    init(_ socket: consuming FileDescriptor, agent: Agent, log: Log) throws(SystemError) {
        self.agent = agent
        self.log = log
        let box = Box()
        door = try Door(socket, log: log) { descriptor, _ in box.host?.accept(descriptor) }
        box.host = self
    }

    private final class Box {
        weak var host: TakeoverHost?
    }

    /// A copy of the socket for the next process.
    func duplicate() throws(SystemError) -> Int32? { try door.duplicate() }

    /// Nobody can ask any more.
    func close() {
        door.close()
    }

    // MARK: - A conversation

    private func accept(_ descriptor: consuming FileDescriptor) {
        do throws(SystemError) {
            let peer = try Socket.peerCredentials(descriptor.rawValue)
            let channel = try TakeoverChannel(descriptor)
            Task { @ControlPlane in await self.serve(channel, peer) }
        } catch {
            log.warning("takeover_refused", "a process could not be asked who it is", [("detail", .string("\(error)"))])
        }
    }

    private func serve(_ channel: TakeoverChannel, _ peer: PeerCredentials) async {
        guard let hello = try? await channel.next(within: 10_000_000_000), hello.type == "hello" else {
            return channel.close("no hello")
        }
        if let refusal = refusal(of: peer, hello.json) {
            counts.refused += 1
            log.warning(
                "takeover_refused", "a process may not take over",
                [("reason", .string(refusal.reason)), ("pid", .init(Int(peer.pid))), ("uid", .init(Int(peer.uid)))])
            channel.send("refused", ["reason": .string(refusal.reason), "detail": .string(refusal.detail)])
            await channel.drain(within: 1_000_000_000)
            return channel.close("refused")
        }
        isBusy = true
        defer { isBusy = false }
        do {
            try offer(channel)
            try await goThrough(channel, peer)
        } catch {
            counts.failed += 1
            log.error(
                "takeover_failed", "another process wanted to take over and did not; this one goes on",
                [("pid", .init(Int(peer.pid))), ("detail", .string("\(error)"))])
            agent.thaw()
            channel.send("failed", ["detail": .string("\(error)")])
            await channel.drain(within: 1_000_000_000)
            channel.close("\(error)")
        }
    }

    private func refusal(of peer: PeerCredentials, _ hello: JSONValue) -> (reason: String, detail: String)? {
        guard peer.uid == geteuid() || peer.uid == 0 else {
            return ("not_permitted", "the agent belongs to uid \(geteuid()); only this user and root may take it over")
        }
        guard hello["protocol"]?.integer == TakeoverChannel.version else {
            return ("protocol", "the agent speaks version \(TakeoverChannel.version) of the takeover's protocol")
        }
        if isBusy { return ("busy", "another process takes the agent over just now") }
        if agent.isDraining || agent.isHandedOver { return ("draining", "the agent ends") }
        if getenv("NOTIFY_SOCKET") != nil, hello["supervised"]?.bool != true {
            return ("supervised", "systemd runs the agent; it would lose sight of a process that it did not start")
        }
        return nil
    }

    /// The new process learns whom it takes over from, and gets copies of everything that listens.
    private func offer(_ channel: TakeoverChannel) throws {
        let listeners = try agent.duplicateListeners()
        channel.send(
            "offer",
            [
                "node": .string(agent.shared.node), "boot": .string(agent.shared.bootID.description),
                "version": .string(Agent.version), "pid": .init(Int(getpid())), "listeners": .init(listeners.count),
            ])
        for listener in listeners {
            channel.send(
                "listener", ["kind": .string(listener.kind.rawValue), "activated": .bool(listener.isActivated)],
                passing: [listener.descriptor])
        }
    }

    private func goThrough(_ channel: TakeoverChannel, _ peer: PeerCredentials) async throws {
        try await expect("freeze", channel, within: Self.checkTime)
        try await agent.freeze()
        channel.send("frozen")
        try await expect("commit", channel, within: Self.startTime)
        guard !agent.isDraining else { throw TakeoverError(description: "this process was told to end meanwhile") }
        await agent.handOver(to: channel, pid: peer.pid)
    }

    private func expect(_ type: String, _ channel: TakeoverChannel, within time: UInt64) async throws {
        let message = try await channel.next(within: time)
        if message.type == "failed" { throw TakeoverError(description: message.json["detail"]?.string ?? "it failed") }
        guard message.type == type else { throw TakeoverError(description: "\(message.type) came instead of \(type)") }
    }
}
