internal import CLinux
internal import Glibc

/// Where a socket is bound or connected to.
public enum SocketAddress: Hashable, Sendable {
    /// An IPv4 address and port.
    case ipv4(IPv4Address, port: UInt16)
    /// An IPv6 address, port and zone (interface index; 0 where none is needed).
    case ipv6(IPv6Address, port: UInt16, zone: UInt32 = 0)
    /// A Unix socket's path; empty for an unnamed socket, "@name" for an abstract one.
    case unix(path: String)

    /// Longest path the kernel takes (108 bytes with the terminator).
    public static let maximumPathLength = 107

    /// Parses "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/path" or "unix:@abstract". No names.
    public init(parsing text: String) throws(AddressError) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard Self.isUsable(path: path) else { throw AddressError(.badPath, text) }
            self = .unix(path: path)
            return
        }
        let (host, port) = try Self.split(text)
        guard let address = try Self.literal(host, port: port, in: text) else { throw AddressError(.badHost, text) }
        self = address
    }

    /// The port; nil for Unix sockets.
    public var port: UInt16? {
        switch self {
        case .ipv4(_, let port), .ipv6(_, let port, _): port
        case .unix: nil
        }
    }

    /// The address without port and brackets, or the path of a Unix socket.
    public var host: String {
        switch self {
        case .ipv4(let address, _): address.description
        case .ipv6(let address, _, 0): address.description
        case .ipv6(let address, _, let zone): "\(address)%\(Self.zoneName(zone))"
        case .unix(let path): path
        }
    }

    /// Whether only processes of this host can be at the other end: loopback addresses and Unix sockets.
    public var isLoopback: Bool {
        switch self {
        case .ipv4(let address, _): address.isLoopback
        case .ipv6(let address, _, _): address.isLoopback
        case .unix: true
        }
    }

    /// Whether it stands for all addresses of the host (0.0.0.0 or ::).
    public var isWildcard: Bool {
        switch self {
        case .ipv4(let address, _): address == .any
        case .ipv6(let address, _, _): address == .any
        case .unix: false
        }
    }

    /// The same address with another port; a Unix address is returned unchanged.
    public func with(port: UInt16) -> SocketAddress {
        switch self {
        case .ipv4(let address, _): .ipv4(address, port: port)
        case .ipv6(let address, _, let zone): .ipv6(address, port: port, zone: zone)
        case .unix: self
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// The form that `init(parsing:)` reads: "127.0.0.1:80", "[::1]:80", "unix:/path".
    public var description: String {
        switch self {
        case .ipv4(_, let port): "\(host):\(port)"
        case .ipv6(_, let port, _): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

// MARK: - Parsing

extension SocketAddress {
    /// Splits "host:port" or "[host]:port".
    static func split(_ text: String) throws(AddressError) -> (host: String, port: UInt16) {
        guard !text.isEmpty else { throw AddressError(.empty, text) }
        let host: Substring
        let rest: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw AddressError(.badHost, text) }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
            guard host.contains(":") else { throw AddressError(.badHost, text) }
        } else {
            guard let colon = text.lastIndex(of: ":") else { throw AddressError(.missingPort, text) }
            host = text[..<colon]
            rest = text[colon...]
            // An IPv6 address without brackets: where does it end?
            guard !host.contains(":") else { throw AddressError(.badHost, text) }
        }
        guard rest.first == ":" else { throw AddressError(.missingPort, text) }
        guard let port = Self.port(rest.dropFirst()) else { throw AddressError(.badPort, text) }
        return (String(host), port)
    }

    /// A port in plain decimal.
    private static func port(_ digits: Substring) -> UInt16? {
        guard (1...5).contains(digits.utf8.count) else { return nil }
        guard digits.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else { return nil }
        return UInt16(digits)
    }

    /// The address that `host` is the text of; nil where it is no literal address.
    static func literal(_ host: String, port: UInt16, in text: String) throws(AddressError) -> SocketAddress? {
        if let address = IPv4Address(parsing: host) { return .ipv4(address, port: port) }
        guard host.contains(":") else { return nil }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPv6Address(parsing: String(parts[0])) else { throw AddressError(.badHost, text) }
        guard parts.count == 2 else { return .ipv6(address, port: port) }
        let zone = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
        guard zone != 0 else { throw AddressError(.unknownZone, text) }
        return .ipv6(address, port: port, zone: zone)
    }

    /// Whether the kernel takes this path, or abstract name, for a Unix socket.
    public static func isUsable(path: String) -> Bool {
        (1...maximumPathLength).contains(path.utf8.count) && !path.utf8.contains(0) && path != "@"
    }

    private static func zoneName(_ zone: UInt32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) { buffer in
            if_indextoname(zone, buffer.baseAddress).map { String(cString: $0) } ?? String(zone)
        }
    }
}

// MARK: - The kernel's form

extension SocketAddress {
    /// The address in the kernel's form; nil where `length` and family make no sense.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        let address: SocketAddress? = withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET where Int(length) >= MemoryLayout<sockaddr_in>.size:
                let raw = bytes.loadUnaligned(as: sockaddr_in.self)
                return .ipv4(
                    IPv4Address(UInt32(bigEndian: raw.sin_addr.s_addr)), port: UInt16(bigEndian: raw.sin_port))
            case AF_INET6 where Int(length) >= MemoryLayout<sockaddr_in6>.size:
                let raw = bytes.loadUnaligned(as: sockaddr_in6.self)
                return .ipv6(
                    IPv6Address(raw.sin6_addr), port: UInt16(bigEndian: raw.sin6_port), zone: raw.sin6_scope_id)
            case AF_UNIX:
                return .unix(path: Self.path(bytes.prefix(Int(length)).dropFirst(Self.pathOffset)))
            default:
                return nil
            }
        }
        guard let address else { return nil }
        self = address
    }

    private static var pathOffset: Int { MemoryLayout<sa_family_t>.size }

    private static func path(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        guard let first = bytes.first else { return "" }
        if first == 0 { return "@" + String(decoding: bytes.dropFirst(), as: UTF8.self) }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    var family: Int32 {
        switch self {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Calls `body` with the address in the kernel's form.
    func withRaw<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var storage = sockaddr_storage()
        var length = 0
        withUnsafeMutableBytes(of: &storage) { bytes in
            switch self {
            case .ipv4(let address, let port):
                var raw = sockaddr_in()
                raw.sin_family = sa_family_t(AF_INET)
                raw.sin_port = port.bigEndian
                raw.sin_addr.s_addr = address.value.bigEndian
                length = MemoryLayout<sockaddr_in>.size
                bytes.storeBytes(of: raw, as: sockaddr_in.self)
            case .ipv6(let address, let port, let zone):
                var raw = sockaddr_in6()
                raw.sin6_family = sa_family_t(AF_INET6)
                raw.sin6_port = port.bigEndian
                raw.sin6_addr = address.raw
                raw.sin6_scope_id = zone
                length = MemoryLayout<sockaddr_in6>.size
                bytes.storeBytes(of: raw, as: sockaddr_in6.self)
            case .unix(let path):
                bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                let text = path.utf8.prefix(Self.maximumPathLength)
                let target = UnsafeMutableRawBufferPointer(rebasing: bytes[Self.pathOffset...])
                target.copyBytes(from: text)
                let isAbstract = text.first == UInt8(ascii: "@")
                if isAbstract { target[0] = 0 }
                length = Self.pathOffset + text.count + (isAbstract || text.isEmpty ? 0 : 1)
            }
        }
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }
}
