import SeededRandom
import Testing
import WebSocket

/// RFC 6455 section 5.3, against the formula of the RFC, byte by byte.
@Suite struct MaskingTests {
    private func expected(_ bytes: ArraySlice<UInt8>, _ key: [UInt8], offset: Int) -> [UInt8] {
        bytes.enumerated().map { $1 ^ key[(offset + $0) % 4] }
    }

    private func wire(_ key: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: key >> (8 * $0)) } }

    @Test func keyIsInWireOrder() {
        // RFC 6455 section 5.7: "Hello" masked with 37 FA 21 3D.
        var bytes = Array("Hello".utf8)
        bytes.withUnsafeMutableBytes { Masking.apply(0x3D21_FA37, to: $0) }
        #expect(bytes == [0x7F, 0x9F, 0x4D, 0x51, 0x58])
    }

    /// All short lengths, at each alignment and offset; bytes before and after stay as they are.
    @Test func allShortLengthsAlignmentsAndOffsets() {
        var random = SeededRandom(1)
        let original = random.bytes(200)
        for length in 0...72 {
            for start in 0..<9 {
                for offset in 0..<4 {
                    let key = UInt32(truncatingIfNeeded: random.next())
                    let range = start..<start + length
                    var bytes = original
                    bytes.withUnsafeMutableBytes {
                        Masking.apply(key, to: UnsafeMutableRawBufferPointer(rebasing: $0[range]), offset: offset)
                    }
                    var wanted = original
                    wanted.replaceSubrange(range, with: expected(original[range], wire(key), offset: offset))
                    let isRight = bytes == wanted
                    #expect(isRight, "\(length) bytes at \(start), offset \(offset)")
                }
            }
        }
    }

    @Test func longLengthsAndOffsets() {
        var random = SeededRandom(2)
        let original = random.bytes(70_000)
        for length in [127, 128, 129, 255, 1000, 1023, 4096, 65_536, 69_995] {
            for offset in [0, 1, 2, 3, 4, 5, 125, 1 << 40 | 3, Int.max] {
                let key = UInt32(truncatingIfNeeded: random.next())
                var bytes = original
                bytes.withUnsafeMutableBytes {
                    Masking.apply(key, to: UnsafeMutableRawBufferPointer(rebasing: $0[3..<3 + length]), offset: offset)
                }
                let end = 3 + length
                // Not compared within #expect, which would look for the differences of long arrays for minutes.
                let isRight = Array(bytes[3..<end]) == expected(original[3..<end], wire(key), offset: offset % 4)
                let isContained = bytes[..<3] == original[..<3] && bytes[end...] == original[end...]
                #expect(isRight && isContained, "\(length) bytes, offset \(offset)")
            }
        }
    }

    @Test func piecesAreTheWhole() {
        var random = SeededRandom(3)
        let original = random.bytes(500)
        for seed in 0..<50 {
            let key = UInt32(truncatingIfNeeded: random.next())
            var bytes = original
            bytes.withUnsafeMutableBytes { buffer in
                var at = 0
                for length in Chunking.random(UInt64(seed)).lengths(of: buffer.count) {
                    let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + length])
                    Masking.apply(key, to: piece, offset: at)
                    at += length
                }
            }
            #expect(bytes == expected(original[...], wire(key), offset: 0))
        }
    }

    @Test func copyIsTheSame() {
        var random = SeededRandom(4)
        let original = random.bytes(300)
        for length in 0...90 {
            for start in 0..<4 {
                for offset in 0..<4 {
                    let key = UInt32(truncatingIfNeeded: random.next())
                    var target = [UInt8](repeating: 0xEE, count: 100)
                    original.withUnsafeBytes { source in
                        target.withUnsafeMutableBytes { target in
                            guard let destination = target.baseAddress else { return }
                            Masking.copy(
                                key, from: UnsafeRawBufferPointer(rebasing: source[start..<start + length]),
                                to: destination + 1, offset: offset)
                        }
                    }
                    #expect(
                        Array(target[1..<1 + length])
                            == expected(original[start..<start + length], wire(key), offset: offset))
                    #expect(target[0] == 0xEE)
                    #expect(target[(1 + length)...].allSatisfy { $0 == 0xEE })
                }
            }
        }
    }

    @Test func emptyBufferWithoutAddress() {
        Masking.apply(1, to: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
}
