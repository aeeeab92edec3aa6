/// A recursive-descent parser over the bytes of one text.
///
/// The text is looked at once, byte by byte (strings eight bytes at a time); positions are worked out by the builder
/// or after a failure.
struct Parser<Builder: TreeBuilder> {
    let base: UnsafePointer<UInt8>
    let bytes: UnsafeRawBufferPointer
    let count: Int
    let isJSON5: Bool
    let limits: JSONLimits
    var builder: Builder
    /// The next byte to look at.
    var cursor = 0
    private var depth = 0
    private var values = 0

    init(_ bytes: UnsafeRawBufferPointer, dialect: JSONDialect, limits: JSONLimits, builder: Builder) {
        self.bytes = bytes
        // An empty buffer may have no address; with a count of zero it is never read.
        base = bytes.assumingMemoryBound(to: UInt8.self).baseAddress ?? Self.nowhere
        count = bytes.count
        isJSON5 = dialect == .json5
        self.limits = limits
        self.builder = builder
    }

    private static var nowhere: UnsafePointer<UInt8> {
        UnsafePointer(bitPattern: MemoryLayout<UInt8>.alignment).unsafelyUnwrapped
    }

    /// Reads the whole text as one value.
    mutating func document() throws(Failure) -> Builder.Value {
        guard count <= limits.maximumBytes else {
            let message = "the text has \(count) bytes, more than the \(limits.maximumBytes) that are accepted here"
            throw Failure(code: .tooLarge, offset: 0, message: message)
        }
        try refuseByteOrderMark()
        try skipSpace()
        guard cursor < count else {
            throw Failure(code: .emptyDocument, offset: count, message: "expected a value, found an empty text")
        }
        let value = try value()
        try skipSpace()
        guard cursor == count else {
            throw .expected("the end of the text after its one value", at: cursor, code: .trailingData)
        }
        return value
    }

    private func refuseByteOrderMark() throws(Failure) {
        if count >= 3, base[0] == 0xEF, base[1] == 0xBB, base[2] == 0xBF {
            let message = "the text starts with a byte order mark; save it as UTF-8 without one"
            throw Failure(code: .byteOrderMark, offset: 0, message: message)
        }
        guard count >= 2 else { return }
        let marked = (base[0] == 0xFE && base[1] == 0xFF) || (base[0] == 0xFF && base[1] == 0xFE)
        if marked || isTwoBytesWide(zero: 0) || isTwoBytesWide(zero: 1) {
            throw Failure(code: .byteOrderMark, offset: 0, message: "the text is UTF-16 or UTF-32; save it as UTF-8")
        }
    }

    /// Whether the text begins like ASCII in UTF-16 with its zero bytes at even or odd places.
    private func isTwoBytesWide(zero: Int) -> Bool {
        count % 2 == 0 && base[zero] == 0 && base[1 - zero] != 0 && (count < 4 || base[2 + zero] == 0)
    }

    // MARK: Values

    mutating func value() throws(Failure) -> Builder.Value {
        values += 1
        guard values <= limits.maximumValues else {
            let message = "more than \(limits.maximumValues) values, which are accepted here"
            throw Failure(code: .tooManyValues, offset: cursor, message: message)
        }
        guard cursor < count else { throw .expected("a value", at: cursor) }
        let mark = builder.mark(cursor)
        switch base[cursor] {
        case UInt8(ascii: "{"):
            return try object(mark)
        case UInt8(ascii: "["):
            return try array(mark)
        case UInt8(ascii: "\""):
            let text = try string()
            return builder.string(text, mark, cursor)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return try number(mark)
        case UInt8(ascii: "t"):
            try word("true")
            return builder.bool(true, mark, cursor)
        case UInt8(ascii: "f"):
            try word("false")
            return builder.bool(false, mark, cursor)
        case UInt8(ascii: "n"):
            try word("null")
            return builder.null(mark, cursor)
        case UInt8(ascii: "+"), UInt8(ascii: "."):
            guard isJSON5 else {
                let message = "a number starts with a digit or '-'"
                throw Failure(code: .badNumber, offset: cursor, message: message)
            }
            return try number(mark)
        case UInt8(ascii: "'"):
            guard isJSON5 else { throw onlyJSON5("strings in single quotes") }
            let text = try string()
            return builder.string(text, mark, cursor)
        default:
            throw unexpectedValue()
        }
    }

    private func unexpectedValue() -> Failure {
        if wordEnd(from: cursor) > cursor {
            let word = String(decoding: bytes[cursor..<wordEnd(from: cursor)].prefix(40), as: UTF8.self)
            switch word {
            case "Infinity", "NaN":
                let message = "\(word) is not a number that JSON can carry"
                return Failure(code: .numberOutOfRange, offset: cursor, message: message)
            default:
                let message = "expected a value, found \"\(word)\"; strings stand in quotation marks"
                return Failure(code: .unexpectedCharacter, offset: cursor, message: message)
            }
        }
        return .expected("a value", at: cursor)
    }

