import Bytes
import Link
import Testing
import WebSocket

/// The log in a class: the test macros can't hold a value that is not copyable.
private final class Log {
    private var outbox: Outbox

    init(_ outbox: consuming Outbox) { self.outbox = outbox }

    var nextSequence: UInt64 { outbox.nextSequence }
    var acknowledgedCount: UInt64 { outbox.acknowledgedCount }
    var retainedBytes: Int { outbox.retainedBytes }
    var unsentBytes: Int { outbox.unsentBytes }
    var acceptsData: Bool { outbox.acceptsData }

    func reserve(_ wanted: Int) -> UnsafeMutableRawBufferPointer? { outbox.reserve(wanted) }
    func commit(_ count: Int, frame: LinkFrame) { outbox.commit(count, frame: frame) }
    func cancel() { outbox.cancel() }
    func acknowledge(_ count: UInt64) -> Bool { outbox.acknowledge(count) }
    func withUnsent(_ body: (UnsafeRawBufferPointer) -> Int) -> Int { outbox.withUnsent(body) }

    func append(_ frame: LinkFrame, payload: UnsafeRawBufferPointer) -> Bool {
        outbox.append(frame, payload: payload)
    }

    func rebase(processed: UInt64, masking: Bool) -> Bool { outbox.rebase(processed: processed, masking: masking) }
}

@Suite struct OutboxTests {
    private let pool = SegmentPool(keep: 4)

    private func makeLog(masking: Bool = false, limit: Int = 16 << 20) -> Log {
        Log(Outbox(pool: pool, masks: maskKeys(seed: 5), masking: masking, limit: limit))
    }

    /// Commits a DATA frame of `count` bytes, all equal to `value`.
    private func add(_ log: Log, _ count: Int, value: UInt8 = 1, wanted: Int? = nil) throws {
        let room = try #require(log.reserve(wanted ?? count))
        try #require(room.count >= count)
        room[..<count].indices.forEach { room[$0] = value }
        log.commit(count, frame: LinkFrame(type: .data, streamID: 2))
    }

    private func drain(_ log: Log, atMost limit: Int = .max) -> [UInt8] {
        var result: [UInt8] = []
        while result.count < limit {
            let count = log.withUnsent { bytes in
                let count = min(bytes.count, limit - result.count)
                result += bytes[..<count]
                return count
            }
            if count == 0 { break }
        }
        return result
    }

