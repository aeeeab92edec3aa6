import WebSocket

/// Messages in several frames (RFC 6455 section 5.4).
enum FragmentationCases {
    static let accepted: [ConformanceCase] =
        [
            ConformanceCase("two fragments", [.text("Hel", fin: false), .last("lo")], ["text:Hello"]),
            ConformanceCase(
                "three fragments", [.text("a", fin: false), .more("b"), .last("c")], ["text:abc"]),
            ConformanceCase("empty first", [.text("", fin: false), .last("x")], ["text:x"]),
            ConformanceCase("empty last", [.text("x", fin: false), .last("")], ["text:x"]),
            ConformanceCase("empty middle", [.text("x", fin: false), .more(""), .last("y")], ["text:xy"]),
            ConformanceCase("only empty fragments", [.text("", fin: false), .more(""), .last("")], ["text:"]),
            ConformanceCase(
                "binary in fragments", [.binary([0, 1], fin: false), .more([0xFF]), .last([2])], ["binary:0x0001ff02"]),
            ConformanceCase(
                "two fragmented messages",
                [.text("a", fin: false), .last("b"), .binary([67], fin: false), .last([68])], ["text:ab", "binary:CD"]),
            ConformanceCase(
                "whole after fragmented", [.text("a", fin: false), .last("b"), .text("c")], ["text:ab", "text:c"]),
            ConformanceCase(
                "an unfinished message is not delivered", [.text("z"), .text("a", fin: false), .more("b")], ["text:z"]),
            ConformanceCase(
                "invalid UTF-8 is fine in binary fragments", [.binary([0xC3], fin: false), .last([0x28])],
                ["binary:0xc328"]),
        ]
        + [2, 5, 17, 100].map { count in
            ConformanceCase(
                "\(count) fragments of one byte",
                [.text("a", fin: false)] + (0..<count - 2).map { _ in .more("b") } + [.last("c")],
                ["text:\(describe(Array(("a" + String(repeating: "b", count: count - 2) + "c").utf8)))"])
        }
        + [125, 126, 65535, 65536].map { size in
            let part = [UInt8](repeating: 0x78, count: size)
            return ConformanceCase(
                "two fragments of \(size) bytes", [.text(part, fin: false), .last(part)],
                ["text:\(describe(part + part))"])
        }

    static let refused: [ConformanceCase] = [
        .refused("continuation first", [.last("x")], .unexpectedContinuation),
        .refused("continuation first, not final", [.more("x")], .unexpectedContinuation),
        .refused("empty continuation first", [.last("")], .unexpectedContinuation),
        .refused(
            "continuation after a whole message", [.text("a"), .last("x")], after: ["text:a"], .unexpectedContinuation),
        .refused(
            "continuation after the last fragment", [.text("a", fin: false), .last("b"), .last("c")],
            after: ["text:ab"],
            .unexpectedContinuation),
        .refused(
            "continuation after a ping", [.ping("p"), .last("c")], after: ["ping:p"], sends: ["pong:p"],
            .unexpectedContinuation),
        .refused("text within text", [.text("a", fin: false), .text("b")], .interleavedMessage),
        .refused("binary within text", [.text("a", fin: false), .binary([1])], .interleavedMessage),
        .refused("text within binary", [.binary([1], fin: false), .text("b")], .interleavedMessage),
        .refused("a second beginning", [.text("a", fin: false), .text("b", fin: false)], .interleavedMessage),
        .refused(
            "a second beginning after a ping", [.text("a", fin: false), .ping("p"), .text("b", fin: false)],
            after: ["ping:p"], sends: ["pong:p"], .interleavedMessage),
        .refused("an empty second beginning", [.text("", fin: false), .text("")], .interleavedMessage),
    ]
}
