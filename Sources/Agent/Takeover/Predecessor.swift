import EventLoop
import Glibc
import JSON
import Link

/// The side of the new process: the agent that runs here already, from which this one takes over.
@ControlPlane
final class Predecessor {
    /// How long the running agent may take to answer, in nanoseconds.
    private static let patience: UInt64 = 20_000_000_000

    /// The node that the running agent is.
    let node: String
    let bootID: BootID
    let version: String
    let pid: Int32
    private let channel: TakeoverChannel
    private let log: Log
    /// Application's streams that the old process still carries.
    private(set) var streams = 0
    /// It has ended.
    private(set) var isGone = false
    /// Connections that it had accepted and gave to this process.
    private(set) var connections: UInt64 = 0
    /// For how long nobody accepted, in seconds.
    private(set) var pause = 0.0
    private var committedAt: UInt64 = 0
    /// Connections that came before everything was served.
    private var early: [TakeoverChannel.Message] = []

    private init(_ channel: TakeoverChannel, offer: JSONValue, log: Log) throws(JSONAccessError) {
        let object = try offer.requireObject()
        node = try object.string("node")
        version = try object.string("version")
        pid = Int32(clamping: try object.integer("pid"))
        guard let boot = BootID(hex: try object.string("boot")) else {
            throw JSONAccessError(code: .wrongType, path: "boot", message: "not a boot id")
        }
        bootID = boot
        self.channel = channel
        self.log = log
    }

    /// Asks the agent that runs with this control socket; nil where none does. `listeners` gets its sockets.
    static func find(
        control: String, into listeners: InheritedListeners, log: Log
    ) async throws -> Predecessor? {
        guard let socket = try connect(control: control) else {
            log.info("takeover_none", "no agent runs here to take over from: this is an ordinary start")
            return nil
        }
        let channel = try TakeoverChannel(socket)
        channel.send(
            "hello",
            [
                "protocol": .integer(TakeoverChannel.version), "version": .string(Agent.version),
                "supervised": .bool(getenv("NOTIFY_SOCKET") != nil),
            ])
        do {
            let offer = try await channel.next(within: patience)
            if offer.type == "refused" { throw refused(offer.json) }
            let predecessor = try Predecessor(channel, offer: offer.json, log: log)
            for _ in 0..<(offer.json["listeners"]?.integer ?? 0) {
                let message = try await channel.next(within: patience)
                guard let kind = message.json["kind"]?.string.flatMap({ InheritedListeners.Kind(rawValue: $0) }) else {
                    continue
                }
                for descriptor in message.takeDescriptors() {
                    listeners.add(kind, descriptor, isActivated: message.json["activated"]?.bool == true)
                }
            }
            return predecessor
        } catch let error as StartFailure {
            throw error
        } catch {
            throw failure("the running agent could not be asked: \(error)")
        }
    }

    private static func connect(control: String) throws -> FileDescriptor? {
        let path = TakeoverHost.path(control: control)
        do throws(SystemError) {
            if SocketAddress.isUsable(path: path) {
                switch try Socket.connectStart(.unix(path: path)) {
                case .connected(let socket): return socket
                case .inProgress(let socket): return socket
                case .queueFull: throw SystemError(call: "connect", subject: path, errno: Errno.wouldBlock)
                }
            }
        } catch {
            guard error.errno == ENOENT || error.errno == ECONNREFUSED else {
                throw failure("the running agent cannot be asked: \(error)")
            }
        }
        do throws(SystemError) {
            _ = try Socket.connectStart(.unix(path: control))
        } catch {
            return nil
        }
        throw failure("an agent runs here (\(control)) that cannot be taken over: its version does not know how")
    }

    private static func failure(_ text: String) -> StartFailure {
        StartFailure(
            exitCode: 1, lines: ["takeover: \(text)"],
            hint: "the running agent goes on; to replace it with a pause, stop it and start without --takeover")
    }

