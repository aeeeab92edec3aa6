import WebSocket

/// Limits on frames and messages: 1009.
enum LimitCases {
    private static func bytes(_ count: Int) -> [UInt8] { .init(repeating: 0x61, count: count) }

    static let all: [ConformanceCase] = [
        ConformanceCase("frame at its limit", [.text(bytes(100))], ["text:\(describe(bytes(100)))"]).limits(frame: 100),
        .refused("frame above its limit", [.text(bytes(101))], .frameTooLarge, 1009).limits(frame: 100),
        .refused(
            "frame above its limit, only its header",
            [TestFrame(opcode: 2, claims: 101)], .frameTooLarge, 1009
        ).limits(frame: 100),
        ConformanceCase("message at its limit", [.text(bytes(100))], ["text:\(describe(bytes(100)))"]).limits(
            message: 100),
        .refused("message above its limit in one frame", [.text(bytes(101))], .messageTooLarge, 1009)
            .limits(message: 100),
        ConformanceCase(
            "fragments at the message's limit", [.text(bytes(60), fin: false), .last(bytes(40))],
            ["text:\(describe(bytes(100)))"]
        ).limits(message: 100),
        .refused(
            "fragments above the message's limit", [.text(bytes(60), fin: false), .last(bytes(41))], .messageTooLarge,
            1009
        ).limits(message: 100),
        .refused(
            "fragments above the limit, seen at the header",
            [.text(bytes(60), fin: false), TestFrame(fin: true, opcode: 0, claims: 50)], .messageTooLarge, 1009
        ).limits(message: 100),
        .refused(
            "the limit counts all fragments",
            [.binary(bytes(50), fin: false), .more(bytes(50)), .more(""), .more(bytes(1))], .messageTooLarge, 1009
        ).limits(message: 100),
        ConformanceCase(
            "the count starts again with each message",
            [.text(bytes(60)), .text(bytes(60), fin: false), .last(bytes(40)), .text(bytes(100))],
            ["text:\(describe(bytes(60)))", "text:\(describe(bytes(100)))", "text:\(describe(bytes(100)))"]
        ).limits(message: 100),
        ConformanceCase(
            "control frames do not count", [.text(bytes(4), fin: false), .ping(bytes(100)), .last(bytes(4))],
            ["ping:\(describe(bytes(100)))", "text:aaaaaaaa"], sends: ["pong:100 bytes"]
        ).limits(frame: 4, message: 8),
        ConformanceCase("a limit of zero admits empty messages", [.text("")], ["text:"]).limits(frame: 0, message: 0),
        .refused("a limit of zero", [.text("x")], .frameTooLarge, 1009).limits(frame: 0, message: 0),
        .refused(
            "a sum beyond 63 bits",
            [.binary([1], fin: false), TestFrame(opcode: 0, lengthForm: .eight, claims: 1 << 63 - 1)],
            .messageTooLarge, 1009
        ).limits(frame: .max, message: .max),
    ]
}
