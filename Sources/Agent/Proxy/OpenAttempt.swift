import Bytes
import Directory
import EventLoop
import Policy

/// An application's wish for a service, from its first byte until a serving agent accepted it.
///
/// Keeps the application's first bytes until then: a refused stream is tried at another instance, first bytes included
/// (docs/link-protocol.md, "Retry").
final class OpenAttempt {
    /// What an application that waits for an answer in its own protocol is told; `nil` for plain TCP, which sees a
    /// connection that works or a reset.
    struct Answers: Sendable {
        /// Sent before the service's first byte.
        let accepted: [UInt8]
        /// Sent before the end when there will be no stream.
        let failed: @Sendable (OpenFailure) -> [UInt8]
    }

    /// What becomes of a wish, for a caller inside the agent (the edge) who wants to know it as a value.
    enum Event: Sendable {
        /// A serving agent accepted the stream: bytes go to the service.
        case accepted
        /// There will be no stream, for this reason; the socket is closed.
        case failed(OpenFailure)
        /// The right to an accepted stream was withdrawn: a policy changed, here or at the serving node. The socket is
        /// closed after this.
        case ended(reason: String)
        /// The serving node takes no new streams where this one is, or its instance is not in the directory any more: it goes on, and
        /// what comes next had better have another.
        case leaving
        /// An accepted stream broke, at the service or on the way. The socket is closed after this, which alone would look
        /// like an end in order.
        case broken(reason: String)
    }

    /// Says that a caller inside the agent gives up its stream: where its pipe has become a socket pair, which knows no reset,
    /// its closing would look like an end in order. Set before it closes, on any thread.
    final class AbortMark: Sendable {
        private let mark = Locked(false)

        /// The stream is to be reset, not ended.
        func set() { mark.withLock { $0 = true } }

        /// Whether it is.
        var isSet: Bool { mark.withLock { $0 } }
    }

    /// The service that is wanted.
    let service: String
    /// Who asks, by name.
    let acting: ActingAs
    /// Only this node may serve it, where the caller says so.
    let node: String?
    /// Only this instance may serve it, where the caller says so.
    let instance: String?
    /// How the caller is named in logs: the upstream's address, `mesh connect`, …
    let origin: String
    /// Time to have a stream accepted, in nanoseconds.
    let timeout: UInt64
    /// What an application is told that waits for words.
    let answers: Answers?
    /// Who wants to know what becomes of it; called on any worker, before the socket shows it.
    let observer: (@Sendable (Event) -> Void)?
    /// Where such a caller says that it gives up; looked at when its socket is at the end.
    let abort: AbortMark?
    /// The upstream it came through, for its limit of connections.
    let upstream: UpstreamListener?

    /// The number by which `mesh connect` asks how its stream ended.
    var outcomeID: UInt64?
    /// When the wish is given up, on the monotonic clock; set when it starts, kept when it changes the worker.
    var deadline: UInt64?
    /// The instance that is being tried.
    var current: Candidate?
    /// `current` was chosen on another worker, and is to be tried here.
    var isMoved = false
    /// `current` is to be tried again, on another lane.
    var isKept = false
    /// The lane for which the connection came to this worker.
    var route: LaneRoute?
    /// Lanes to `current` that did not take the stream.
    var closedLanes: Set<UInt8> = []
    /// The observer has been told to leave `current`.
    var isToLeave = false
    /// The stream counts as load of `current`.
    var isCounted = false
    /// Instances that refused or could not be reached.
    var tried: Set<String> = []
    /// Why the last instance did not do.
    var lastFailure: OpenFailure?
    /// The stream was accepted; what is sent from now on is not kept.
    private(set) var isAccepted = false

    private var early = ByteQueue()
    private var replayed = 0

    init(
        service: String, acting: ActingAs, node: String? = nil, instance: String? = nil, origin: String,
        timeout: UInt64, answers: Answers? = nil, observer: (@Sendable (Event) -> Void)? = nil,
        abort: AbortMark? = nil, upstream: UpstreamListener? = nil, firstBytes: [UInt8] = []
    ) {
        self.service = service
        self.acting = acting
        self.node = node
        self.instance = instance
        self.origin = origin
        self.timeout = timeout
        self.answers = answers
        self.observer = observer
        self.abort = abort
        self.upstream = upstream
        early.append(firstBytes)
    }

    /// One place where the service could be had.
    struct Candidate {
        let node: String
        /// The instance's name; empty for built-in services.
        let instance: String
    }

    /// What is said when time is over.
    var timeoutFailure: OpenFailure {
        lastFailure ?? OpenFailure(kind: .unreachable, reason: "timeout", detail: "no instance answered in time")
    }

    /// The wish is for a built-in service: agents among themselves, or `mesh` asking one.
    var isBuiltIn: Bool { Policy.Name.isReserved(service) }

    /// The current stream was given bytes of the application: they may have reached a target.
    var hasSentBytes: Bool { replayed > 0 }

    /// There are kept bytes that the current stream has not been given.
    var hasReplay: Bool { replayed < early.count }

    /// All that was read from the application, of which no stream has taken anything; nil where one has.
    var unsentBytes: [UInt8]? {
        guard !isAccepted, replayed == 0 else { return nil }
        return early.withReadable { Array($0) }
    }

    /// Gives kept bytes to a new stream first. `nil` when there are none (left).
    func replay(into room: UnsafeMutableRawBufferPointer) -> Int? {
        guard hasReplay else { return nil }
        let start = replayed
        let count = early.withReadable { kept in
            let count = min(kept.count - start, room.count)
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: kept[start..<(start + count)]))
            return count
        }
        replayed += count
        if isAccepted, !hasReplay { early.removeAll(keepingCapacity: false) }
        return count
    }

    /// Keeps a copy of bytes that go out before the stream is accepted.
    func remember(_ bytes: UnsafeRawBufferPointer) {
        guard !isAccepted else { return }
        early.append(bytes)
        replayed += bytes.count
    }

    /// The stream was accepted: the copy is not needed any more, but for what was not replayed yet.
    func accepted() {
        isAccepted = true
        if !hasReplay {
            early.removeAll(keepingCapacity: false)
            replayed = 0
        }
    }

    /// The stream was refused: everything kept goes to the next one.
    func rewind() { replayed = 0 }
}
