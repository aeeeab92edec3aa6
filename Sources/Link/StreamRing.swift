/// A circular list of slots, threaded through the streams themselves: the scheduler's rounds of streams that can send, and
/// the queue of streams with control frames to write. Every operation takes constant time and no memory.
struct StreamRing: ~Copyable {
    private(set) var head = Stream.Links.none
    private(set) var count = 0
    private let links: Int
    private let flag: Int

    /// Streams that wait for a turn of their own before bulk. A stream is in this ring, in the bulk ring, or in neither.
    static func sparse() -> StreamRing { StreamRing(links: \.ring, flag: \.inSparse) }

    /// The round of streams that move bulk.
    static func bulk() -> StreamRing { StreamRing(links: \.ring, flag: \.inBulk) }

    /// The queue of control frames.
    static func control() -> StreamRing { StreamRing(links: \.control, flag: \.inControl) }

    private init(links: PartialKeyPath<Stream>, flag: PartialKeyPath<Stream>) {
        guard let links = MemoryLayout<Stream>.offset(of: links), let flag = MemoryLayout<Stream>.offset(of: flag)
        else {
            preconditionFailure("Stream has a layout without offsets")
        }
        self.links = links
        self.flag = flag
    }

    private func links(of slot: UInt32, _ slab: borrowing StreamSlab) -> UnsafeMutablePointer<Stream.Links> {
        (UnsafeMutableRawPointer(slab[slot]) + links).assumingMemoryBound(to: Stream.Links.self)
    }

    private func member(_ slot: UInt32, _ slab: borrowing StreamSlab) -> UnsafeMutablePointer<Bool> {
        (UnsafeMutableRawPointer(slab[slot]) + flag).assumingMemoryBound(to: Bool.self)
    }

    /// Adds `slot` at the end, unless it is in.
    mutating func insert(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        guard !member(slot, slab).pointee else { return }
        member(slot, slab).pointee = true
        count += 1
        guard head != Stream.Links.none else {
            head = slot
            links(of: slot, slab).pointee = Stream.Links(next: slot, previous: slot)
            return
        }
        let last = links(of: head, slab).pointee.previous
        links(of: slot, slab).pointee = Stream.Links(next: head, previous: last)
        links(of: last, slab).pointee.next = slot
        links(of: head, slab).pointee.previous = slot
    }

    /// Takes `slot` out, if it is in.
    mutating func remove(_ slot: UInt32, _ slab: borrowing StreamSlab) {
        guard member(slot, slab).pointee else { return }
        member(slot, slab).pointee = false
        count -= 1
        if count == 0 {
            head = Stream.Links.none
            return
        }
        let old = links(of: slot, slab).pointee
        links(of: old.previous, slab).pointee.next = old.next
        links(of: old.next, slab).pointee.previous = old.previous
        if head == slot { head = old.next }
    }

    /// The first slot, which becomes the last. The list is not empty.
    mutating func rotate(_ slab: borrowing StreamSlab) -> UInt32 {
        let slot = head
        head = links(of: slot, slab).pointee.next
        return slot
    }
}
