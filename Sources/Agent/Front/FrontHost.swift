import Glibc

/// What a development certificate should be good for: the names and addresses of this host.
public struct FrontHost: Sendable, Equatable {
    /// Host names.
    public var names: [String]
    /// IP addresses of all interfaces.
    public var addresses: [String]

    /// A host from its parts.
    public init(names: [String], addresses: [String]) {
        self.names = names
        self.addresses = addresses
    }

    /// This host.
    public static var current: FrontHost { FrontHost(names: hostNames, addresses: interfaceAddresses) }

    private static var hostNames: [String] {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return [] }
        return [String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)]
    }

    private static var interfaceAddresses: [String] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var addresses: [String] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr, entry.pointee.ifa_flags & UInt32(IFF_UP) != 0 else {
                continue
            }
            let family = Int32(address.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let length = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            guard
                getnameinfo(
                    address, socklen_t(length), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // A link-local address needs its zone, which no certificate can name.
            if !name.contains("%"), !addresses.contains(name) { addresses.append(name) }
        }
        return addresses
    }
}