    private static func refused(_ answer: JSONValue) -> StartFailure {
        let reason = answer["reason"]?.string ?? "refused"
        let hint =
            switch reason {
            case "busy": "wait until the other one is done: mesh status"
            case "draining": "wait until it has ended, then start without --takeover"
            case "supervised": "run: systemctl kill --kill-whom=main --signal=USR2 mesh-agent"
            case "not_permitted": "run it as the agent's user or as root"
            default: "stop the running agent and start without --takeover"
            }
        return StartFailure(
            exitCode: 1, lines: ["takeover: refused (\(reason)): \(answer["detail"]?.string ?? "")"], hint: hint)
    }

    // MARK: - The way to the takeover

    /// The running agent closes its files; from here to `commit` it changes nothing.
    func freeze() async throws {
        try await ask("freeze", "frozen")
    }

    /// The running agent accepts nothing any more and sends its peers here. There is no way back.
    func commit() async throws -> (state: TakeoverState, directory: [UInt8]) {
        committedAt = Clock.monotonicNanoseconds()
        let answer = try await ask("commit", "handed")
        return (try TakeoverState(json: answer.json), answer.bytes)
    }

    @discardableResult
    private func ask(_ question: String, _ wanted: String) async throws -> TakeoverChannel.Message {
        do {
            channel.send(question)
            var answer = try await channel.next(within: Self.patience)
            while answer.type == "connection" {
                early.append(answer)
                answer = try await channel.next(within: Self.patience)
            }
            if answer.type == "failed" {
                throw TakeoverError(description: answer.json["detail"]?.string ?? "it failed")
            }
            guard answer.type == wanted else { throw TakeoverError(description: "\(answer.type) came") }
            return answer
        } catch {
            throw Self.failure("the running agent did not go along (\(question)): \(error)")
        }
    }

    /// This start has failed: the running agent is told why, and goes on.
    func abandon(_ error: any Error) async {
        channel.send("failed", ["detail": .string(FailureText(Agent.lines(of: error)).line)])
        await channel.drain(within: 1_000_000_000)
        channel.close("failed")
    }

    // MARK: - After it

    /// Everything is served. Takes what the old process still has to give, until it ends.
    ///
    /// - Parameters:
    ///   - adopt: gets connections that have no stream yet.
    ///   - audit: gets security events, of the process with this number.
    func follow(
        adopt: @escaping @ControlPlane (_ socket: consuming FileDescriptor, _ origin: String, [UInt8]) -> Void,
        audit: @escaping @ControlPlane (TakeoverChannel.Message, Int32) -> Void
    ) {
        pause = Double(Clock.monotonicNanoseconds() - committedAt) / 1e9
        log.info(
            "taken_over", "this process has taken over; the old one finishes what it has begun",
            [("pid", .init(Int(pid))), ("version", .string(version)), ("pause_ms", .init(Int(pause * 1e3)))])
        func take(_ message: TakeoverChannel.Message) {
            for descriptor in message.takeDescriptors() {
                connections += 1
                adopt(FileDescriptor(owning: descriptor), message.json["origin"]?.string ?? "", message.bytes)
            }
        }
        for message in early { take(message) }
        early = []
        Task { @ControlPlane in
            while let message = try? await channel.next() {
                switch message.type {
                case "connection": take(message)
                case "audit", "audit_lost": audit(message, pid)
                case "progress": streams = Int(message.json["streams"]?.integer ?? 0)
                default: break
                }
            }
            isGone = true
            log.info(
                "predecessor_ended", "the process before this one has ended",
                [("pid", .init(Int(pid))), ("streams", .init(streams))])
            streams = 0
        }
    }

    /// For `GET /v1/agent`.
    var json: JSONValue {
        [
            "pid": .init(Int(pid)), "version": .string(version), "running": .bool(!isGone), "streams": .init(streams),
            "connections": .init(connections), "pauseMilliseconds": .init(Int(pause * 1e3)),
        ]
    }
}
