/// What one transaction stores.
public struct StoreBatch: Sendable {
    /// New contents of nodes' rows; nil removes the row. A node appears once.
    public let rows: [(node: String, content: StoredNode?)]
    /// The revision after it.
    public let revision: UInt64

    /// A batch from its parts.
    public init(rows: [(node: String, content: StoredNode?)], revision: UInt64) {
        self.rows = rows
        self.revision = revision
    }
}

/// Collects commands while a transaction is under way and makes the next one of all that came meanwhile: so many
/// writers share one sync. Answers exist only after the sync. No thread and no clock of its own.
///
/// The cycle: ``enqueue(_:)`` as commands come; ``takeBatch(at:)`` whenever something may be pending; give the batch to
/// the store's thread; ``finish(_:at:)`` with what came of it.
public struct StoreWriter: Sendable {
    /// Names a command until its answer.
    public struct Ticket: Sendable, Hashable {
        let number: UInt64
    }

    /// What became of a command.
    public struct Completion: Sendable {
        /// The command's ticket; nil for what the directory did by itself.
        public let ticket: Ticket?
        /// What became of it, or why it could not be stored.
        public let result: Result<DirectoryState.Outcome, StoreError>
        /// The revision after it.
        public let revision: UInt64
    }

    /// What is to be done with the commands that were taken.
    public enum Step: Sendable {
        /// Nothing was pending, or a batch is under way.
        case idle
        /// Everything was answered without the store; call again.
        case answered([Completion])
        /// This has to be stored; then ``finish(_:at:)``.
        case commit(StoreBatch)
    }

    /// The most commands that wait. A command beyond is refused, so that a slow disk costs no memory.
    public static let maximumPending = 16_384
    /// The most commands of a batch: long enough to share a sync, short enough to bound the wait.
    public static let maximumBatch = 1_024
    /// After a failed transaction the directory does nothing by itself for this many milliseconds.
    static let failurePause: Int64 = 1_000

    private struct Pending {
        let ticket: Ticket?
        let command: DirectoryState.Command
    }

    private struct Applied {
        let pending: Pending
        let transition: DirectoryState.Transition
    }

    /// The state, with what is being stored.
    public private(set) var state: DirectoryState
    private var queue: [Pending] = []
    private var underway: [Applied] = []
    private var isUnderway = false
    private var pausedUntil: Int64 = .min
    private var nextTicket: UInt64 = 1

    /// A writer for a state.
    public init(state: DirectoryState) {
        self.state = state
    }

    /// Whether commands wait to be taken.
    public var hasPending: Bool { !queue.isEmpty }

    /// Whether a batch is under way.
    public var isCommitting: Bool { isUnderway }

    /// Takes in a command; nil when too many wait.
    public mutating func enqueue(_ command: DirectoryState.Command) -> Ticket? {
        guard queue.count < Self.maximumPending else { return nil }
        let ticket = Ticket(number: nextTicket)
        nextTicket += 1
        queue.append(Pending(ticket: ticket, command: command))
        return ticket
    }

    /// Takes in a command that nobody waits for: what the directory notices by itself. Never refused.
    public mutating func note(_ command: DirectoryState.Command) {
        queue.append(Pending(ticket: nil, command: command))
    }

    /// When ``takeBatch(at:)`` should be called at the latest, in monotonic milliseconds: a lease runs out.
    public mutating func nextDeadline() -> Int64? {
        guard !isUnderway, let deadline = state.nextDeadline() else { return nil }
        return max(deadline, pausedUntil)
    }

    /// Applies what is pending, renewals before the leases that run out, and says what has to be stored.
    public mutating func takeBatch(at now: DirectoryTime) -> Step {
        guard !isUnderway else { return .idle }
        var taken = Array(queue.prefix(Self.maximumBatch))
        queue.removeFirst(taken.count)
        if queue.isEmpty, now.monotonic >= pausedUntil {
            // A renewal that waits in the queue counts, although it has not been applied: no lease ends before it.
            taken += state.expired(at: now).map { Pending(ticket: nil, command: .expire(node: $0)) }
        }
        guard !taken.isEmpty else { return .idle }
        let applied = taken.map { Applied(pending: $0, transition: state.apply($0.command, at: now)) }
        let rows = Self.rows(applied)
        guard !rows.isEmpty else { return .answered(applied.map(Self.completion)) }
        underway = applied
        isUnderway = true
        return .commit(StoreBatch(rows: rows, revision: state.revision))
    }

    /// What has to be stored, each node once, with what it is after the last of its commands.
    private static func rows(_ applied: [Applied]) -> [(node: String, content: StoredNode?)] {
        var rows: [(node: String, content: StoredNode?)] = []
        rows.reserveCapacity(applied.count)
        var places = [String: Int](minimumCapacity: applied.count)
        for step in applied {
            guard let row = step.transition.row else { continue }
            if let place = places[row.node] {
                rows[place].content = row.content
            } else {
                places[row.node] = rows.count
                rows.append(row)
            }
        }
        return rows
    }

    /// Takes in what came of the batch: the completions in the order of the commands, and what readers may now see.
    ///
    /// When it failed, the state is as before. Renewals that need no store count all the same, so that a full disk ends
    /// no lease; everything else is answered with the error.
    public mutating func finish(
        _ result: Result<Void, StoreError>, at now: DirectoryTime
    ) -> (completions: [Completion], changes: [DirectoryChange]) {
        let applied = underway
        underway = []
        isUnderway = false
        switch result {
        case .success:
            return (applied.map(Self.completion), applied.compactMap(\.transition.change))
        case .failure(let error):
            pausedUntil = now.monotonic + Self.failurePause
            for step in applied.reversed() { state.undo(step.transition) }
            return (applied.map { renewedOrFailed($0, error, now) }, [])
        }
    }

    private mutating func renewedOrFailed(
        _ applied: Applied, _ error: StoreError, _ now: DirectoryTime
    ) -> Completion {
        if case .renew = applied.pending.command {
            let again = state.apply(applied.pending.command, at: now)
            if again.row == nil {
                return Completion(
                    ticket: applied.pending.ticket, result: .success(again.outcome), revision: state.revision)
            }
            state.undo(again)
        }
        return Completion(ticket: applied.pending.ticket, result: .failure(error), revision: state.revision)
    }

    private static func completion(_ applied: Applied) -> Completion {
        let transition = applied.transition
        return Completion(
            ticket: applied.pending.ticket, result: .success(transition.outcome), revision: transition.revision)
    }
}
