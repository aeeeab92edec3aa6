/// A growable first-in, first-out queue of bytes, contiguous in memory.
///
/// The bytes lie in one allocation: consumed space, then the *readable* region, then *writable* space. A reader looks at
/// the whole readable region at once and consumes from its front; a writer reserves space at the tail, fills it (a
/// `recv` straight into the queue, for example) and commits what it filled. Moving bytes is amortised: the queue
/// compacts only when that costs no more than the bytes consumed since, or next to nothing.
///
/// An empty queue that never held a byte has no allocation. Not thread-safe: its owner uses it alone.
public struct ByteQueue: ~Copyable {
    /// Moving up to this many bytes is always preferred to growing: it costs less than the allocation would.
    @usableFromInline static var cheapMove: Int { 4096 }

    /// Smallest allocation; below this the allocator's own overhead dominates.
    @usableFromInline static var smallestCapacity: Int { 256 }

    @usableFromInline var base: UnsafeMutableRawPointer?
    @usableFromInline var allocated: Int
    /// Offset of the first readable byte.
    @usableFromInline var head: Int
    /// Offset behind the last readable byte. Invariant: 0 ≤ head ≤ tail ≤ allocated; an empty queue has head = tail = 0.
    @usableFromInline var tail: Int

    /// An empty queue without an allocation.
    @inlinable
    public init() {
        base = nil
        allocated = 0
        head = 0
        tail = 0
    }

    /// An empty queue with room for at least `minimumCapacity` bytes.
    @inlinable
    public init(minimumCapacity: Int) {
        self.init()
        if minimumCapacity > 0 { grow(to: minimumCapacity) }
    }

    @inlinable
    deinit { base?.deallocate() }

    /// Number of readable bytes.
    @inlinable
    public var count: Int { tail &- head }

    /// Whether there is nothing to read.
    @inlinable
    public var isEmpty: Bool { head == tail }

    /// Size of the allocation in bytes.
    @inlinable
    public var capacity: Int { allocated }

    /// The readable byte at `index`, counted from the front.
    @inlinable
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count, "index beyond the readable bytes")
        return base.unsafelyUnwrapped.load(fromByteOffset: head &+ index, as: UInt8.self)
    }
}

// MARK: - Reading

extension ByteQueue {
    /// Calls `body` with the readable region, which is valid only during the call.
    @inlinable
    public func withReadable<R: ~Copyable, E>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        guard let base, tail > head else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return try body(UnsafeRawBufferPointer(start: base + head, count: tail &- head))
    }

    /// Calls `body` with the readable region for work in place (unmasking, decrypting); valid only during the call.
    @inlinable
    public mutating func withMutableReadable<R: ~Copyable, E>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        guard let base, tail > head else { return try body(UnsafeMutableRawBufferPointer(start: nil, count: 0)) }
        return try body(UnsafeMutableRawBufferPointer(start: base + head, count: tail &- head))
    }

    /// Drops the first `n` readable bytes; there must be that many.
    @inlinable
    public mutating func consume(_ n: Int) {
        precondition(n >= 0 && n <= tail &- head, "more consumed than readable")
        head &+= n
        if head == tail {
            head = 0
            tail = 0
        }
    }

    /// A copy of the readable bytes.
    @inlinable
    public func copyBytes() -> [UInt8] { withReadable { [UInt8]($0) } }
}

// MARK: - Writing

extension ByteQueue {
    /// All writable space at the tail, made to be at least `n` bytes by compacting or growing.
    ///
    /// The space is valid until the next mutation; what was written there becomes readable with `commit`.
    @inlinable
    public mutating func reserve(_ n: Int) -> UnsafeMutableRawBufferPointer {
        precondition(n >= 0, "negative reservation")
        if allocated &- tail < n { makeRoom(n) }
        guard let base else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        return UnsafeMutableRawBufferPointer(start: base + tail, count: allocated &- tail)
    }

    /// Makes the first `n` bytes of the writable space readable; they must have been reserved.
    @inlinable
    public mutating func commit(_ n: Int) {
        precondition(n >= 0 && n <= allocated &- tail, "more committed than reserved")
        tail &+= n
    }

    /// Appends a copy of `bytes`, which must not lie in this queue.
    @inlinable
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        if allocated &- tail < bytes.count { makeRoom(bytes.count) }
        (base.unsafelyUnwrapped + tail).copyMemory(from: source, byteCount: bytes.count)
        tail &+= bytes.count
    }

    /// Appends a copy of `bytes`.
    @inlinable
    public mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Appends a copy of `bytes`.
    @inlinable
    public mutating func append(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Appends the UTF-8 bytes of `text`.
    @inlinable
    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends one byte.
    @inlinable
    public mutating func append(_ byte: UInt8) {
        if allocated == tail { makeRoom(1) }
        base.unsafelyUnwrapped.storeBytes(of: byte, toByteOffset: tail, as: UInt8.self)
        tail &+= 1
    }
}

// MARK: - Memory

extension ByteQueue {
    /// Drops all readable bytes and, unless told otherwise, the allocation too.
    @inlinable
    public mutating func removeAll(keepingCapacity: Bool = false) {
        head = 0
        tail = 0
        if !keepingCapacity { release() }
    }

    /// Gives the allocation back if the queue is empty and larger than `keeping` bytes.
    ///
    /// Call it when a connection goes idle: an empty queue then costs nothing but itself.
    @inlinable
    public mutating func shrinkIfEmpty(keeping: Int = 0) {
        if head == tail, allocated > keeping { release() }
    }

    @usableFromInline
    mutating func release() {
        base?.deallocate()
        base = nil
        allocated = 0
    }

    /// Compacts or grows so that `n` bytes are writable at the tail.
    @usableFromInline
    mutating func makeRoom(_ n: Int) {
        let count = tail &- head
        let (needed, overflow) = count.addingReportingOverflow(n)
        precondition(!overflow, "a queue longer than memory")
        if needed <= allocated, head >= count || count <= Self.cheapMove, let base {
            base.copyMemory(from: base + head, byteCount: count)
            head = 0
            tail = count
        } else {
            // Room that exists but would cost a large move for few consumed bytes also ends here; since then
            // head < count, the new capacity stays below four times what is in use.
            grow(to: Swift.max(needed, needed <= allocated ? 2 * allocated : 0))
        }
    }

    /// Moves the readable bytes to the start of a new allocation of at least `minimum` bytes.
    @usableFromInline
    mutating func grow(to minimum: Int) {
        let size = Self.roundedUp(Swift.max(minimum, Self.smallestCapacity))
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        let count = tail &- head
        if let base {
            fresh.copyMemory(from: base + head, byteCount: count)
            base.deallocate()
        }
        base = fresh
        allocated = size
        head = 0
        tail = count
    }

    /// The next power of two, or `n` itself where that would not fit.
    @usableFromInline
    static func roundedUp(_ n: Int) -> Int {
        let shift = Int.bitWidth - (n - 1).leadingZeroBitCount
        return shift >= Int.bitWidth - 1 ? n : 1 << shift
    }
}
