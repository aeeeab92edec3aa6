/// A place in a JSON text: line and column, both counted from 1, the column in characters (Unicode scalars).
///
/// A line ends with LF, CRLF or a lone CR; a tab is one character.
public struct JSONPosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The line, from 1.
    public let line: Int
    /// The column in characters, from 1.
    public let column: Int

    /// A position from its two numbers.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// `12:5`, to be put after a file's name and a colon.
    public var description: String { "\(line):\(column)" }

    /// Orders positions as they follow each other in a text.
    public static func < (left: JSONPosition, right: JSONPosition) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }
}

/// Turns byte offsets into positions; asked in rising order it reads every byte only once.
struct PositionTracker {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0
    private var line = 1
    private var column = 1

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// The position of the byte at `target`, which must not lie before the last one asked for.
    mutating func position(at target: Int) -> JSONPosition {
        let end = min(target, bytes.count)
        while offset < end {
            let byte = bytes[offset]
            offset += 1
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte == UInt8(ascii: "\r") {
                if offset < bytes.count, bytes[offset] == UInt8(ascii: "\n") { continue }
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return JSONPosition(line: line, column: column)
    }
}
