import Link
import WebSocket

/// Two sessions joined by a buffer: the byte path as agents drive it, without TLS and sockets.
final class LinkPath {
    /// The end that opens streams and sends.
    let sender: Session
    /// The end that accepts them.
    let receiver: Session
    /// Frames that arrived at either end.
    private(set) var frames = 0
    /// Bytes of streams that arrived.
    private(set) var bytes = 0

    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    private var filled = 0
    private var forward: FrameReader
    private var backward: FrameReader
    private var now: UInt64 = 1_000_000_000

    init() {
        let pool = SegmentPool()
        let budget = ReceiveBudget()
        // The same keys in every run, so that instruction counts are the same.
        let masks = MaskKeys { $0.initializeMemory(as: UInt8.self, repeating: 0x5A) }
        let hello = Hello(
            bootID: BootID(high: 1, low: 2), intent: .initial, unixMilliseconds: 1_700_000_000_000, agent: "microbench")
        let start = now
        func session(_ role: LinkRole, _ parity: StreamParity) -> Session {
            Session(
                role: role, parity: parity, peer: hello, budget: budget, pool: pool, masks: masks, seed: 1, now: start,
                unixMilliseconds: 1_700_000_000_000)
        }
        sender = session(.dialler, .even)
        receiver = session(.acceptor, .odd)
        let limit = LinkFrame.headerSize + LinkFrame.maximumPayload
        forward = FrameReader(role: .server, maximumFramePayload: limit)
        backward = FrameReader(role: .client, maximumFramePayload: limit)
    }

    deinit { buffer.deallocate() }

    /// Opens `count` streams that are accepted.
    func open(_ count: Int) throws -> [StreamHandle] {
        var handles: [StreamHandle] = []
        for _ in 0..<count {
            handles.append(try sender.open(OpenRequest(service: "db"), now: now))
            exchange()
        }
        return handles
    }

    /// One turn of the loops at both ends: up to `turns` frames of up to `size` bytes of the streams marked readable, over
    /// the wire, consumed, acknowledged.
    func tick(turns: Int, size: Int) {
        for _ in 0..<turns {
            guard let ready = sender.nextReady(),
                let room = sender.sendRoom(ready.stream, atMost: min(size, ready.quantum))
            else { break }
            sender.commit(ready.stream, room.count)
        }
        exchange()
    }

    /// Everything that waits goes over in both directions; then 100 µs have passed.
    func exchange() {
        move(from: sender, to: receiver, &forward)
        move(from: receiver, to: sender, &backward)
        now += 100_000
    }

    private func move(from: Session, to: Session, _ reader: inout FrameReader) {
        if now >= from.nextDeadline { _ = from.advance(now: now) }
        from.flushControl(now: now)
        while from.withUnsent({ take($0) }) > 0 {}
        var start = 0
        while case .message(_, let payload, let consumed) = reader.next(
            UnsafeMutableRawBufferPointer(rebasing: buffer[start..<filled]))
        {
            let place = start + payload.lowerBound..<start + payload.upperBound
            frames += 1
            switch to.received(UnsafeRawBufferPointer(rebasing: buffer[place]), now: now) {
            case .opened(let stream): to.accept(stream)
            case .data(let stream, let range, _):
                bytes += range.count
                to.consumed(stream, range.count)
            case .violation(let reason): Output.fail("the sessions broke the protocol: \(reason)")
            default: break
            }
            start += consumed
        }
        buffer.baseAddress!.copyMemory(from: buffer.baseAddress! + start, byteCount: filled - start)
        filled -= start
    }

    private func take(_ range: UnsafeRawBufferPointer) -> Int {
        let count = min(range.count, buffer.count - filled)
        (buffer.baseAddress! + filled).copyMemory(from: range.baseAddress!, byteCount: count)
        filled += count
        return count
    }
}
