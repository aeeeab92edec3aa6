import Glibc

/// The segments that outgoing frames are written into and kept in until acknowledged. One pool per worker; not Sendable.
///
/// Segments are mapped pages, so that giving one back to the system is exact and never a question of malloc's mood. Free
/// ones are kept; `trim` returns those that were not needed since the last `trim`.
public final class SegmentPool {
    /// Size of a segment in bytes: four full frames, and large enough that a segment change costs nothing per byte.
    public static let segmentSize = 256 << 10

    private var free: [UnsafeMutableRawPointer] = []
    private var fewestFree = 0
    private var inUse = 0
    private let keep: Int

    /// Called when the first free segment comes in: from then on `trim` has something to do.
    public var becameFree: (() -> Void)?

    /// The most segments in use at once for application data. Control frames may go beyond by a little, and each session by
    /// two segments (`Outbox.acceptsData`).
    public let limit: Int

    /// The most segments that one `trim` returns: some two milliseconds of the kernel's work.
    static let trimBatch = 128

    /// A pool that keeps up to `keep` free segments and lends at most `limit` for application data. A link whose log is
    /// empty holds none, so hundreds of links take and give some with every message: fewer than that kept, and each
    /// message would map memory anew.
    public init(keep: Int = 1_024, limit: Int = 4_096) {
        self.keep = keep
        self.limit = limit
    }

    deinit {
        for segment in free { SegmentPool.unmap(segment) }
    }

    /// Segments that sessions hold now.
    public var segmentsInUse: Int { inUse }

    /// Segments that wait for use, with their memory.
    public var segmentsFree: Int { free.count }

    /// Whether application data may still take segments.
    var hasRoomForData: Bool { inUse < limit }

    /// A segment, or nil when the system has no memory.
    func take() -> UnsafeMutableRawPointer? {
        if let segment = free.popLast() {
            if free.count < fewestFree { fewestFree = free.count }
            inUse += 1
            return segment
        }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS
        guard let segment = mmap(nil, SegmentPool.segmentSize, PROT_READ | PROT_WRITE, flags, -1, 0),
            segment != UnsafeMutableRawPointer(bitPattern: -1)
        else { return nil }
        inUse += 1
        return segment
    }

    /// Takes a segment back.
    func give(_ segment: UnsafeMutableRawPointer) {
        inUse -= 1
        if free.count < keep {
            free.append(segment)
            if free.count == 1 { becameFree?() }
        } else {
            SegmentPool.unmap(segment)
        }
    }

    /// Returns the segments to the system that nobody needed since the last call. To be called again and again while there
    /// are free ones.
    public func trim() {
        let surplus = min(fewestFree, free.count, Self.trimBatch)
        for segment in free[..<surplus] { SegmentPool.unmap(segment) }
        free.removeFirst(surplus)
        fewestFree = free.count
    }

    private static func unmap(_ segment: UnsafeMutableRawPointer) {
        let result = munmap(segment, segmentSize)
        precondition(result == 0, "munmap of a segment failed")
    }
}
