/// How long a node's registration lasts. Times are monotonic milliseconds.
public enum Lease: Sendable, Hashable {
    /// Renewed; without another renewal the node is lost then.
    case held(until: Int64)
    /// The link or the lease was lost; the node lapses then.
    case lost(until: Int64)
    /// Restored after a restart of the directory and not heard of since; the node is lost then.
    case unconfirmed(until: Int64)

    /// When something happens to it unless it is renewed.
    public var deadline: Int64 {
        switch self {
        case .held(let time), .lost(let time), .unconfirmed(let time): time
        }
    }
}

/// Deadlines of leases, the next one first. A renewal adds an entry; the overtaken ones are dropped when they come up,
/// or when they are many.
struct LeaseQueue: Sendable {
    private struct Entry {
        let deadline: Int64
        let node: String
    }

    private var heap: [Entry] = []

    /// The next entry's time; it may have been overtaken.
    var next: Int64? { heap.first?.deadline }

    var count: Int { heap.count }

    mutating func add(_ deadline: Int64, _ node: String) {
        heap.append(Entry(deadline: deadline, node: node))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].deadline < heap[parent].deadline else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the next entry if its time has come.
    mutating func take(at now: Int64) -> String? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        removeFirst()
        return first.node
    }

    /// Drops entries that do not say a node's present deadline.
    mutating func compact(_ isPresent: (String, Int64) -> Bool) {
        let kept = heap.filter { isPresent($0.node, $0.deadline) }
        heap = kept.sorted { $0.deadline < $1.deadline }
    }

    /// Drops the first entry if it does not say a node's present deadline; whether it did.
    mutating func dropFirst(unless isPresent: (String, Int64) -> Bool) -> Bool {
        guard let first = heap.first, !isPresent(first.node, first.deadline) else { return false }
        removeFirst()
        return true
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
