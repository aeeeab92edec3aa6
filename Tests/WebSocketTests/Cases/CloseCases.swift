import WebSocket

/// The closing handshake (RFC 6455 sections 5.5.1 and 7).
enum CloseCases {
    static let validCodes = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4403, 4429,
        4999,
    ]
    static let invalidCodes = [
        0, 1, 500, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999, 2000, 2999, 5000, 5001, 32767, 32768, 65535,
    ]

    static let codes: [ConformanceCase] =
        validCodes.map {
            ConformanceCase("code \($0)", [.close($0)], ["close:\($0):"], sends: ["close:\($0)"])
        }
        + validCodes.map {
            ConformanceCase(
                "code \($0) with a reason", [.close($0, "because")], ["close:\($0):because"], sends: ["close:\($0)"])
        }
        + invalidCodes.map { .refused("code \($0)", [.close($0, "x")], .invalidCloseCode) }

    static let payloads: [ConformanceCase] = [
        ConformanceCase("no payload", [.close()], ["close::"], sends: ["close"]),
        .refused("one byte", [.close([3])], .truncatedCloseCode),
        ConformanceCase(
            "a reason of 123 bytes", [.close(1000, String(repeating: "r", count: 123))],
            ["close:1000:\(String(repeating: "r", count: 123))"], sends: ["close:1000"]),
        .refused("a reason of 124 bytes", [.close(1000, String(repeating: "r", count: 124))], .controlTooLong),
        ConformanceCase("a reason with umlauts", [.close(1001, "schön")], ["close:1001:schön"], sends: ["close:1001"]),
        .refused("a reason that is not UTF-8", [.close([3, 0xE8, 0xFF])], .invalidCloseReason, 1007),
        .refused("a reason cut within a character", [.close([3, 0xE8, 0x61, 0xC3])], .invalidCloseReason, 1007),
        .refused("a surrogate in the reason", [.close([3, 0xE8, 0xED, 0xA0, 0x80])], .invalidCloseReason, 1007),
        .refused("an invalid code and an invalid reason", [.close([0, 0, 0xFF])], .invalidCloseCode),
    ]

    static let order: [ConformanceCase] = [
        ConformanceCase(
            "message, then close", [.text("a"), .close(1000)], ["text:a", "close:1000:"], sends: ["close:1000"]),
        ConformanceCase("message after close", [.close(1000), .text("a")], ["close:1000:"], sends: ["close:1000"]),
        ConformanceCase("ping after close", [.close(1000), .ping("a")], ["close:1000:"], sends: ["close:1000"]),
        ConformanceCase("two closes", [.close(1000), .close(1001)], ["close:1000:"], sends: ["close:1000"]),
        ConformanceCase(
            "garbage after close", [.close(1000), TestFrame(rsv: 7, opcode: 15)], ["close:1000:"], sends: ["close:1000"]
        ),
        ConformanceCase(
            "large message after close", [.close(1000), .binary(.init(repeating: 1, count: 70000))], ["close:1000:"],
            sends: ["close:1000"]),
        ConformanceCase(
            "ping, then close", [.ping("p"), .close(4000)], ["ping:p", "close:4000:"], sends: ["pong:p", "close:4000"]),
        ConformanceCase(
            "message after a violation", [TestFrame(opcode: 3), .text("a"), .close(1000)], ["fail:reserved_opcode"],
            sends: ["close:1002"]),
        ConformanceCase(
            "unfinished message, then close", [.text("a", fin: false), .close(1000)], ["close:1000:"],
            sends: ["close:1000"]),
    ]
}
