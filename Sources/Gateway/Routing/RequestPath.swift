import HTTP

/// A path that means one thing: taken apart for matching, and in the only spelling in which it is forwarded.
///
/// What another server might read differently is refused, not repaired: dot segments in any spelling (also before a
/// ";"), escaped slashes and backslashes, empty segments ("//"), escaped control characters, bytes that are not UTF-8,
/// and an escaped "%" before two hexadecimal digits (a second escape, which some servers decode as well). Unreserved
/// characters lose their escapes, other escapes get upper-case digits (RFC 3986, 6.2.2): so what was matched and what is
/// forwarded are the same text.
public struct RequestPath: Sendable, Hashable {
    /// The decoded segments; a path that ends with "/" has an empty one at its end, "/" itself has only that.
    public let segments: [String]
    /// Each segment as it is forwarded.
    let spelled: [String]

    /// Each segment as it is looked up: everything but unreserved characters escaped. ASCII, since equality of other
    /// texts is not equality of bytes.
    let keys: [String]
    /// Each segment as a careless server would look it up.
    let foldedKeys: [String]
    /// The path as it is forwarded when nothing is rewritten.
    public let text: String

    /// Reads a raw path as `HTTPRequestHead.path` has it.
    public init(parsing path: String) throws(EdgeRefusal) {
        guard path.utf8.first == 0x2F else {
            throw EdgeRefusal(.badTarget, status: 400, "the target must be a path or an http URL")
        }
        var segments: [String] = []
        var spelled: [String] = []
        var keys: [String] = []
        var folded: [String] = []
        let parts = path.utf8.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.isEmpty, index < parts.count - 1 {
                throw EdgeRefusal(.emptySegment, status: 400, "the path has two slashes in a row; send one")
            }
            // Most segments are what they say.
            if part.allSatisfy({ Text.isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F }) {
                let text = String(Substring(part))
                segments.append(text)
                spelled.append(text)
                keys.append(text)
                folded.append(part.contains { $0 &- 0x41 < 26 } ? Text.lowercased(text) : text)
                continue
            }
            let segment = try PathSegment(Array(part))
            segments.append(segment.decoded)
            spelled.append(segment.spelled)
            keys.append(PercentEncoding.encode(segment.decoded))
            folded.append(PathSegment.folded(segment.decoded))
        }
        self.segments = segments
        self.spelled = spelled
        self.keys = keys
        foldedKeys = folded
        text = "/\(spelled.joined(separator: "/"))"
    }
}

/// One segment of a path: checked, decoded, and spelled canonically.
struct PathSegment {
    let decoded: String
    let spelled: String

    init(_ raw: [UInt8]) throws(EdgeRefusal) {
        var decoded: [UInt8] = []
        var spelled: [UInt8] = []
        var index = 0
        while index < raw.count {
            let byte = raw[index]
            index += 1
            guard byte == 0x25 else {
                if byte == 0x5C { throw Self.slash }
                decoded.append(byte)
                spelled.append(byte)
                continue
            }
            guard index + 1 < raw.count, let high = Text.hexValue(raw[index]), let low = Text.hexValue(raw[index + 1])
            else { throw EdgeRefusal(.badTarget, status: 400, "% must be followed by two hexadecimal digits") }
            let value = high << 4 | low
            index += 2
            if value < 0x20 || value == 0x7F {
                throw EdgeRefusal(.forbiddenPathByte, status: 400, "the path has an escaped control character")
            }
            if value == 0x2F || value == 0x5C { throw Self.slash }
            decoded.append(value)
            if Text.isAlphanumeric(value) || "-._~".utf8.contains(value) {
                spelled.append(value)
            } else {
                spelled += [0x25, Text.upperDigit(high), Text.upperDigit(low)]
            }
        }
        // Looked for behind the escapes: "%25%36%31" is "%61" as well.
        for start in decoded.indices.dropLast(2) where decoded[start] == 0x25 {
            if Text.hexValue(decoded[start + 1]) != nil, Text.hexValue(decoded[start + 2]) != nil {
                throw EdgeRefusal(.doubleEncoding, status: 400, "the path is escaped twice")
            }
        }
        // Servers that know parameters look at what comes before the ";".
        let name = decoded.prefix { $0 != 0x3B }
        if 1...2 ~= name.count, name.allSatisfy({ $0 == 0x2E }) {
            throw EdgeRefusal(.dotSegment, status: 400, "the path has a . or .. segment; send the path it leads to")
        }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw EdgeRefusal(.pathNotUTF8, status: 400, "the path is not UTF-8 behind its escapes")
        }
        self.decoded = text
        self.spelled = String(decoding: spelled, as: UTF8.self)
    }

    private static var slash: EdgeRefusal {
        EdgeRefusal(.encodedSlash, status: 400, "the path has an escaped slash or a backslash")
    }

    /// The segment as a careless server might compare it: without parameters, without dots and blanks at its end (as
    /// Windows has it), in lower case.
    static func folded(_ segment: String) -> String {
        var bytes = Array(segment.utf8.prefix { $0 != 0x3B })
        while let last = bytes.last, last == 0x2E || last == 0x20 { bytes.removeLast() }
        return PercentEncoding.encode(String(decoding: bytes.map(Text.lowered), as: UTF8.self))
    }
}
