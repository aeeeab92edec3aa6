import EventLoop
import HTTP
import JSON
import Policy

/// The conversations of the control API: of the control socket, and of streams to the agents' built-in services. Each costs the
/// control plane a descriptor and memory outside of the receive budget, so there is an end to their number, for each caller
/// and for all, to the bytes that they hold, and to the time for which nothing moves.
@ControlPlane
final class ControlConnections {
    /// The most that one node may have at once: an agent needs two at the directory, and one more while a document passes. As many
    /// again have all together who speak through it, so that they do not keep its agent from its directory.
    static let maximumOfNode = 64
    /// The most of one local user, whose programs may be many.
    static let maximumOfUser = 256
    /// The most of all: so many, and for each node that may have a link …
    static let maximum = 1_024
    /// … so many.
    static let maximumPerLink = 4
    /// What requests and answers of all of them may hold together, in bytes: as many as 16 whole answers of the largest kind.
    static let maximumBytes = 256 << 20
    /// Of them those of one caller: eight of the largest requests. So no one of them keeps the others out.
    static let maximumBytesOfCaller = 64 << 20
    /// One on which nothing moves for so long is closed, in nanoseconds, unless it waits for an answer of ours. Longer than the
    /// time between two renewals of a registration as it is configured usually.
    private static let idleTimeout: UInt64 = 300_000_000_000

    /// Why one was refused; a label of a counter.
    enum Refusal: String, CaseIterable {
        /// Its caller has as many as he may.
        case caller
        /// There are as many as there may be.
        case total
        /// Its caller's requests and answers hold all the memory that they may.
        case callerMemory = "caller_memory"
        /// Requests and answers of all hold all the memory that they may.
        case memory
    }

    private unowned let agent: Agent
    private var connections: [UInt64: HTTPServerConnection] = [:]
    private var counts: [String: Int] = [:]
    private var next: UInt64 = 0
    private let memory = ControlMemory(limit: maximumBytes, share: maximumBytesOfCaller)
    private var reported: Set<String> = []
    /// How many were refused, by reason.
    private(set) var refusals: [Refusal: UInt64] = [:]

    init(of agent: Agent) {
        self.agent = agent
        memory.exhausted = { [weak self] in self?.note($1 ? .callerMemory : .memory, $0) }
    }

    /// How many there are.
    var count: Int { connections.count }

    /// Bytes of requests and answers that wait.
    var bytes: Int { memory.used }

    private var maximum: Int { Self.maximum + Self.maximumPerLink * agent.configuration.limits.maxLinks }

    /// Serves the control API on a socket.
    func serve(
        _ descriptor: consuming FileDescriptor, _ caller: ControlCaller,
        _ handler: @escaping HTTPServerConnection.Handler
    ) {
        let owner = caller.owner
        if let refusal = refusal(of: caller) {
            note(refusal, owner)
            let text = refusal == .caller ? "\(owner) has \(caller.maximumConnections)" : "there are \(maximum)"
            return Self.refuse(descriptor, "\(text) conversations with the agent at once, which are all that it takes")
        }
        let number = next
        next += 1
        let connection = HTTPServerConnection(
            descriptor, caller: caller, idleTimeout: Self.idleTimeout, memory: caller.isItself ? nil : memory,
            handler: handler,
            onClose: { [weak self] in self?.closed(number, owner) })
        do throws(SystemError) {
            try connection.start()
            connections[number] = connection
            counts[owner, default: 0] += 1
        } catch {
            agent.log.error(
                "control_failed", "a connection could not be served", [("detail", .string("\(error)"))])
        }
    }

    /// Ends the conversations; each gets the answer that it waits for.
    func finish() {
        for connection in Array(connections.values) { connection.finish() }
    }

    private func refusal(of caller: ControlCaller) -> Refusal? {
        if caller.isItself { return nil }
        if counts[caller.owner, default: 0] >= caller.maximumConnections { return .caller }
        return connections.count >= maximum ? .total : nil
    }

    private func closed(_ number: UInt64, _ owner: String) {
        guard connections.removeValue(forKey: number) != nil else { return }
        let left = counts[owner, default: 1] - 1
        counts[owner] = left > 0 ? left : nil
        if left < Self.maximumOfNode / 2 { reported.remove(owner) }
        if connections.isEmpty { reported = [] }
    }

    /// Counts a refusal; what repeats is said once, until the caller has less again.
    private func note(_ refusal: Refusal, _ owner: String) {
        refusals[refusal, default: 0] += 1
        let whose = refusal == .caller || refusal == .callerMemory ? owner : refusal.rawValue
        guard reported.count < 1_024, reported.insert(whose).inserted else { return }
        agent.log.warning(
            "control_overloaded", "a conversation with the agent was refused",
            [
                ("reason", .string(refusal.rawValue)), ("caller", .string(owner)),
                ("hint", .string("see mesh_control_refusals_total, and who connects in a loop")),
            ])
    }

    /// Says why, without reading anything, and closes.
    private static func refuse(_ descriptor: consuming FileDescriptor, _ text: String) {
        var response = Problem("overloaded", status: 503, detail: text).response()
        response.head.headers.set("Retry-After", "5")
        response.head.headers.set("Connection", "close")
        let bytes = response.encoded()
        // A new socket takes so little at once.
        _ = bytes.withUnsafeBytes { Syscall.send(descriptor.rawValue, $0) }
    }
}

/// What requests and answers of the control API may hold together.
@ControlPlane
final class ControlMemory {
    /// The bound, in bytes.
    let limit: Int
    /// The bound of each caller.
    let share: Int
    /// Bytes held now.
    private(set) var used = 0
    private var shares: [String: Int] = [:]
    /// Somebody did not get what he needed; whether it was his own share that is used up.
    var exhausted: @ControlPlane (_ owner: String, _ isOwnShare: Bool) -> Void = { _, _ in }

    init(limit: Int, share: Int) {
        self.limit = limit
        self.share = share
    }

    /// One connection of `owner` holds `now` bytes instead of `before`; false, and nothing changed, when that is too much. Less is
    /// always taken, and the only one of its owner may hold more than his share: a large directory's snapshot.
    func change(of owner: String, from before: Int, to now: Int) -> Bool {
        guard now != before else { return true }
        let others = shares[owner, default: 0] - before
        let held = others + now
        let isBeyondShare = held > share && others > 0
        guard now < before || !isBeyondShare && used + now - before <= limit else {
            exhausted(owner, isBeyondShare)
            return false
        }
        used += now - before
        shares[owner] = held > 0 ? held : nil
        return true
    }
}

extension ControlCaller {
    /// The agent's own conversations with itself are few, and what it does depends on them: they are never refused.
    fileprivate var isItself: Bool {
        if case .itself = self { true } else { false }
    }

    /// Whose share of the connections it takes: a node has one of its own, everybody who speaks through it another, and so has
    /// who shows the node's certificate without a right to link.
    var owner: String {
        switch self {
        case .user(let user): user.description
        case .peer(let principal, let node):
            principal.id.description == "node:\(node)" ? "node:\(node)" : "others via node:\(node)"
        case .bearer(let node): "node:\(node), which has no right to link"
        case .itself: "itself"
        case .loopback: "loopback"
        }
    }

    /// How many of them it may have.
    @ControlPlane fileprivate var maximumConnections: Int {
        if case .user = self { ControlConnections.maximumOfUser } else { ControlConnections.maximumOfNode }
    }
}
