/// Writes JSON texts (RFC 8259), always the same bytes for the same value.
///
/// Strings escape what must be escaped (`"`, `\`, control characters) and U+007F; everything else is written as UTF-8.
/// Doubles are written with the fewest digits that read back as the same number, integers as integers.
public struct JSONWriter {
    /// How a text is laid out.
    public struct Layout: Sendable, Hashable {
        /// Two spaces of indentation and one member or element a line; otherwise no white space at all.
        public var isPretty: Bool
        /// Members sorted by their keys' UTF-8 bytes instead of in their own order: a canonical form for hashes.
        public var sortsKeys: Bool

        /// A layout, by default compact and in the members' own order.
        public init(isPretty: Bool = false, sortsKeys: Bool = false) {
            self.isPretty = isPretty
            self.sortsKeys = sortsKeys
        }

        /// No white space.
        public static let compact = Layout()
        /// Two spaces of indentation, one member or element a line.
        public static let pretty = Layout(isPretty: true)
        /// No white space, members sorted.
        public static let canonical = Layout(sortsKeys: true)
    }

    /// What was written so far.
    public private(set) var bytes: [UInt8] = []
    private let layout: Layout
    private var depth = 0

    /// A writer without output, with room for so many bytes.
    public init(_ layout: Layout = .compact, minimumCapacity: Int = 0) {
        self.layout = layout
        bytes.reserveCapacity(minimumCapacity)
    }

    /// Writes a value after what was written so far.
    ///
    /// A Double that is infinite or not a number has no JSON text and becomes `null`.
    public mutating func write(_ value: JSONValue) {
        switch value {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): bytes.append(contentsOf: value.description.utf8)
        case .number(let value): bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
        case .string(let value): write(value)
        case .array(let elements): write(elements)
        case .object(let object): write(object)
        }
    }

    /// Writes a string in quotation marks.
    public mutating func write(_ string: String) {
        var string = string
        bytes.append(UInt8(ascii: "\""))
        string.withUTF8 { text in
            guard !Self.isPlain(text) else { return bytes.append(contentsOf: text) }
            var start = 0
            for (place, byte) in text.enumerated() where Self.needsEscape(byte) {
                bytes.append(contentsOf: text[start..<place])
                writeEscape(byte)
                start = place + 1
            }
            bytes.append(contentsOf: text[start...])
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes bytes as they are, a line break between two documents for instance.
    public mutating func write(raw text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Takes the output and starts anew.
    public mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    private mutating func write(_ elements: [JSONValue]) {
        open("[")
        for (place, element) in elements.enumerated() {
            separate(place)
            write(element)
        }
        close("]", isEmpty: elements.isEmpty)
    }

    private mutating func write(_ object: JSONObject) {
        open("{")
        let members =
            layout.sortsKeys
            ? object.members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } : object.members
        for (place, member) in members.enumerated() {
            separate(place)
            write(member.key)
            bytes.append(UInt8(ascii: ":"))
            if layout.isPretty { bytes.append(UInt8(ascii: " ")) }
            write(member.value)
        }
        close("}", isEmpty: members.isEmpty)
    }

    private mutating func open(_ bracket: Unicode.Scalar) {
        bytes.append(UInt8(ascii: bracket))
        depth += 1
    }

    private mutating func separate(_ place: Int) {
        if place > 0 { bytes.append(UInt8(ascii: ",")) }
        breakLine()
    }

    private mutating func close(_ bracket: Unicode.Scalar, isEmpty: Bool) {
        depth -= 1
        if !isEmpty { breakLine() }
        bytes.append(UInt8(ascii: bracket))
    }

    private mutating func breakLine() {
        guard layout.isPretty else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    /// Whether nothing has to be escaped, looked at eight bytes at a time; a false "no" only costs time.
    private static func isPlain(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = text.baseAddress else { return true }
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var found: UInt64 = 0
        var place = 0
        while place + 8 <= text.count {
            let word = UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self)
            // "Has a zero byte" for each of the three characters, and "has a byte below 0x20".
            let quote = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
            let backslash = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
            let delete = word ^ (ones &* 0x7F)
            found |= (quote &- ones) & ~quote | (backslash &- ones) & ~backslash | (delete &- ones) & ~delete
            found |= (word &- ones &* 0x20) & ~word
            place += 8
        }
        guard found & highs == 0 else { return false }
        while place < text.count {
            if needsEscape(base[place]) { return false }
            place += 1
        }
        return true
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7F
    }

    private mutating func writeEscape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x0C: bytes.append(UInt8(ascii: "f"))
        case UInt8(ascii: "\n"): bytes.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): bytes.append(UInt8(ascii: "t"))
        default: bytes.append(contentsOf: "u\(Failure.hexadecimal(UInt32(byte), digits: 4))".utf8)
        }
    }
}

extension JSONValue {
    /// The value as a JSON text in UTF-8.
    public func serialized(_ layout: JSONWriter.Layout = .compact) -> [UInt8] {
        var writer = JSONWriter(layout, minimumCapacity: 256)
        writer.write(self)
        return writer.take()
    }

    /// The value as a JSON text in UTF-8, pretty or compact.
    public func serialized(pretty: Bool) -> [UInt8] {
        serialized(pretty ? .pretty : .compact)
    }

    /// The value as a JSON text.
    public func text(_ layout: JSONWriter.Layout = .compact) -> String {
        String(decoding: serialized(layout), as: UTF8.self)
    }
}
