extension Parser {
    /// Reads a string; the cursor is at its opening quotation mark.
    mutating func string() throws(Failure) -> String {
        let quote = base[cursor]
        let start = cursor + 1
        let end = plainEnd(from: start, quote)
        if end < count, base[end] == quote {
            cursor = end + 1
            return try text(start, end)
        }
        return try escapedString(start, plainEnd: end, quote)
    }

    /// Where the run of characters ends that stand for themselves: at a quotation mark, a backslash, a control
    /// character or the end of the text.
    @inline(__always)
    private func plainEnd(from start: Int, _ quote: UInt8) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let quotes = ones &* UInt64(quote)
        let backslashes = ones &* UInt64(UInt8(ascii: "\\"))
        var end = start
        while end + 8 <= count {
            let word = UInt64(
                littleEndian: UnsafeRawPointer(base + end).loadUnaligned(as: UInt64.self))
            // The classic "has a zero byte" and "has a byte below 0x20"; false alarms occur only above a true one.
            let atQuote = ((word ^ quotes) &- ones) & ~(word ^ quotes)
            let atBackslash = ((word ^ backslashes) &- ones) & ~(word ^ backslashes)
            let atControl = (word &- ones &* 0x20) & ~word
            let stops = (atQuote | atBackslash | atControl) & highs
            if stops != 0 { return end + stops.trailingZeroBitCount / 8 }
            end += 8
        }
        while end < count {
            let byte = base[end]
            if byte == quote || byte == UInt8(ascii: "\\") || byte < 0x20 { return end }
            end += 1
        }
        return end
    }

    /// The bytes as a string, refused when they are not UTF-8.
    @inline(__always)
    private func text(_ start: Int, _ end: Int) throws(Failure) -> String {
        let slice = UnsafeBufferPointer(start: base + start, count: end - start)
        // The standard library's strict conversion is generic and costs more than all the rest of a short string.
        if Self.isASCII(slice) { return String(decoding: slice, as: UTF8.self) }
        guard let text = String(validating: slice, as: UTF8.self) else { throw invalidUTF8(from: start) }
        return text
    }

    /// Whether all bytes are ASCII, eight at a time.
    @inline(__always)
    private static func isASCII(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        var seen: UInt64 = 0
        var place = 0
        while place + 8 <= bytes.count {
            seen |= UnsafeRawPointer(base + place).loadUnaligned(as: UInt64.self)
            place += 8
        }
        while place < bytes.count {
            seen |= UInt64(base[place])
            place += 1
        }
        return seen & 0x8080_8080_8080_8080 == 0
    }

    private mutating func escapedString(_ start: Int, plainEnd: Int, _ quote: UInt8) throws(Failure) -> String {
        var text = try text(start, plainEnd)
        cursor = plainEnd
        while true {
            guard cursor < count else {
                throw Failure(
                    code: .unterminatedString, offset: start - 1, message: "this string has no closing quotation mark")
            }
            let byte = base[cursor]
            if byte == quote {
                cursor += 1
                return text
            }
            guard byte == UInt8(ascii: "\\") else { throw controlCharacter(byte, stringStart: start - 1) }
            try escape(into: &text)
            let end = self.plainEnd(from: cursor, quote)
            text += try self.text(cursor, end)
            cursor = end
        }
    }

    private func controlCharacter(_ byte: UInt8, stringStart: Int) -> Failure {
        if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
            let message = "the line ends inside of a string; close it, or write \\n for a line break"
            return Failure(code: .controlCharacter, offset: cursor, message: message)
        }
        let escape = byte == UInt8(ascii: "\t") ? "\\t" : "\\u\(Failure.hexadecimal(UInt32(byte), digits: 4))"
        let message = "a control character inside of a string; write \(escape)"
        return Failure(code: .controlCharacter, offset: cursor, message: message)
    }

    /// Reads one escape; the cursor is at its backslash.
    private mutating func escape(into text: inout String) throws(Failure) {
        let start = cursor
        guard cursor + 1 < count else {
            throw Failure(code: .badEscape, offset: start, message: "the text ends inside of an escape")
        }
        let letter = base[cursor + 1]
        cursor += 2
        switch letter {
        case UInt8(ascii: "\""): text.unicodeScalars.append("\"")
        case UInt8(ascii: "\\"): text.unicodeScalars.append("\\")
        case UInt8(ascii: "/"): text.unicodeScalars.append("/")
        case UInt8(ascii: "b"): text.unicodeScalars.append("\u{08}")
        case UInt8(ascii: "f"): text.unicodeScalars.append("\u{0C}")
        case UInt8(ascii: "n"): text.unicodeScalars.append("\n")
        case UInt8(ascii: "r"): text.unicodeScalars.append("\r")
        case UInt8(ascii: "t"): text.unicodeScalars.append("\t")
        case UInt8(ascii: "u"): text.unicodeScalars.append(try unicodeEscape(start))
        default:
            cursor = start
            guard isJSON5 else {
                let message = "an escape is one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"
                throw Failure(code: .badEscape, offset: start, message: message)
            }
            try foreignEscape(letter, into: &text)
        }
    }

    /// The character of `\uXXXX`, of a pair of them for a surrogate pair; the cursor is behind the `u`.
    private mutating func unicodeEscape(_ start: Int) throws(Failure) -> Unicode.Scalar {
        let first = try hexadecimal(digits: 4, start)
        if let scalar = Unicode.Scalar(first) { return scalar }
        let lone = "\\u\(Failure.hexadecimal(first, digits: 4)) is half of a surrogate pair"
        guard first < 0xDC00, cursor + 1 < count, base[cursor] == UInt8(ascii: "\\"),
            base[cursor + 1] == UInt8(ascii: "u")
        else {
            throw Failure(code: .loneSurrogate, offset: start, message: "\(lone) without the other half")
        }
        cursor += 2
        let second = try hexadecimal(digits: 4, cursor - 2)
        guard 0xDC00...0xDFFF ~= second,
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else {
            throw Failure(code: .loneSurrogate, offset: start, message: "\(lone) without the other half")
        }
        return scalar
    }

    private mutating func hexadecimal(digits: Int, _ start: Int) throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard cursor < count, let digit = Self.hexadecimalDigit(base[cursor]) else {
                let message = "this escape needs \(digits) hexadecimal digits"
                throw Failure(code: .badEscape, offset: start, message: message)
            }
            value = value << 4 | UInt32(digit)
            cursor += 1
        }
        return value
    }

    static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// JSON5's further escapes; the cursor is at the backslash.
    private mutating func foreignEscape(_ letter: UInt8, into text: inout String) throws(Failure) {
        let start = cursor
        cursor += 2
        switch letter {
        case UInt8(ascii: "'"): text.unicodeScalars.append("'")
        case UInt8(ascii: "v"): text.unicodeScalars.append("\u{0B}")
        case UInt8(ascii: "x"): text.unicodeScalars.append(Unicode.Scalar(UInt8(try hexadecimal(digits: 2, start))))
        case UInt8(ascii: "\n"): break
        case UInt8(ascii: "\r"):
            if cursor < count, base[cursor] == UInt8(ascii: "\n") { cursor += 1 }
        case UInt8(ascii: "0"):
            if cursor < count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= base[cursor] { fallthrough }
            text.unicodeScalars.append("\0")
        case UInt8(ascii: "1")...UInt8(ascii: "9"):
            let message = "a digit cannot be escaped; write \\xXX or \\uXXXX"
            throw Failure(code: .badEscape, offset: start, message: message)
        case 0..<0x20:
            cursor = start + 1
            throw controlCharacter(letter, stringStart: start)
        default:
            guard let scalar = Failure.scalar(in: bytes, at: start + 1) else { throw invalidUTF8(from: start + 1) }
            cursor = start + 1 + UTF8.width(scalar)
            if scalar != "\u{2028}", scalar != "\u{2029}" { text.unicodeScalars.append(scalar) }
        }
    }

    /// Reads a key without quotation marks: letters, digits, `_`, `$` and, beyond ASCII, Unicode's identifiers.
    mutating func identifier() throws(Failure) -> String {
        let start = cursor
        while cursor < count {
            let byte = base[cursor]
            if byte < 0x80 {
                let isDigit = UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                guard Self.isWord(byte), cursor > start || !isDigit else { break }
                cursor += 1
            } else {
                guard let scalar = Failure.scalar(in: bytes, at: cursor) else { throw invalidUTF8(from: cursor) }
                let properties = scalar.properties
                guard cursor > start ? properties.isIDContinue : properties.isIDStart else { break }
                cursor += UTF8.width(scalar)
            }
        }
        guard cursor > start else { throw .expected("a key", at: start) }
        return try text(start, cursor)
    }
}
