import SeededRandom
import Testing
import WebSocket

/// The validator against Swift's own, which works on whole texts.
@Suite struct UTF8ValidatorTests {
    private func swiftAccepts(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

    private func accepts(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { UTF8Validator.isValid($0) } }

    private func acceptsInPieces(_ bytes: [UInt8], _ chunking: Chunking) -> Bool {
        var validator = UTF8Validator()
        var at = 0
        for length in chunking.lengths(of: bytes.count) {
            let good = bytes[at..<at + length].withUnsafeBytes { validator.append($0) }
            if !good { return false }
            at += length
        }
        return validator.isComplete
    }

    @Test func allOfOneAndTwoBytes() {
        for first in UInt8.min...UInt8.max {
            #expect(accepts([first]) == (first < 0x80))
            for second in UInt8.min...UInt8.max where accepts([first, second]) != swiftAccepts([first, second]) {
                Issue.record("\(first) \(second)")
            }
        }
    }

    /// Every lead byte with the boundaries of what may follow.
    @Test func allLeadsWithBoundaries() {
        let edges: [UInt8] = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xF4, 0xFF]
        for first in UInt8(0x80)...0xFF {
            for second in edges {
                for third in edges {
                    let three = [first, second, third]
                    if accepts(three) != swiftAccepts(three) { Issue.record("\(three)") }
                    guard first >= 0xF0 else { continue }
                    for fourth in edges {
                        let four = three + [fourth]
                        if accepts(four) != swiftAccepts(four) { Issue.record("\(four)") }
                    }
                }
            }
        }
    }

    @Test func randomTextsWithAndWithoutSpoiltBytes() {
        var random = SeededRandom(5)
        var invalid = 0
        for round in 0..<2000 {
            let text = String(
                String.UnicodeScalarView((0..<Int.random(in: 0...20, using: &random)).map { _ in scalar(&random) }))
            var bytes = Array(text.utf8)
            #expect(accepts(bytes))
            if round % 2 == 1, !bytes.isEmpty {
                for _ in 0...1 {
                    bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                        in: .min ... .max, using: &random)
                }
            }
            let expected = swiftAccepts(bytes)
            invalid += expected ? 0 : 1
            #expect(accepts(bytes) == expected, "\(bytes)")
            for chunking in Chunking.usual { #expect(acceptsInPieces(bytes, chunking) == expected, "\(bytes)") }
        }
        #expect(invalid > 300)
    }

    private func scalar(_ random: inout SeededRandom) -> Unicode.Scalar {
        let limit: UInt32 = [0x80, 0x80, 0x800, 0x10000, 0x110000][Int.random(in: 0..<5, using: &random)]
        return Unicode.Scalar(UInt32.random(in: 0..<limit, using: &random)) ?? "x"
    }
}
