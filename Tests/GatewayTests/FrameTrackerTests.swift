import Bytes
import Gateway
import SeededRandom
import Testing
import WebSocket

@Suite struct FrameTrackerTests {
    /// Frames and where they end; the second value tells whether a message is under way behind it.
    private static func frames(_ random: inout SeededRandom, masked: Bool) -> [(bytes: [UInt8], inside: Bool)] {
        var result: [(bytes: [UInt8], inside: Bool)] = []
        var inside = false
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let size = [0, 1, 5, 125, 126, 300, 70_000].randomElement(using: &random) ?? 0
            let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            if Int.random(in: 0..<3, using: &random) == 0 {
                result.append((frame(0x89, Array(payload.prefix(125)), masked: masked), inside))
                continue
            }
            let fin = Bool.random(using: &random)
            let opcode: UInt8 = inside ? 0 : Bool.random(using: &random) ? 1 : 2
            let rsv: UInt8 = inside ? 0 : Bool.random(using: &random) ? 0x40 : 0
            inside = !fin
            result.append((frame((fin ? 0x80 : 0) | rsv | opcode, payload, masked: masked), inside))
        }
        return result
    }

    /// However the stream is cut, the boundaries are where the frames end.
    @Test func boundariesAreWhereFramesEnd() {
        for seed in 0..<150 {
            var random = SeededRandom(UInt64(seed))
            let frames = Self.frames(&random, masked: seed % 2 == 0)
            let wire = frames.flatMap(\.bytes)
            var ends: [Int: Bool] = [0: false]
            var offset = 0
            for frame in frames {
                offset += frame.bytes.count
                ends[offset] = frame.inside
            }
            var tracker = FrameTracker()
            var at = 0
            var isRight = true
            while at < wire.count {
                let count = min(wire.count - at, Int.random(in: 1...max(1, seed * 7), using: &random))
                let passed = wire[at..<(at + count)].withUnsafeBytes { tracker.track($0) }
                isRight = isRight && passed == count
                at += count
                let expected: FrameTracker.Position = ends[at].map { .boundary(insideMessage: $0) } ?? .insideFrame
                isRight = isRight && tracker.position == expected
            }
            #expect(isRight, "seed \(seed)")
        }
    }

    @Test func stopsWhereSomethingCanBeInserted() {
        for seed in 0..<100 {
            var random = SeededRandom(UInt64(seed))
            let frames = Self.frames(&random, masked: true)
            let wire = frames.flatMap(\.bytes)
            let start = Int.random(in: 0...wire.count, using: &random)
            for stop in [FrameTracker.Stop.frameBoundary, .messageBoundary] {
                var tracker = FrameTracker()
                _ = wire[..<start].withUnsafeBytes { tracker.track($0) }
                let passed = wire[start...].withUnsafeBytes { tracker.track($0, until: stop) }
                var expected = 0
                var inside = false
                var target: Int?
                for end in [(0, false)] + frames.map({ ($0.bytes.count, $0.inside) }) {
                    expected += end.0
                    inside = end.1
                    if expected >= start, stop == .frameBoundary || !inside {
                        target = expected
                        break
                    }
                }
                #expect(start + passed == target ?? wire.count, "seed \(seed)")
                if target != nil {
                    #expect(stop == .frameBoundary ? tracker.canInsertControl : tracker.canInsertMessage)
                }
            }
        }
    }

    @Test(arguments: [true, false]) func seesCloseFrames(_ masked: Bool) {
        let payload = ClosePayload(.forbidden, reason: "because")
        let wire = frame(0x81, [1, 2, 3], masked: masked) + frame(0x88, payload.bytes, masked: masked) + [1, 2, 3]
        for step in 1...wire.count {
            var tracker = FrameTracker()
            for start in stride(from: 0, to: wire.count, by: step) {
                let piece = wire[start..<min(start + step, wire.count)]
                #expect(piece.withUnsafeBytes { tracker.track($0) } == piece.count)
            }
            #expect(tracker.position == .closed && tracker.closePayload == payload)
            #expect(!tracker.canInsertControl && !tracker.canInsertMessage)
        }
        var tracker = FrameTracker()
        _ = frame(0x88, [], masked: masked).withUnsafeBytes { tracker.track($0) }
        #expect(tracker.position == .closed && tracker.closePayload == .empty)
        var broken = FrameTracker()
        _ = frame(0x88, [3], masked: masked).withUnsafeBytes { broken.track($0) }
        #expect(broken.position == .closed && broken.closePayload == nil)
    }

    @Test(
        arguments: [
            [0x83, 0x00], [0x09, 0x00], [0x89, 0x7E, 0, 126], [0x81, 126, 0, 5],
            [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] as [[UInt8]])
    func whatIsNoFrameIsPassedAndLost(_ bytes: [UInt8]) {
        for step in [1, bytes.count] {
            var tracker = FrameTracker()
            _ = frame(0x81, [1]).withUnsafeBytes { tracker.track($0) }
            for start in stride(from: 0, to: bytes.count, by: step) {
                let piece = bytes[start..<min(start + step, bytes.count)]
                #expect(piece.withUnsafeBytes { tracker.track($0, until: .end) } == piece.count)
            }
            #expect(tracker.position == .lost && !tracker.canInsertControl)
        }
    }

    @Test func framesOfTheEdgeAreFrames() {
        let payload = ClosePayload(.unauthenticated, reason: "token_expired")
        #expect(EdgeFrame.close(payload) == frame(0x88, payload.bytes, masked: false))
        #expect(EdgeFrame.close(payload, maskKey: 0x4433_2211) == frame(0x88, payload.bytes))
        #expect(EdgeFrame.text("hi") == frame(0x81, Array("hi".utf8), masked: false))
        #expect(EdgeFrame.pong([1]) == frame(0x8A, [1], masked: false))
        let long = String(repeating: "x", count: 300)
        #expect(EdgeFrame.text(long) == frame(0x81, Array(long.utf8), masked: false))
    }
}
