extension Parser {
    /// Moves on to the next byte that is neither white space nor, in JSON5, part of a comment.
    @inline(__always)
    mutating func skipSpace() throws(Failure) {
        while cursor < count {
            switch base[cursor] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"):
                cursor += 1
            case UInt8(ascii: "/"):
                try skipComment()
            case 0x0B, 0x0C, 0x80...0xFF:
                guard isJSON5, skipForeignSpace() else { return }
            default:
                return
            }
        }
    }

    /// JSON5's further white space: vertical tab, form feed, Unicode's spaces, line and paragraph separator.
    private mutating func skipForeignSpace() -> Bool {
        guard let scalar = Failure.scalar(in: bytes, at: cursor) else { return false }
        switch scalar {
        case "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}", "\u{2028}", "\u{2029}":
            break
        default:
            guard scalar.properties.generalCategory == .spaceSeparator else { return false }
        }
        cursor += UTF8.width(scalar)
        return true
    }

    private mutating func skipComment() throws(Failure) {
        guard cursor + 1 < count, base[cursor + 1] == UInt8(ascii: "/") || base[cursor + 1] == UInt8(ascii: "*") else {
            throw .expected("a value, a bracket or a comma", at: cursor)
        }
        guard isJSON5 else { throw onlyJSON5("comments") }
        let start = cursor
        let isBlock = base[cursor + 1] == UInt8(ascii: "*")
        cursor += 2
        while cursor < count {
            let byte = base[cursor]
            if byte >= 0x80 {
                guard let scalar = Failure.scalar(in: bytes, at: cursor) else { throw invalidUTF8(from: cursor) }
                if !isBlock, scalar == "\u{2028}" || scalar == "\u{2029}" { return }
                cursor += UTF8.width(scalar)
                continue
            }
            if isBlock {
                if byte == UInt8(ascii: "*"), cursor + 1 < count, base[cursor + 1] == UInt8(ascii: "/") {
                    cursor += 2
                    return
                }
            } else if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                return
            }
            cursor += 1
        }
        if isBlock {
            throw Failure(code: .unterminatedComment, offset: start, message: "this comment is not closed by \"*/\"")
        }
    }

    /// The failure for the first bytes from an offset on that are not UTF-8.
    func invalidUTF8(from start: Int) -> Failure {
        var offset = start
        while offset < count, let scalar = Failure.scalar(in: bytes, at: offset) {
            offset += UTF8.width(scalar)
        }
        let byte = offset < count ? Failure.hexadecimal(UInt32(base[offset]), digits: 2) : "00"
        return Failure(code: .invalidUTF8, offset: offset, message: "the byte \(byte) here is not UTF-8")
    }
}
