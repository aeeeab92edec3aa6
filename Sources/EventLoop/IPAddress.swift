internal import Glibc

/// An IPv4 address.
public struct IPv4Address: Hashable, Sendable, CustomStringConvertible {
    /// The address as a number: 127.0.0.1 is 0x7F000001.
    public let value: UInt32

    /// The address with that number.
    public init(_ value: UInt32) { self.value = value }

    /// Parses four decimal numbers ("127.0.0.1"); nil for anything else, short forms and leading zeros included.
    public init?(parsing text: String) {
        var address = in_addr()
        guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
        value = UInt32(bigEndian: address.s_addr)
    }

    /// 0.0.0.0
    public static let any = IPv4Address(0)
    /// 127.0.0.1
    public static let loopback = IPv4Address(0x7F00_0001)

    /// Whether it is in 127.0.0.0/8.
    public var isLoopback: Bool { value >> 24 == 127 }

    /// The four bytes, first byte first.
    public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    /// "127.0.0.1"
    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

/// An IPv6 address without its zone.
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
    /// The first 64 bits.
    public let high: UInt64
    /// The last 64 bits.
    public let low: UInt64

    /// The address with those two halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Parses the text form (RFC 4291 section 2.2) without brackets or zone; nil for anything else.
    public init?(parsing text: String) {
        var address = in6_addr()
        guard inet_pton(AF_INET6, text, &address) == 1 else { return nil }
        self.init(address)
    }

    init(_ address: in6_addr) {
        self = withUnsafeBytes(of: address) { bytes in
            IPv6Address(
                high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    /// ::
    public static let any = IPv6Address(high: 0, low: 0)
    /// ::1
    public static let loopback = IPv6Address(high: 0, low: 1)

    /// The IPv4 address inside ::ffff:a.b.c.d, nil for any other address.
    public var mappedIPv4: IPv4Address? {
        high == 0 && low >> 32 == 0xFFFF ? IPv4Address(UInt32(truncatingIfNeeded: low)) : nil
    }

    /// Whether it is ::1 or a mapped IPv4 loopback address.
    public var isLoopback: Bool { self == .loopback || mappedIPv4?.isLoopback == true }

    /// The sixteen bytes, first byte first.
    public var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
    }

    /// The canonical text form (RFC 5952).
    public var description: String {
        var address = raw
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            guard let text = inet_ntop(AF_INET6, &address, buffer.baseAddress, socklen_t(buffer.count)) else {
                return "?"
            }
            return String(cString: text)
        }
    }

    /// The address in the kernel's form.
    var raw: in6_addr {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) { $0.copyBytes(from: bytes) }
        return address
    }
}
