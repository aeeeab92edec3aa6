/// Timers by deadline: a binary heap over a slab.
///
/// Cancelling empties the slot and leaves the heap's entry behind, to be skipped when it comes up; when most entries are
/// such, the heap is built anew. Timers with the same deadline fire in the order in which they were scheduled.
struct TimerHeap {
    private struct Entry {
        let deadline: UInt64
        let sequence: UInt64
        let id: TimerID

        @inline(__always)
        static func < (left: Entry, right: Entry) -> Bool {
            left.deadline != right.deadline ? left.deadline < right.deadline : left.sequence < right.sequence
        }
    }

    private struct Slot {
        var target: (any TimerHandler)?
        var tag: Int
        var generation: UInt32
    }

    /// Below this many cancelled entries rebuilding the heap is not worth it.
    private static let fewCancelled = 64

    private var entries: [Entry] = []
    private var slots: [Slot] = []
    private var free: [UInt32] = []
    private var cancelled = 0
    /// The number of the next timer; those from here on were not scheduled yet.
    private(set) var nextSequence: UInt64 = 0

    /// How many timers are scheduled.
    var count: Int { entries.count - cancelled }

    /// How many entries the heap holds, those of cancelled timers included.
    var entryCount: Int { entries.count }

    mutating func schedule(at deadline: UInt64, _ target: any TimerHandler, tag: Int) -> TimerID {
        let id: TimerID
        if let slot = free.popLast() {
            id = TimerID(slot: slot, generation: slots[Int(slot)].generation)
            slots[Int(slot)].target = target
            slots[Int(slot)].tag = tag
        } else {
            id = TimerID(slot: UInt32(slots.count), generation: 1)
            slots.append(Slot(target: target, tag: tag, generation: 1))
        }
        entries.append(Entry(deadline: deadline, sequence: nextSequence, id: id))
        nextSequence += 1
        siftUp(entries.count - 1)
        return id
    }

    /// Cancels a timer and returns its target; nil where the timer is over.
    mutating func cancel(_ id: TimerID) -> (any TimerHandler)? {
        guard isAlive(id) else { return nil }
        let target = clear(id)
        cancelled += 1
        if cancelled > Self.fewCancelled, cancelled > entries.count / 2 { rebuild() }
        return target
    }

    /// The earliest deadline; nil without timers.
    mutating func nextDeadline() -> UInt64? {
        dropCancelled()
        return entries.first?.deadline
    }

    /// Removes the first timer that is due at `now` and was scheduled before the one with number `limit`.
    mutating func popDue(at now: UInt64, before limit: UInt64) -> (target: any TimerHandler, tag: Int)? {
        dropCancelled()
        guard let first = entries.first, first.deadline <= now, first.sequence < limit else { return nil }
        removeFirst()
        let tag = slots[Int(first.id.slot)].tag
        guard let target = clear(first.id) else { return nil }
        return (target, tag)
    }

    private func isAlive(_ id: TimerID) -> Bool {
        Int(id.slot) < slots.count && slots[Int(id.slot)].generation == id.generation
    }

    private mutating func clear(_ id: TimerID) -> (any TimerHandler)? {
        slots[Int(id.slot)].generation &+= 1
        free.append(id.slot)
        return slots[Int(id.slot)].target.take()
    }

    private mutating func dropCancelled() {
        while let first = entries.first, !isAlive(first.id) {
            removeFirst()
            cancelled -= 1
        }
    }

    private mutating func rebuild() {
        var alive: [Entry] = []
        alive.reserveCapacity(count)
        for entry in entries where isAlive(entry.id) { alive.append(entry) }
        entries = alive
        cancelled = 0
        for index in stride(from: entries.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
    }

    private mutating func removeFirst() {
        let last = entries.removeLast()
        if !entries.isEmpty {
            entries[0] = last
            siftDown(0)
        }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = entries[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry < entries[parent] else { break }
            entries[index] = entries[parent]
            index = parent
        }
        entries[index] = entry
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = entries[index]
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count, entries[child + 1] < entries[child] { child += 1 }
            guard entries[child] < entry else { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
