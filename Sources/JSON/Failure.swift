/// A refusal as the parser sees it: an offset, not yet a position.
struct Failure: Error {
    let code: JSONError.Code
    /// The byte that is wrong; the text's length for its end.
    let offset: Int
    let message: String
    /// Whether what stands at `offset` is to be named after the message.
    var showsFound = false
    var related: JSONPosition?

    static func expected(_ what: String, at offset: Int, code: JSONError.Code = .unexpectedCharacter) -> Failure {
        Failure(code: code, offset: offset, message: "expected \(what)", showsFound: true)
    }

    /// The error for callers: with line and column, and what was found.
    func reported(in bytes: UnsafeRawBufferPointer) -> JSONError {
        var tracker = PositionTracker(bytes)
        let position = tracker.position(at: offset)
        var code = code
        var message = message
        if showsFound {
            if offset >= bytes.count {
                if code == .unexpectedCharacter { code = .unexpectedEnd }
                message += ", found the end of the text"
            } else if let scalar = Self.scalar(in: bytes, at: offset) {
                message += ", found \(Self.name(of: scalar))"
            } else {
                code = .invalidUTF8
                message += ", found the byte \(Self.hexadecimal(UInt32(bytes[offset]), digits: 2)), which is not UTF-8"
            }
        }
        return JSONError(code: code, position: position, message: message, related: related)
    }

    /// The character at an offset, nil when the bytes there are not UTF-8.
    static func scalar(in bytes: UnsafeRawBufferPointer, at offset: Int) -> Unicode.Scalar? {
        var decoder = UTF8()
        var rest = bytes[offset...].makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&rest) else { return nil }
        return scalar
    }

    /// The character in quotation marks, or its number where it would not be seen.
    static func name(of scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n", "\r": return "the end of the line"
        case "\t": return "a tab"
        case "'": return "\"'\""
        default:
            switch scalar.properties.generalCategory {
            case .control, .format, .unassigned, .surrogate, .privateUse, .lineSeparator, .paragraphSeparator,
                .spaceSeparator, .nonspacingMark, .enclosingMark:
                return "the character U+\(hexadecimal(scalar.value, digits: 4))"
            default:
                return "'\(scalar)'"
            }
        }
    }

    /// Upper-case hexadecimal with at least so many digits.
    static func hexadecimal(_ value: UInt32, digits: Int) -> String {
        let text = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
