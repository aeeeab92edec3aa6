/// Percent-encoding (RFC 3986, 2.1).
public enum PercentEncoding {
    /// `text` with every byte escaped that is not unreserved: safe as one path segment, or as name or value in a query.
    public static func encode(_ text: String) -> String {
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if Grammar.unreserved.contains(byte) {
                encoded.append(byte)
            } else {
                encoded += [0x25, digit(byte >> 4), digit(byte & 15)]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

    /// The bytes behind the escapes. `plusIsSpace` as in forms.
    static func decode(_ text: some Collection<UInt8>, plusIsSpace: Bool = false) throws(HTTPError) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.count)
        var iterator = text.makeIterator()
        while let byte = iterator.next() {
            if byte == 0x2B, plusIsSpace {
                decoded.append(0x20)
            } else if byte == 0x25 {
                guard let high = iterator.next().flatMap(Grammar.hexValue),
                    let low = iterator.next().flatMap(Grammar.hexValue)
                else { throw HTTPError(.badPercentEncoding, "% must be followed by two hexadecimal digits") }
                decoded.append(high << 4 | low)
            } else {
                decoded.append(byte)
            }
        }
        return decoded
    }
}

/// A path taken apart and decoded, for routing and for authorisation.
///
/// Nothing is normalised silently: what another server might read as a different path is refused. That is a "." or ".."
/// segment in any spelling (also before a ";"), an encoded "/" or "\" unless allowed, control characters, and bytes that
/// are not UTF-8.
public struct HTTPPath: Sendable, Hashable {
    /// The decoded segments; a path that ends with "/" has an empty one at its end.
    public let segments: [String]

    /// What happens to `%2F` and `%5C`.
    public enum EncodedSlash: Sendable {
        /// The path is refused with `encoded_slash`.
        case refuse
        /// They become part of the segment.
        case keep
    }

    /// Takes apart a raw path as `HTTPRequestHead.path` has it.
    public init(decoding path: String, encodedSlash: EncodedSlash = .refuse) throws(HTTPError) {
        guard path.utf8.first == 0x2F else { throw HTTPError(.badTarget, "a path must begin with /") }
        var segments: [String] = []
        for raw in path.utf8.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false) {
            // Most segments are letters, digits, "-" and "_", and are what they say.
            if raw.allSatisfy({ Grammar.unreserved.contains($0) && $0 != 0x2E }) {
                segments.append(String(Substring(raw)))
                continue
            }
            let bytes = try PercentEncoding.decode(raw)
            for byte in bytes {
                if byte < 0x20 || byte == 0x7F {
                    throw HTTPError(.forbiddenPathByte, "the path contains an encoded control character")
                }
                if byte == 0x2F || byte == 0x5C, encodedSlash == .refuse {
                    throw HTTPError(.encodedSlash, "the path contains an encoded slash or a backslash")
                }
            }
            // With kept slashes, each part between them counts as a segment here.
            let parts = bytes.split(omittingEmptySubsequences: false) { $0 == 0x2F || $0 == 0x5C }
            if parts.contains(where: { Self.isDots($0.prefix { $0 != 0x3B }) }) {
                throw HTTPError(.dotSegment, "the path contains a . or .. segment; send the path it leads to")
            }
            guard let segment = String(validating: bytes, as: UTF8.self) else {
                throw HTTPError(.notUTF8, "the path is not UTF-8 after decoding")
            }
            segments.append(segment)
        }
        self.segments = segments
    }

    private static func isDots(_ bytes: some Collection<UInt8>) -> Bool {
        1...2 ~= bytes.count && bytes.allSatisfy { $0 == 0x2E }
    }
}
