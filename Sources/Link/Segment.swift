internal import Bytes
internal import WebSocket

/// A view of one segment of the log. Its bookkeeping lies in the segment's first bytes, so that a log of any length takes
/// no other memory.
struct Segment: Equatable {
    private struct Header {
        var next: UnsafeMutableRawPointer?
        var used: Int
        var firstSequence: UInt64
        var sequencedFrames: UInt64
    }

    /// Offset of the first frame; a cache line for the bookkeeping.
    static let start = 64

    let base: UnsafeMutableRawPointer

    /// An empty segment in `base`.
    init(base: UnsafeMutableRawPointer, firstSequence: UInt64) {
        self.base = base
        base.initializeMemory(
            as: Header.self,
            to: Header(next: nil, used: Segment.start, firstSequence: firstSequence, sequencedFrames: 0))
    }

    private init(existing: UnsafeMutableRawPointer) { base = existing }

    private var header: UnsafeMutablePointer<Header> { base.assumingMemoryBound(to: Header.self) }

    var next: Segment? {
        get { header.pointee.next.map(Segment.init(existing:)) }
        nonmutating set { header.pointee.next = newValue?.base }
    }

    /// Offset behind the last frame.
    var used: Int {
        get { header.pointee.used }
        nonmutating set { header.pointee.used = newValue }
    }

    /// Number of the first sequenced frame in the segment, or of the next one while it has none.
    var firstSequence: UInt64 { header.pointee.firstSequence }

    var sequencedFrames: UInt64 {
        get { header.pointee.sequencedFrames }
        nonmutating set { header.pointee.sequencedFrames = newValue }
    }
}

/// Goes through the frames of a segment and takes their masks off. Each frame can be visited once. Each says itself whether
/// it is masked: the log of a session that moved has frames of both roles.
struct FrameWalker {
    private let segment: Segment
    private var offset = Segment.start

    init(segment: Segment) { self.segment = segment }

    /// The next frame, link header and payload, unmasked in place.
    mutating func next() -> UnsafeRawBufferPointer? {
        guard offset < segment.used else { return nil }
        let start = segment.base + offset
        let second = start.load(fromByteOffset: 1, as: UInt8.self)
        let short = Int(second & 0x7F)
        let length = short == 126 ? Int(start.loadBE16(at: 2)) : short
        var header = short == 126 ? 4 : 2
        if second & 0x80 != 0 {
            let key = UInt32(littleEndian: start.loadUnaligned(fromByteOffset: header, as: UInt32.self))
            header += Outbox.keySize
            Masking.apply(key, to: UnsafeMutableRawBufferPointer(start: start + header, count: length))
        }
        offset += header + length
        return UnsafeRawBufferPointer(start: start + header, count: length)
    }
}
