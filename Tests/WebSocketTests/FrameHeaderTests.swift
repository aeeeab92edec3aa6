import Testing
import WebSocket

/// The header alone (RFC 6455 section 5.2).
@Suite struct FrameHeaderTests {
    private func parse(_ bytes: [UInt8]) -> FrameHeader.Parsed { bytes.withUnsafeBytes { FrameHeader.parse($0) } }

    private func encode(_ header: FrameHeader) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: 20)
        let size = bytes.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map { header.encode(into: $0 + 1) } ?? 0
        }
        #expect(size == header.encodedSize)
        #expect(bytes[0] == 0xEE)
        #expect(bytes[(1 + size)...].allSatisfy { $0 == 0xEE })
        return Array(bytes[1..<1 + size])
    }

    /// The examples of RFC 6455 section 5.7.
    @Test func examplesOfTheRFC() {
        let cases: [([UInt8], FrameHeader)] = [
            ([0x81, 0x05], FrameHeader(opcode: .text, payloadLength: 5)),
            ([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D], FrameHeader(opcode: .text, maskKey: 0x3D21_FA37, payloadLength: 5)),
            ([0x01, 0x03], FrameHeader(fin: false, opcode: .text, payloadLength: 3)),
            ([0x80, 0x02], FrameHeader(opcode: .continuation, payloadLength: 2)),
            ([0x89, 0x05], FrameHeader(opcode: .ping, payloadLength: 5)),
            ([0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D], FrameHeader(opcode: .pong, maskKey: 0x3D21_FA37, payloadLength: 5)),
            ([0x82, 0x7E, 0x01, 0x00], FrameHeader(opcode: .binary, payloadLength: 256)),
            (
                [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], FrameHeader(opcode: .binary, payloadLength: 65536)
            ),
        ]
        for (bytes, header) in cases {
            #expect(parse(bytes) == .complete(header, size: bytes.count))
            #expect(encode(header) == bytes)
        }
    }

    @Test(arguments: [0, 1, 125, 126, 127, 65534, 65535, 65536, 1 << 32, Int.max], [false, true])
    func roundTrip(_ length: Int, _ masked: Bool) {
        for opcode in Opcode.allCases where !opcode.isControl || length <= 125 {
            for rsv in UInt8(0)...7 {
                for fin in opcode.isControl ? [true] : [false, true] {
                    let header =
                        masked
                        ? FrameHeader(fin: fin, rsv: rsv, opcode: opcode, maskKey: 0x8765_4321, payloadLength: length)
                        : FrameHeader(fin: fin, rsv: rsv, opcode: opcode, payloadLength: length)
                    let bytes = encode(header)
                    #expect(parse(bytes) == .complete(header, size: bytes.count))
                    #expect(parse(bytes + [1, 2, 3]) == .complete(header, size: bytes.count))
                    #expect(FrameHeader.size(payloadLength: length, masked: masked) == bytes.count)
                    #expect(bytes.count <= FrameHeader.maximumSize)
                }
            }
        }
    }

    /// A part of a header asks for more than it has and never for more than the header's size.
    @Test func incompleteHeaders() {
        for length in [0, 125, 126, 65535, 65536, 1 << 40] {
            for masked in [false, true] {
                let header =
                    masked
                    ? FrameHeader(opcode: .binary, maskKey: 1, payloadLength: length)
                    : FrameHeader(opcode: .binary, payloadLength: length)
                let bytes = encode(header)
                for count in 0..<bytes.count {
                    guard case .incomplete(let need) = parse(Array(bytes[..<count])) else {
                        Issue.record("complete with \(count) of \(bytes.count) bytes")
                        continue
                    }
                    #expect(need > count)
                    #expect(need <= bytes.count)
                    if count >= 2 { #expect(need == bytes.count) }
                }
            }
        }
    }

    @Test(
        arguments: [
            ([0x83, 0x00], Violation.reservedOpcode), ([0x8F, 0x80], .reservedOpcode),
            ([0x08, 0x00], .fragmentedControl),
            ([0x89, 0x7E], .controlTooLong), ([0x8A, 0xFF], .controlTooLong),
            ([0x82, 0x7E, 0, 125], .lengthNotMinimal),
            ([0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], .lengthNotMinimal),
            ([0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0], .lengthOutOfRange),
            ([0x82, 0xFE, 0, 125], .lengthNotMinimal),
        ] as [([UInt8], Violation)])
    func refusesAsSoonAsItCan(_ bytes: [UInt8], _ violation: Violation) {
        #expect(parse(bytes) == .invalid(violation))
    }

    @Test func violationsFitACloseFrame() {
        for violation in Violation.allCases {
            #expect(violation.description.utf8.count <= ClosePayload.maximumReason)
            #expect(violation.closeCode.isValidOnWire)
        }
    }
}
