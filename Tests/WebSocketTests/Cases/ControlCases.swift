import WebSocket

/// Pings, pongs and the shape of control frames (RFC 6455 section 5.5).
enum ControlCases {
    static let pings: [ConformanceCase] =
        [0, 1, 8, 124, 125].map { length in
            let payload = (0..<length).map { UInt8(truncatingIfNeeded: 255 - $0) }
            let summary = length > 64 ? "\(length) bytes" : describe(payload)
            return ConformanceCase(
                "ping of \(length) bytes", [.ping(payload)], ["ping:\(describe(payload))"], sends: ["pong:\(summary)"])
        } + [
            ConformanceCase(
                "ping after a message", [.text("a"), .ping("b")], ["text:a", "ping:b"], sends: ["pong:b"]),
            ConformanceCase(
                "ten pings", (0..<10).map { .ping("\($0)") }, (0..<10).map { "ping:\($0)" },
                sends: (0..<10).map { "pong:\($0)" }),
            ConformanceCase(
                "pings between messages", [.ping("1"), .text("a"), .ping("2"), .binary([66]), .ping("3")],
                ["ping:1", "text:a", "ping:2", "binary:B", "ping:3"], sends: ["pong:1", "pong:2", "pong:3"]),
            ConformanceCase(
                "ping with text that is not UTF-8", [.ping([0xFF, 0xFE])], ["ping:0xfffe"], sends: ["pong:0xfffe"]),
            ConformanceCase("unasked pong", [.pong("x")], ["pong:x"]),
            ConformanceCase("unasked empty pong", [.pong()], ["pong:"]),
            ConformanceCase(
                "pong of 125 bytes", [.bytes(10, .init(repeating: 65, count: 125))],
                ["pong:\(describe(.init(repeating: 65, count: 125)))"]),
            ConformanceCase(
                "pong, ping, pong", [.pong("1"), .ping("2"), .pong("3")], ["pong:1", "ping:2", "pong:3"],
                sends: ["pong:2"]),
            ConformanceCase(
                "ping between fragments", [.text("a", fin: false), .ping("p"), .last("b")], ["ping:p", "text:ab"],
                sends: ["pong:p"]),
            ConformanceCase(
                "pong between fragments", [.text("a", fin: false), .pong("p"), .last("b")], ["pong:p", "text:ab"]),
            ConformanceCase(
                "pings between all fragments",
                [.text("a", fin: false), .ping("1"), .more("b"), .ping("2"), .more("c"), .ping("3"), .last("d")],
                ["ping:1", "ping:2", "ping:3", "text:abcd"], sends: ["pong:1", "pong:2", "pong:3"]),
            ConformanceCase(
                "ping within a character",
                [.text([0xC3], fin: false), .ping("p"), .last([0xA4])], ["ping:p", "text:0xc3a4"], sends: ["pong:p"]),
            ConformanceCase(
                "close between fragments", [.text("a", fin: false), .close(1000, "enough"), .last("b")],
                ["close:1000:enough"], sends: ["close:1000"]),
        ]

    static let shapes: [ConformanceCase] = [(8, "close"), (9, "ping"), (10, "pong")].flatMap {
        (opcode, name) -> [ConformanceCase] in
        let opcode = UInt8(opcode)
        return [
            .refused("fragmented \(name)", [.bytes(opcode, [], fin: false)], .fragmentedControl),
            .refused(
                "fragmented \(name) with payload", [.bytes(opcode, [3, 0xE8], fin: false)], .fragmentedControl),
            .refused(
                "fragmented \(name) in a message", [.text("a", fin: false), .bytes(opcode, [], fin: false)],
                .fragmentedControl),
            .refused(
                "\(name) of 126 bytes", [.bytes(opcode, .init(repeating: 65, count: 126))], .controlTooLong),
            .refused(
                "\(name) of 65536 bytes", [.bytes(opcode, .init(repeating: 65, count: 65536))], .controlTooLong),
            .refused(
                "\(name) with a 16-bit length", [TestFrame(opcode: opcode, lengthForm: .two)], .controlTooLong),
            .refused(
                "\(name) with a 64-bit length", [TestFrame(opcode: opcode, lengthForm: .eight)], .controlTooLong),
        ]
    }
}