    private mutating func word(_ word: StaticString) throws(Failure) {
        let length = word.utf8CodeUnitCount
        let matches =
            cursor + length <= count
            && (0..<length).allSatisfy { base[cursor + $0] == word.utf8Start[$0] }
            && wordEnd(from: cursor) == cursor + length
        guard matches else {
            let rest = bytes[cursor...]
            let isCut = rest.count < length && (0..<rest.count).allSatisfy { base[cursor + $0] == word.utf8Start[$0] }
            throw isCut ? .expected("\(word)", at: count) : unexpectedValue()
        }
        cursor += length
    }

    /// Where the letters and digits from an offset on end.
    private func wordEnd(from start: Int) -> Int {
        var end = start
        while end < count, Self.isWord(base[end]) { end += 1 }
        return end
    }

    static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"):
            true
        default:
            false
        }
    }

    func onlyJSON5(_ what: String) -> Failure {
        Failure(code: .onlyJSON5, offset: cursor, message: "\(what) are JSON5; this text must be strict JSON")
    }

    // MARK: Arrays and objects

    private mutating func enter(_ what: StaticString) throws(Failure) {
        depth += 1
        guard depth <= limits.maximumDepth else {
            let message = "\(what) at depth \(depth); at most \(limits.maximumDepth) levels are accepted"
            throw Failure(code: .tooDeep, offset: cursor, message: message)
        }
        cursor += 1
        try skipSpace()
    }

    private mutating func array(_ mark: Builder.Mark) throws(Failure) -> Builder.Value {
        try enter("an array")
        var elements: [Builder.Value] = []
        while cursor < count, base[cursor] != UInt8(ascii: "]") {
            elements.append(try value())
            try skipSpace()
            guard try separator(before: UInt8(ascii: "]"), expected: "',' or ']'") else { break }
        }
        guard cursor < count else { throw .expected("a value or ']'", at: cursor) }
        cursor += 1
        depth -= 1
        return builder.array(elements, mark, cursor)
    }

    private mutating func object(_ mark: Builder.Mark) throws(Failure) -> Builder.Value {
        try enter("an object")
        var members: [Builder.Member] = []
        var seen = SeenKeys()
        while cursor < count, base[cursor] != UInt8(ascii: "}") {
            let start = cursor
            let keyMark = builder.mark(start)
            let key = try key()
            if let first = seen.insert(key, UnsafeRawBufferPointer(rebasing: bytes[start..<cursor]), members, builder) {
                let place = first.map { " (first at \($0))" } ?? ""
                let name = key.utf8.count > 60 ? "\(key.prefix(40))…" : key
                var failure = Failure(
                    code: .duplicateKey, offset: start, message: "the key \"\(name)\" appears twice\(place)")
                failure.related = first
                throw failure
            }
            try skipSpace()
            guard cursor < count, base[cursor] == UInt8(ascii: ":") else {
                throw .expected("':' after the key", at: cursor)
            }
            cursor += 1
            try skipSpace()
            // An array that grows by itself is moved at two, three and five members.
            if members.isEmpty { members.reserveCapacity(4) }
            members.append(builder.member(key, keyMark, try value()))
            try skipSpace()
            guard try separator(before: UInt8(ascii: "}"), expected: "',' or '}'") else { break }
        }
        guard cursor < count else { throw .expected("a key or '}'", at: cursor) }
        cursor += 1
        depth -= 1
        return builder.object(members, index: seen.index, mark, cursor)
    }

    /// Takes the comma after an element or member; false when the closing bracket is next (it is not taken).
    private mutating func separator(before close: UInt8, expected: String) throws(Failure) -> Bool {
        guard cursor < count else { throw .expected(expected, at: cursor) }
        if base[cursor] == close { return false }
        guard base[cursor] == UInt8(ascii: ",") else { throw .expected(expected, at: cursor) }
        let comma = cursor
        cursor += 1
        try skipSpace()
        if cursor < count, base[cursor] == close, !isJSON5 {
            cursor = comma
            throw onlyJSON5("trailing commas")
        }
        return true
    }

    private mutating func key() throws(Failure) -> String {
        switch base[cursor] {
        case UInt8(ascii: "\""):
            return try string()
        case UInt8(ascii: "'"):
            guard isJSON5 else { throw onlyJSON5("keys in single quotes") }
            return try string()
        default:
            guard isJSON5 else {
                if Self.isWord(base[cursor]) { throw onlyJSON5("keys without quotation marks") }
                throw .expected("a key in quotation marks", at: cursor)
            }
            return try identifier()
        }
    }
}
