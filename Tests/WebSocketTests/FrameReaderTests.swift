import CAllocations
import Testing
import WebSocket

/// The fast path's own promises; the conformance tables run through it too.
@Suite struct FrameReaderTests {
    @Test func unmasksInPlaceAndNothingElse() {
        var bytes =
            TestFrame.binary(Array(0..<100)).encoded(masked: true) + TestFrame.ping("next").encoded(masked: true)
        let before = bytes
        var reader = FrameReader(role: .server, maximumFramePayload: 1000)
        let step = bytes.withUnsafeMutableBytes { reader.next($0) }
        #expect(step == .message(.binary, payload: 6..<106, consumed: 106))
        #expect(Array(bytes[6..<106]) == Array(0..<100))
        #expect(bytes[..<6] == before[..<6])
        #expect(bytes[106...] == before[106...])
    }

    @Test func asksForTheWholeFrame() {
        var bytes = TestFrame.binary(.init(repeating: 7, count: 300)).encoded(masked: true)
        let before = bytes
        var reader = FrameReader(role: .server, maximumFramePayload: 1000)
        bytes.withUnsafeMutableBytes { buffer in
            for count in 0..<buffer.count {
                let step = reader.next(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
                #expect(step == .needMore(total: count < 2 ? 2 : (count < 8 ? 8 : 308)))
            }
        }
        #expect(bytes == before, "an incomplete frame is left as it is")
        #expect(bytes.withUnsafeMutableBytes { reader.next($0) } == .message(.binary, payload: 8..<308, consumed: 308))
    }

    @Test func staysFailed() {
        var reader = FrameReader(role: .server, maximumFramePayload: 10)
        var bad = TestFrame(opcode: 3).encoded(masked: true)
        var good = TestFrame.binary([1]).encoded(masked: true)
        #expect(bad.withUnsafeMutableBytes { reader.next($0) } == .failed(.reservedOpcode))
        #expect(good.withUnsafeMutableBytes { reader.next($0) } == .failed(.reservedOpcode))
    }

    @Test func tellsFragmentsApart() {
        var reader = FrameReader(role: .client, maximumFramePayload: 10, maximumMessage: 20)
        func next(_ frame: TestFrame) -> FrameReader.Step {
            var bytes = frame.encoded(masked: false)
            return bytes.withUnsafeMutableBytes { reader.next($0) }
        }
        #expect(
            next(.text("abc", fin: false))
                == .fragment(.text, payload: 2..<5, isFirst: true, isLast: false, consumed: 5))
        #expect(next(.ping("p")) == .control(.ping, payload: 2..<3, consumed: 3))
        #expect(
            next(.more("")) == .fragment(.text, payload: 2..<2, isFirst: false, isLast: false, consumed: 2))
        #expect(
            next(.last("d")) == .fragment(.text, payload: 2..<3, isFirst: false, isLast: true, consumed: 3))
        #expect(next(.binary([1])) == .message(.binary, payload: 2..<3, consumed: 3))
    }

    /// "No allocation per frame" is a promise of the data path: header, unmasking, encoding.
    @Test func doesNotAllocate() {
        var bytes = [UInt8](repeating: 7, count: 4096)
        var reader = FrameReader(role: .server, maximumFramePayload: 1 << 20)
        func frame(_ round: Int) -> Bool {
            bytes.withUnsafeMutableBytes { buffer in
                guard let start = buffer.baseAddress else { return false }
                let header = FrameHeader(opcode: .binary, maskKey: UInt32(round), payloadLength: 4000)
                let size = header.encode(into: start)
                Masking.apply(header.key, to: UnsafeMutableRawBufferPointer(rebasing: buffer[size..<size + 4000]))
                return reader.next(buffer) == .message(.binary, payload: size..<size + 4000, consumed: size + 4000)
            }
        }
        var good = frame(0)
        let before = callocations_count()
        for round in 1...100 { good = frame(round) && good }
        let after = callocations_count()
        #expect(good)
        #expect(after == before)
        #expect(before != 0, "allocations are not counted here")
    }
}