    private func frames(_ bytes: [UInt8], masked: Bool) throws -> [SeenFrame] {
        var wire = WireReader(receiver: masked ? .acceptor : .dialler)
        bytes.withUnsafeBytes { wire.append($0) }
        var frames: [SeenFrame] = []
        try wire.drain { frames.append(try #require(SeenFrame($0))) }
        return frames
    }

    @Test func unmaskedImageOfASmallFrame() throws {
        let log = makeLog()
        try add(log, 3, value: 9, wanted: 50_000)
        #expect(drain(log) == [0x82, 11, 4, 0, 0, 0, 0, 0, 0, 2, 9, 9, 9])
    }

    @Test func maskedImageOfASmallFrame() throws {
        let log = makeLog(masking: true)
        try add(log, 3, value: 9)
        let bytes = drain(log)
        #expect(bytes.count == 2 + 4 + 8 + 3)
        #expect(Array(bytes[..<2]) == [0x82, 0x80 | 11])
        let key = Array(bytes[2..<6])
        #expect(key != [0, 0, 0, 0])
        let plain = bytes[6...].enumerated().map { $1 ^ key[$0 % 4] }
        #expect(plain == [4, 0, 0, 0, 0, 0, 0, 2, 9, 9, 9])
    }

    /// The edge between the two forms of the WebSocket length, and the largest frame.
    @Test(arguments: [1, 116, 117, 118, 119, 120, 500, 65_279, 65_280], [false, true])
    func headersAreMinimal(_ count: Int, _ masking: Bool) throws {
        let log = makeLog(masking: masking)
        for value in 1...3 { try add(log, count, value: UInt8(value), wanted: LinkFrame.maximumPayload) }
        let bytes = drain(log)
        let header = (count + 8 <= 125 ? 2 : 4) + (masking ? 4 : 0)
        #expect(bytes.count == 3 * (header + 8 + count))
        let seen = try frames(bytes, masked: masking)
        #expect(
            seen
                == (1...3).map {
                    SeenFrame(.data, id: 2, payload: [UInt8](repeating: UInt8($0), count: count))
                })
        #expect(log.acknowledge(3))
        #expect(log.retainedBytes == 0 && pool.segmentsInUse == 0)
    }

    @Test func masksAreFreshForEachFrame() throws {
        let log = makeLog(masking: true)
        for _ in 0..<1_500 { try add(log, 4, value: 0) }
        let bytes = drain(log)
        var keys: Set<[UInt8]> = []
        for start in stride(from: 0, to: bytes.count, by: 18) { keys.insert(Array(bytes[start + 2..<start + 6])) }
        #expect(keys.count > 1_490)
    }

    @Test func sentAndAcknowledgedMoveApart() throws {
        let log = makeLog()
        for _ in 0..<4 { try add(log, 60_000) }
        #expect(log.nextSequence == 4 && log.unsentBytes == 4 * 60_012 && log.retainedBytes == log.unsentBytes)
        #expect(drain(log, atMost: 60_013).count == 60_013)
        #expect(log.unsentBytes == 3 * 60_012 - 1 && log.retainedBytes == 4 * 60_012)
        #expect(log.acknowledge(4))
        #expect(log.retainedBytes == 4 * 60_012, "unsent bytes are never given back")
        #expect(drain(log).count == 3 * 60_012 - 1)
        #expect(log.retainedBytes == 0 && pool.segmentsInUse == 0)
    }

    @Test func acknowledgementsThatCannotBe() throws {
        let log = makeLog()
        for _ in 0..<3 { try add(log, 10) }
        _ = drain(log)
        #expect(!log.acknowledge(4))
        #expect(log.acknowledge(2))
        #expect(!log.acknowledge(1))
        #expect(log.acknowledge(2))
        #expect(log.retainedBytes > 0)
        #expect(log.acknowledge(3))
        #expect(log.retainedBytes == 0)
    }

    @Test func segmentsAreGivenBackOneByOne() throws {
        let log = makeLog()
        for _ in 0..<20 { try add(log, 65_000) }
        #expect(pool.segmentsInUse == 5)
        _ = drain(log)
        #expect(pool.segmentsInUse == 5)
        #expect(log.acknowledge(7))
        #expect(pool.segmentsInUse == 4)
        #expect(log.acknowledge(8))
        #expect(pool.segmentsInUse == 3)
        #expect(log.acknowledge(20))
        #expect(pool.segmentsInUse == 0)
    }

    @Test func unsequencedFramesAreKeptOnlyUntilSent() throws {
        let log = makeLog()
        let count: [UInt8] = bigEndian(UInt64(5))
        let written = count.withUnsafeBytes { log.append(LinkFrame(type: .ack), payload: $0) }
        #expect(written)
        #expect(log.nextSequence == 0 && pool.segmentsInUse == 1)
        #expect(try frames(drain(log), masked: false) == [SeenFrame(.ack, payload: count)])
        #expect(log.retainedBytes == 0 && pool.segmentsInUse == 0)
    }

    @Test func theLimitStopsDataAndLeavesRoomForControl() throws {
        let log = makeLog(limit: 100_000)
        try add(log, 60_000)
        try add(log, 60_000)
        #expect(log.reserve(1) == nil && !log.acceptsData)
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(log.append(LinkFrame(type: .end, streamID: 2), payload: empty))
        _ = drain(log)
        #expect(log.reserve(1) == nil)
        let filler = [UInt8](repeating: 0, count: 4_000)
        var written = 0
        while filler.withUnsafeBytes({ log.append(LinkFrame(type: .open, streamID: 2), payload: $0) }) { written += 1 }
        #expect((200...300).contains(written), "control has a mebibyte of its own, not \(written) frames")
        var more = 0
        while filler.withUnsafeBytes({ log.append(LinkFrame(type: .ack), payload: $0) }) { more += 1 }
        #expect(more > 100, "unsequenced frames have room even then")
        #expect(more < 200)
        _ = drain(log)
        #expect(log.acknowledge(log.nextSequence))
        #expect(log.acceptsData && log.retainedBytes == 0)
    }

    @Test func cancelledRoomLeavesNothing() throws {
        let log = makeLog()
        #expect(log.reserve(5_000) != nil)
        log.cancel()
        #expect(pool.segmentsInUse == 0 && drain(log).isEmpty)
        try add(log, 10)
        #expect(log.reserve(5_000) != nil)
        log.cancel()
        #expect(drain(log).count == 20)
    }

    @Test func poolGivesMemoryBack() throws {
        let log = makeLog()
        var calls = 0
        pool.becameFree = { calls += 1 }
        for _ in 0..<40 { try add(log, 65_000) }
        #expect(pool.segmentsInUse == 10)
        _ = drain(log)
        #expect(log.acknowledge(40))
        #expect(pool.segmentsInUse == 0 && pool.segmentsFree == 4, "keeps no more than it was told")
        #expect(calls == 1, "told once, with the first free one")
        pool.trim()
        #expect(pool.segmentsFree == 4, "they were in use since the last trim")
        try add(log, 10)
        _ = drain(log)
        #expect(log.acknowledge(41))
        pool.trim()
        #expect(pool.segmentsFree == 1, "three were not needed")
        pool.trim()
        #expect(pool.segmentsFree == 0, "nor was the last one")
        try add(log, 10)
        _ = drain(log)
        #expect(log.acknowledge(42) && calls == 2, "told again")
    }

    /// What resumption does with the log: any count the peer may name, either role before and after.
    @Test(arguments: [false, true], [false, true]) func rebaseSendsWhatThePeerHasNotProcessed(
        _ before: Bool, _ after: Bool
    ) throws {
        for processed in [0, 1, 5, 13, 14] {
            let log = makeLog(masking: before)
            let sizes = [1, 117, 118, 65_280, 65_280, 65_280, 65_280, 2, 300, 65_280, 65_280, 7, 90, 30_000]
            for (index, size) in sizes.enumerated() {
                if index % 3 == 1 {
                    let payload: [UInt8] = bigEndian(UInt64(index))
                    #expect(payload.withUnsafeBytes { log.append(LinkFrame(type: .ack), payload: $0) })
                }
                try add(log, size, value: UInt8(index + 1))
                if index == 6 { _ = drain(log, atMost: 100_001) }
            }
            #expect(log.rebase(processed: UInt64(processed), masking: after))
            #expect(log.nextSequence == 14 && log.acknowledgedCount == UInt64(processed))
            let seen = try frames(drain(log), masked: after)
            #expect(
                seen
                    == (processed..<14).map {
                        SeenFrame(.data, id: 2, payload: [UInt8](repeating: UInt8($0 + 1), count: sizes[$0]))
                    })
            #expect(log.acknowledge(14))
            #expect(pool.segmentsInUse == 0)
        }
    }

    @Test func rebaseBeyondWhatWasWritten() throws {
        let log = makeLog()
        try add(log, 10)
        #expect(!log.rebase(processed: 2, masking: false))
    }

    @Test func systemMaskKeysDiffer() {
        var first = [UInt8](repeating: 0, count: 600)
        var second = first
        first.withUnsafeMutableBytes { MaskKeys.systemRandom($0) }
        second.withUnsafeMutableBytes { MaskKeys.systemRandom($0) }
        #expect(first != second)
        #expect(first.suffix(80).contains { $0 != 0 })
    }
}
