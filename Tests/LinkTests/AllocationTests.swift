import CAllocations
import Glibc
import Link
import Testing
import WebSocket

/// Two sessions joined by a plain buffer: the byte path as the agent drives it, without tests' bookkeeping in it.
private final class BytePath {
    let sender: Session
    let receiver: Session
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    private var filled = 0
    private var forward: FrameReader
    private var backward: FrameReader
    private var now: UInt64 = 1_000_000_000
    private(set) var frames = 0
    private(set) var bytes = 0

    init() {
        let pool = SegmentPool()
        let budget = ReceiveBudget()
        let masks = MaskKeys()
        func session(_ role: LinkRole, _ parity: StreamParity, _ now: UInt64) -> Session {
            Session(
                role: role, parity: parity, peer: Harness.hello(), budget: budget, pool: pool, masks: masks, seed: 1,
                now: now, unixMilliseconds: 1)
        }
        sender = session(.dialler, .even, now)
        receiver = session(.acceptor, .odd, now)
        let limit = LinkFrame.headerSize + LinkFrame.maximumPayload
        forward = FrameReader(role: .server, maximumFramePayload: limit)
        backward = FrameReader(role: .client, maximumFramePayload: limit)
    }

    deinit { buffer.deallocate() }

    /// Opens `count` streams, accepts them and marks them readable.
    func open(_ count: Int) throws -> [StreamHandle] {
        var handles: [StreamHandle] = []
        for _ in 0..<count {
            handles.append(try sender.open(OpenRequest(service: "db"), now: now))
            exchange()
        }
        for handle in handles { sender.markReadable(handle) }
        return handles
    }

    /// One tick: `turns` frames of up to `size` bytes, over the wire, consumed, acknowledged.
    func tick(turns: Int, size: Int) {
        for _ in 0..<turns {
            guard let ready = sender.nextReady(),
                let room = sender.sendRoom(ready.stream, atMost: min(size, ready.quantum))
            else { break }
            sender.commit(ready.stream, room.count)
        }
        exchange()
        now += 100_000
    }

    private func exchange() {
        move(from: sender, to: receiver, &forward)
        move(from: receiver, to: sender, &backward)
    }

    private func move(from: Session, to: Session, _ reader: inout FrameReader) {
        if now >= from.nextDeadline { _ = from.advance(now: now) }
        from.flushControl(now: now)
        while true {
            let moved = from.withUnsent { range in
                let count = min(range.count, buffer.count - filled)
                (buffer.baseAddress! + filled).copyMemory(from: range.baseAddress!, byteCount: count)
                filled += count
                return count
            }
            if moved == 0 { break }
        }
        var start = 0
        while case .message(_, let payload, let consumed) = reader.next(
            UnsafeMutableRawBufferPointer(rebasing: buffer[start..<filled]))
        {
            let frame = UnsafeRawBufferPointer(
                rebasing: buffer[start..<filled][start + payload.lowerBound..<start + payload.upperBound])
            frames += 1
            switch to.received(frame, now: now) {
            case .opened(let stream): to.accept(stream)
            case .data(let stream, let range, _):
                bytes += range.count
                to.consumed(stream, range.count)
            case .violation(let reason): preconditionFailure("violation \(reason)")
            default: break
            }
            start += consumed
        }
        (buffer.baseAddress!).copyMemory(from: buffer.baseAddress! + start, byteCount: filled - start)
        filled -= start
    }
}

@Suite struct AllocationTests {
    #if DEBUG
        static let isOptimised = false
    #else
        static let isOptimised = true
    #endif
    static let frames = 100_000

    /// No allocation per frame, whatever the mixture: bulk, small messages, several streams; credit, acknowledgement and
    /// ping frames included.
    @Test(
        .enabled(if: isOptimised, "without the optimiser, values that end on the stack are allocated"),
        arguments: [(1, 65_280, 4), (1, 64, 1), (64, 64, 64), (8, 20_000, 16)])
    func steadyStateAllocatesNothing(_ streams: Int, _ size: Int, _ turns: Int) throws {
        guard callocations_count() >= 0 else { return }
        let path = BytePath()
        _ = try path.open(streams)
        for _ in 0..<2_000 { path.tick(turns: turns, size: size) }
        let framesBefore = path.frames
        let bytesBefore = path.bytes
        let before = callocations_count()
        while path.frames - framesBefore < AllocationTests.frames { path.tick(turns: turns, size: size) }
        let allocations = callocations_count() - before
        #expect(allocations == 0)
        #expect(path.bytes - bytesBefore > AllocationTests.frames / 2 * min(size, 64))
    }

    @Test func theCounterCounts() throws {
        guard callocations_count() >= 0 else { return }
        let path = BytePath()
        let before = callocations_count()
        _ = try path.open(16)
        #expect(callocations_count() > before, "the tables of streams come from somewhere")
    }

    /// What an idle stream costs in this room, both tables included.
    @Test func anIdleStreamIsSmall() throws {
        let path = BytePath()
        #expect(path.sender.tableBytes == 0)
        let streams = try path.open(4_096)
        #expect(path.sender.streamCount == 4_096)
        #expect(path.sender.tableBytes / 4_096 < 200, "\(path.sender.tableBytes) bytes")
        for stream in streams { path.sender.reset(stream, .cancelled) }
        #expect(path.sender.tableBytes == 0, "an idle session gives its tables back")
    }
}
