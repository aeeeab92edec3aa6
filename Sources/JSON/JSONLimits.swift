/// What a reader accepts beyond RFC 8259.
public enum JSONDialect: Sendable, Hashable {
    /// RFC 8259 and nothing else: for everything that comes from a peer.
    case strict
    /// Also comments, trailing commas, single quotes, unquoted keys, hexadecimal numbers, a leading `+`, a leading
    /// or trailing decimal point, line continuations and the further escapes of JSON5: for files that people write.
    /// `Infinity` and `NaN` are refused here too, since no JSON text can carry them on.
    case json5
}

/// How much a reader takes before it refuses a text.
public struct JSONLimits: Sendable, Hashable {
    /// The most bytes of a text. The default fits a directory of some hundred thousand instances.
    public var maximumBytes: Int
    /// The most nested arrays and objects. 64 is far beyond what people nest and far below what a stack holds.
    public var maximumDepth: Int
    /// The most values, each array, object and scalar counted: a value costs up to 50 times its text in memory.
    public var maximumValues: Int

    /// Limits, by default 64 MiB, 64 levels and four million values.
    public init(maximumBytes: Int = 64 << 20, maximumDepth: Int = 64, maximumValues: Int = 4_000_000) {
        self.maximumBytes = maximumBytes
        self.maximumDepth = maximumDepth
        self.maximumValues = maximumValues
    }

    /// The default limits.
    public static let standard = JSONLimits()
}
