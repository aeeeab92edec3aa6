/// Host and optional port, as in the Host field and in request targets (RFC 3986, 3.2).
public struct HTTPAuthority: Sendable, Hashable, CustomStringConvertible {
    /// Name, IPv4 address, or IPv6 address in brackets, as sent.
    public let host: String
    /// The port, where one was given.
    public let port: UInt16?

    /// Reads `host` or `host:port`. User information, percent-escapes, empty hosts and empty ports are refused.
    public init(parsing text: String) throws(HTTPError) {
        var text = text
        let parsed = text.withUTF8 { Self.parse(UnsafeRawBufferPointer($0)) }
        guard let parsed else { throw Self.error }
        self = parsed
    }

    init(_ bytes: UnsafeRawBufferPointer) throws(HTTPError) {
        guard let parsed = Self.parse(bytes) else { throw Self.error }
        self = parsed
    }

    private init(host: String, port: UInt16?) {
        self.host = host
        self.port = port
    }

    /// As sent.
    public var description: String { port.map { "\(host):\($0)" } ?? host }

    /// Whether both mean the same host and, with `defaultPort` where none is given, the same port.
    public func matches(_ other: HTTPAuthority, defaultPort: UInt16?) -> Bool {
        Grammar.equalIgnoringCase(host, other.host) && (port ?? defaultPort) == (other.port ?? defaultPort)
    }

    static var error: HTTPError {
        HTTPError(.badHost, "Host must be a name or an address, with an optional port, and nothing else")
    }

    /// Longest host name (RFC 1035, 2.3.4, with the dots).
    private static let longestHost = 255

    static func parse(_ bytes: UnsafeRawBufferPointer) -> HTTPAuthority? {
        var hostEnd = bytes.count
        if bytes.first == 0x5B {
            guard let bracket = bytes.firstIndex(of: 0x5D), isIPv6(bytes[1..<bracket]) else { return nil }
            hostEnd = bracket + 1
        } else {
            hostEnd = bytes.firstIndex(of: 0x3A) ?? bytes.count
            let name = bytes[..<hostEnd]
            guard !name.isEmpty, name.count <= longestHost, name.allSatisfy({ Grammar.hostName.contains($0) }) else {
                return nil
            }
            // A dot at the start or two in a row name no host; one at the end is the root.
            var previous: UInt8 = 0x2E
            for byte in name {
                if byte == 0x2E, previous == 0x2E { return nil }
                previous = byte
            }
        }
        let host = String(decoding: bytes[..<hostEnd], as: UTF8.self)
        if hostEnd == bytes.count { return HTTPAuthority(host: host, port: nil) }
        guard bytes[hostEnd] == 0x3A else { return nil }
        let digits = bytes[(hostEnd + 1)...]
        guard 1...5 ~= digits.count, digits.allSatisfy(Grammar.isDigit) else { return nil }
        guard let port = UInt16(String(decoding: digits, as: UTF8.self)), port > 0 else { return nil }
        return HTTPAuthority(host: host, port: port)
    }

    /// Groups of one to four hexadecimal digits, one `::` at most, an IPv4 address for the last two (RFC 3986, 3.2.2).
    /// No zone: it means nothing to anybody else.
    private static func isIPv6(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard bytes.count >= 2, bytes.count <= 45 else { return false }
        let text = String(decoding: bytes, as: UTF8.self)
        let halves = split(text)
        guard halves.count <= 2 else { return false }
        var groups = 0
        for (index, half) in halves.enumerated() where !half.isEmpty {
            let parts = half.split(separator: ":", omittingEmptySubsequences: false)
            for (position, part) in parts.enumerated() {
                let isLast = index == halves.count - 1 && position == parts.count - 1
                if isLast, part.contains(".") {
                    guard isIPv4(part) else { return false }
                    groups += 2
                } else {
                    guard 1...4 ~= part.utf8.count, part.utf8.allSatisfy({ Grammar.hexValue($0) != nil }) else {
                        return false
                    }
                    groups += 1
                }
            }
        }
        return halves.count == 2 ? groups <= 7 : groups == 8
    }

    /// The parts of `text` around each `::`.
    private static func split(_ text: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = text[...]
        while let colons = rest.utf8.indices.first(where: { index in
            let next = rest.utf8.index(after: index)
            return rest.utf8[index] == 0x3A && next < rest.endIndex && rest.utf8[next] == 0x3A
        }) {
            parts.append(rest[..<colons])
            rest = rest[rest.utf8.index(colons, offsetBy: 2)...]
        }
        return parts + [rest]
    }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy {
                1...3 ~= $0.utf8.count && $0.utf8.allSatisfy(Grammar.isDigit)
                    && ($0.utf8.count == 1 || $0.utf8.first != 0x30)
                    && UInt8($0) != nil
            }
    }
}
