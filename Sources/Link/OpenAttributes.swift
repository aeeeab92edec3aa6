internal import Bytes

/// What OPEN says about an external principal (`jwt:…`, `key:…`) besides its name: extension type 2.
///
/// Lists of texts by name, as the token or API key told them to the node that opens. The receiver maps them under its
/// own policy. Layout: for each attribute, names ascending by bytes, the name (length 1, visible ASCII), the number of
/// values (1), and each value (length 1, UTF-8); all in at most 1,024 bytes.
public enum OpenAttributes {
    /// The extension's number.
    public static let extensionType: UInt16 = 2
    /// The most bytes of a name.
    public static let maximumName = 64
    /// The most bytes of a value.
    public static let maximumValue = 255
    /// The most values of one attribute.
    public static let maximumValues = 255

    /// The extension's content; attributes without values are left out, so that the result may be empty. Nil when a name
    /// or value can't be written, or all together are too long.
    public static func encoded(_ attributes: [String: [String]]) -> [UInt8]? {
        var writer = ByteWriter(minimumCapacity: 128)
        for (name, values) in attributes.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            guard !values.isEmpty else { continue }
            guard isName(name), values.count <= maximumValues else { return nil }
            writer.writeUInt8(UInt8(name.utf8.count))
            writer.writeString(name)
            writer.writeUInt8(UInt8(values.count))
            for value in values {
                guard value.utf8.count <= maximumValue else { return nil }
                writer.writeUInt8(UInt8(value.utf8.count))
                writer.writeString(value)
            }
            guard writer.bytes.count <= FrameExtension.maximumSize else { return nil }
        }
        return writer.bytes
    }

    /// The attributes of an extension's content.
    public static func parse(_ content: [UInt8]) throws(PayloadError) -> [String: [String]] {
        let parsed = content.withUnsafeBytes { bytes in
            Result { () throws(PayloadError) in try read(bytes) }
        }
        return try parsed.get()
    }

    private static func read(_ content: UnsafeRawBufferPointer) throws(PayloadError) -> [String: [String]] {
        guard !content.isEmpty else { throw .badField("attributes") }
        var reader = PayloadReader(content)
        var attributes: [String: [String]] = [:]
        var last = ""
        while !reader.isAtEnd {
            let name = try reader.shortText()
            guard isName(name), last.utf8.lexicographicallyPrecedes(name.utf8) else {
                throw .badField("attribute name")
            }
            last = name
            let count = Int(try reader.uint8())
            guard count > 0 else { throw .badField("attribute values") }
            var values: [String] = []
            for _ in 0..<count { values.append(try reader.shortText()) }
            attributes[name] = values
        }
        return attributes
    }

    private static func isName(_ name: String) -> Bool {
        (1...maximumName).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }
}

extension OpenRequest {
    /// The attributes of the principal that the request names; none where it carries none.
    ///
    /// They are read apart from the rest: a request whose attributes are malformed is refused (`bad_open`), which costs
    /// its stream and not the link.
    public func attributes() throws(PayloadError) -> [String: [String]] {
        guard let item = extensions.first(where: { $0.type == OpenAttributes.extensionType }) else { return [:] }
        return try OpenAttributes.parse(item.value)
    }
}
