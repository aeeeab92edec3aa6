/// What a session knows of one stream. Trivial, about a hundred bytes: an idle stream costs no more.
struct Stream {
    /// Where a stream is between OPEN and ACCEPT.
    enum Phase: UInt8 {
        /// The place is free.
        case free
        /// We sent OPEN and wait for the answer.
        case opening
        /// The peer sent OPEN and waits for our answer.
        case offered
        /// Accepted.
        case open
        /// Ended here; only its REFUSE or RESET still waits to be written.
        case ending
    }

    struct Pending: OptionSet {
        let rawValue: UInt8
        static let accept = Pending(rawValue: 1)
        static let refuse = Pending(rawValue: 2)
        static let end = Pending(rawValue: 4)
        static let reset = Pending(rawValue: 8)
        static let credit = Pending(rawValue: 16)
        /// Bytes that another lane sent and the peer did not get there.
        static let tail = Pending(rawValue: 32)
    }

    /// A stream between two lanes.
    struct Marks: OptionSet {
        let rawValue: UInt8
        /// The peer was asked to go on with it on another lane.
        static let leaving = Marks(rawValue: 1)
        /// It came, or is to come, from another lane.
        static let transfer = Marks(rawValue: 2)
        /// The peer goes on with it here already; this end's part is still to come.
        static let arriving = Marks(rawValue: 4)
        /// The peer's end came on the lane before, and will come again here.
        static let endAgain = Marks(rawValue: 8)
        /// TRANSFER was sent or received, and is not answered yet.
        static let asked = Marks(rawValue: 16)
        /// It is the peer's, and has a place of the agent's quota.
        static let counted = Marks(rawValue: 32)
    }

    struct Links {
        static let none = UInt32.max
        var next = Links.none
        var previous = Links.none
    }

    var id: UInt64 = 0
    /// Bytes committed to the log, and the offset up to which the peer takes them.
    var sendOffset: UInt64 = 0
    var sendLimit: UInt64 = 0
    /// Bytes received, those of them that the application took, and the offset up to which the peer may send.
    var receiveOffset: UInt64 = 0
    var consumed: UInt64 = 0
    var receiveLimit: UInt64 = 0
    /// When the limit was raised last.
    var lastGrant: UInt64 = 0
    /// Count of sequenced frames up to and including our OPEN.
    var openSequence: UInt64 = 0
    /// Numbers of frames in the log between which all DATA and END of the stream lie that the peer may not have acknowledged:
    /// the first, and the one behind the last. Both at or below what is acknowledged: there are none.
    var firstWritten: UInt64 = 0
    var endWritten: UInt64 = 0
    /// What the stream has reserved from the budget; `receiveLimit` never exceeds `consumed + window`.
    var window: UInt32 = 0
    var generation: UInt32 = 0
    var ring = Links()
    var control = Links()
    var pendingReason: UInt16 = 0
    var pendingRetry: UInt32 = 0
    /// So many bytes come again that were received on the lane before.
    var duplicate: UInt32 = 0
    var phase = Phase.free
    var pending: Pending = []
    var marks: Marks = []
    var readable = false
    var sendFinished = false
    var receiveFinished = false
    var inSparse = false
    var inBulk = false
    /// The last turn was a full one.
    var isBulk = false
    var inControl = false
    var isLocal = false

    var credit: UInt64 { sendLimit - sendOffset }
    var unread: UInt64 { receiveOffset - consumed }
}

/// The places of a session's streams: stable indices, memory that grows by doubling and is given back when the last
/// stream ends.
struct StreamSlab: ~Copyable {
    private var base: UnsafeMutablePointer<Stream>?
    private(set) var capacity = 0
    private(set) var count = 0
    private var firstFree = Stream.Links.none
    private var nextGeneration: UInt32 = 1

    private static let smallest = 8
    /// Up to this many places are kept when the session becomes idle.
    private static let kept = 64

    deinit { base?.deallocate() }

    var byteCount: Int { capacity * MemoryLayout<Stream>.stride }

    /// The stream in `slot`, which is below `capacity`. Not to be used after `allocate` or `release`.
    subscript(slot: UInt32) -> UnsafeMutablePointer<Stream> {
        precondition(Int(slot) < capacity, "no such slot")
        return base.unsafelyUnwrapped + Int(slot)
    }

    /// The live stream that `handle` names, or nil.
    func find(_ handle: StreamHandle) -> UnsafeMutablePointer<Stream>? {
        guard Int(handle.slot) < capacity, let base else { return nil }
        let stream = base + Int(handle.slot)
        guard stream.pointee.generation == handle.generation, stream.pointee.phase != .free,
            stream.pointee.phase != .ending
        else { return nil }
        return stream
    }

    /// A place with a new generation, all else as in `Stream()`.
    mutating func allocate() -> UInt32 {
        if firstFree == Stream.Links.none { grow() }
        let slot = firstFree
        let stream = self[slot]
        firstFree = stream.pointee.ring.next
        stream.pointee = Stream()
        stream.pointee.generation = nextGeneration
        nextGeneration &+= 1
        count += 1
        return slot
    }

    mutating func release(_ slot: UInt32) {
        let stream = self[slot]
        stream.pointee = Stream()
        stream.pointee.ring.next = firstFree
        firstFree = slot
        count -= 1
        if count == 0, capacity > StreamSlab.kept {
            base?.deallocate()
            base = nil
            capacity = 0
            firstFree = Stream.Links.none
        }
    }

    private mutating func grow() {
        let larger = max(capacity * 2, StreamSlab.smallest)
        let memory = UnsafeMutablePointer<Stream>.allocate(capacity: larger)
        if let base {
            memory.moveInitialize(from: base, count: capacity)
            base.deallocate()
        }
        for slot in (capacity..<larger).reversed() {
            (memory + slot).initialize(to: Stream())
            memory[slot].ring.next = firstFree
            firstFree = UInt32(slot)
        }
        base = memory
        capacity = larger
    }
}
