import Bytes
import Link
import Testing

/// One session whose peer is the test itself: frames in by hand, frames out as values.
final class Harness {
    let session: Session
    let budget: ReceiveBudget
    let quota: StreamQuota
    let pool: SegmentPool
    var now: UInt64 = 1_000_000_000
    private var wire: WireReader

    static func hello(_ change: (inout Hello) -> Void = { _ in }) -> Hello {
        var hello = Hello(
            bootID: BootID(high: 7, low: 8), intent: .initial, unixMilliseconds: 1_700_000_000_000, agent: "test")
        change(&hello)
        return hello
    }

    /// The session is the acceptor with even ids unless said otherwise; the peer opens 1, 3, 5 …
    init(
        role: LinkRole = .acceptor, parity: StreamParity = .even, budget: Int = 1 << 30,
        sharing shared: ReceiveBudget? = nil,
        quota: StreamQuota = StreamQuota(), pool: SegmentPool = SegmentPool(keep: 4),
        configure: (inout SessionConfiguration) -> Void = { _ in }, peer: (inout Hello) -> Void = { _ in }
    ) {
        var configuration = SessionConfiguration()
        configure(&configuration)
        self.budget = shared ?? ReceiveBudget(limit: budget)
        self.quota = quota
        self.pool = pool
        session = Session(
            role: role, parity: parity, configuration: configuration, peer: Harness.hello(peer), budget: self.budget,
            quota: quota, pool: pool, masks: maskKeys(seed: 3), seed: 99, now: now, unixMilliseconds: 1_700_000_000_500)
        wire = WireReader(receiver: role == .dialler ? .acceptor : .dialler)
    }

    func receive(_ type: FrameType, flags: FrameFlags = [], id: UInt64 = 0, _ payload: [UInt8] = []) -> SessionEvent {
        receive(SeenFrame(type, flags: flags, id: id, payload: payload).bytes)
    }

    func receive(_ bytes: [UInt8]) -> SessionEvent {
        bytes.withUnsafeBytes { session.received($0, now: now) }
    }

    /// What the session has sent since the last call; `flush` lets it write what is due first.
    func sent(flush: Bool = true) throws -> [SeenFrame] {
        if flush { session.flushControl(now: now) }
        while session.withUnsent({
            wire.append($0); return $0.count
        }) > 0 {}
        var frames: [SeenFrame] = []
        try wire.drain { frames.append(try #require(SeenFrame($0))) }
        return frames
    }

    /// The peer opens a stream.
    func offer(id: UInt64, credit: UInt32 = 16 << 10) throws -> StreamHandle {
        let payload = OpenRequest(service: "db").encodedPayload(initialCredit: credit)
        guard case .opened(let handle) = receive(.open, id: id, payload) else {
            throw Broken(description: "no stream offered")
        }
        return handle
    }

    /// A stream that the peer opened and that was accepted; nothing waits to be sent.
    func accepted(id: UInt64, credit: UInt32 = 16 << 10) throws -> StreamHandle {
        let handle = try offer(id: id, credit: credit)
        session.accept(handle)
        _ = try sent()
        return handle
    }

    /// Sends `count` bytes on a stream, in as many frames as it takes.
    func send(_ stream: StreamHandle, _ count: Int, finish: Bool = false) throws {
        var left = count
        while left > 0 {
            let room = try #require(session.sendRoom(stream, atMost: left))
            for index in room.indices { room[index] = UInt8(truncatingIfNeeded: index) }
            left -= room.count
            session.commit(stream, room.count, finish: finish && left == 0)
        }
    }
}
