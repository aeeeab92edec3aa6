import WebSocket

/// Lengths, opcodes, reserved bits (RFC 6455 section 5.2).
enum FramingCases {
    static let lengths: [ConformanceCase] = [
        0, 1, 2, 3, 4, 7, 8, 9, 124, 125, 126, 127, 128, 255, 256, 1000, 4096, 65534, 65535, 65536, 65537,
    ].flatMap { length -> [ConformanceCase] in
        let letters = (0..<length).map { UInt8(0x61 + $0 % 26) }
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        return [
            ConformanceCase("text of \(length) bytes", [.text(letters)], ["text:\(describe(letters))"]),
            ConformanceCase("binary of \(length) bytes", [.binary(bytes)], ["binary:\(describe(bytes))"]),
        ]
    }

    static let lengthForms: [ConformanceCase] =
        [0, 1, 125].flatMap { length -> [ConformanceCase] in
            [UInt8(1), 2].map { opcode in
                .refused(
                    "\(length) bytes in a 16-bit length, opcode \(opcode)",
                    [TestFrame(opcode: opcode, payload: .init(repeating: 65, count: length), lengthForm: .two)],
                    .lengthNotMinimal)
            }
        }
        + [0, 125, 126, 65535].map { length in
            .refused(
                "\(length) bytes in a 64-bit length",
                [TestFrame(opcode: 2, payload: .init(repeating: 65, count: length), lengthForm: .eight)],
                .lengthNotMinimal)
        }
        + [UInt64(1) << 63, (1 << 63) + 5, UInt64.max].map { (length: UInt64) in
            .refused(
                "a length of \(length)", [TestFrame(opcode: 2, lengthForm: .eight, claims: length)], .lengthOutOfRange)
        }
        + [UInt64(1) << 62, (1 << 63) - 1].map { (length: UInt64) in
            .refused(
                "a length of \(length)", [TestFrame(opcode: 2, lengthForm: .eight, claims: length)], .frameTooLarge,
                1009)
        }

    static let reservedBits: [ConformanceCase] = (1...7).flatMap { bits -> [ConformanceCase] in
        [UInt8(1), 2, 8, 9, 10].map { opcode in
            .refused(
                "reserved bits \(bits), opcode \(opcode)",
                [.text("before"), TestFrame(rsv: UInt8(bits), opcode: opcode)], after: ["text:before"], .reservedBit)
        } + [
            .refused(
                "reserved bits \(bits), continuation",
                [.text("a", fin: false), TestFrame(rsv: UInt8(bits), opcode: 0, payload: [98])], .reservedBit)
        ]
    }

    static let reservedOpcodes: [ConformanceCase] = [UInt8(3), 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap { opcode in
        [
            .refused("opcode \(opcode), empty", [TestFrame(opcode: opcode)], .reservedOpcode),
            .refused(
                "opcode \(opcode) after a message and a ping",
                [.text("x"), .ping("y"), TestFrame(opcode: opcode, payload: [1, 2])], after: ["text:x", "ping:y"],
                sends: ["pong:y"], .reservedOpcode),
            .refused(
                "opcode \(opcode) between fragments",
                [.text("x", fin: false), TestFrame(opcode: opcode, payload: [1]), .last("y")], .reservedOpcode),
        ]
    }

    /// For the masks, the frames are what a *client* sends.
    static let masks: [(name: String, masked: Bool, frames: [TestFrame])] = [
        ("text", true, [.text("hello")]), ("binary", true, [.binary([1])]), ("empty", true, [.text("")]),
        ("ping", true, [.ping("p")]), ("close", true, [.close(1000)]),
        ("large", true, [.binary(.init(repeating: 1, count: 70000))]),
        ("after a good one", true, [.text("a"), .text("b")]),
    ]
}
