internal import Bytes

/// A payload that does not follow the protocol. The link that carried it ends with `LinkReason.protocolError`.
public enum PayloadError: Error, Sendable, Hashable {
    /// The payload ends before what it announces.
    case truncated
    /// Bytes follow after the end.
    case trailingBytes
    /// Text that is not UTF-8.
    case invalidUTF8
    /// A field with a value that is not allowed; the name is the one of `docs/link-protocol.md`.
    case badField(String)
    /// The same extension twice.
    case duplicateExtension(UInt16)

    /// Stable name for logs.
    public var code: String {
        switch self {
        case .truncated: "truncated"
        case .trailingBytes: "trailing_bytes"
        case .invalidUTF8: "invalid_utf8"
        case .badField: "bad_field"
        case .duplicateExtension: "duplicate_extension"
        }
    }
}

/// Reads the fields of a payload and turns every failure into a `PayloadError`.
struct PayloadReader {
    private var reader: ByteReader

    init(_ payload: UnsafeRawBufferPointer) { reader = ByteReader(payload) }

    var isAtEnd: Bool { reader.isAtEnd }

    mutating func uint8() throws(PayloadError) -> UInt8 {
        do { return try reader.readUInt8() } catch { throw .truncated }
    }

    mutating func uint16() throws(PayloadError) -> UInt16 {
        do { return try reader.readUInt16() } catch { throw .truncated }
    }

    mutating func uint32() throws(PayloadError) -> UInt32 {
        do { return try reader.readUInt32() } catch { throw .truncated }
    }

    mutating func uint64() throws(PayloadError) -> UInt64 {
        do { return try reader.readUInt64() } catch { throw .truncated }
    }

    mutating func bytes(_ count: Int) throws(PayloadError) -> UnsafeRawBufferPointer {
        do { return try reader.readBytes(count) } catch { throw .truncated }
    }

    mutating func text(_ count: Int) throws(PayloadError) -> String {
        let text: String?
        do { text = try reader.readString(utf8: count) } catch { throw .truncated }
        guard let text else { throw .invalidUTF8 }
        return text
    }

    /// A string with its length in one byte before it.
    mutating func shortText() throws(PayloadError) -> String {
        try text(Int(try uint8()))
    }

    /// What remains, as text of at most `limit` bytes.
    mutating func remainingText(limit: Int, field: String) throws(PayloadError) -> String {
        guard reader.remaining <= limit else { throw .badField(field) }
        return try text(reader.remaining)
    }

    func finish() throws(PayloadError) {
        guard reader.isAtEnd else { throw .trailingBytes }
    }
}

/// An extension of HELLO or OPEN: a number and its bytes. Unknown numbers are ignored.
public struct FrameExtension: Sendable, Hashable {
    /// The extension's number. Even an unknown one may appear only once in a payload.
    public var type: UInt16
    /// Its content, at most 1,024 bytes.
    public var value: [UInt8]

    /// Longest content in bytes.
    public static let maximumSize = 1_024
    /// Most extensions in one payload.
    public static let maximumCount = 16

    /// An extension from its parts.
    public init(type: UInt16, value: [UInt8]) {
        self.type = type
        self.value = value
    }

    static func readAll(_ reader: inout PayloadReader) throws(PayloadError) -> [FrameExtension] {
        var result: [FrameExtension] = []
        while !reader.isAtEnd {
            let type = try reader.uint16()
            let count = Int(try reader.uint16())
            guard count <= maximumSize else { throw .badField("extension length") }
            let value = try reader.bytes(count)
            guard result.count < maximumCount else { throw .badField("extensions") }
            guard !result.contains(where: { $0.type == type }) else { throw .duplicateExtension(type) }
            result.append(FrameExtension(type: type, value: [UInt8](value)))
        }
        return result
    }

    static func writeAll(_ extensions: [FrameExtension], to writer: inout ByteWriter) {
        for item in extensions {
            writer.writeUInt16(item.type)
            writer.writeUInt16(UInt16(item.value.count))
            writer.writeBytes(item.value)
        }
    }

    static func fits(_ extensions: [FrameExtension]) -> Bool {
        extensions.count <= maximumCount && extensions.allSatisfy { $0.value.count <= maximumSize }
            && Set(extensions.map(\.type)).count == extensions.count
            && extensions.reduce(0) { $0 + 4 + $1.value.count } <= 2_048
    }
}
