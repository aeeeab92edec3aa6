/// Where something can be reached, before names are resolved: "db.internal:5432", "[::1]:80", "unix:/run/db.sock".
public struct Endpoint: Hashable, Sendable {
    /// Host name, literal address without brackets, or path of a Unix socket.
    public let host: String
    /// The port; nil for Unix sockets.
    public let port: UInt16?
    /// The address, where `host` is a literal one and there is nothing to resolve.
    public let address: SocketAddress?

    /// The endpoint that is just this address.
    public init(_ address: SocketAddress) {
        host = address.host
        port = address.port
        self.address = address
    }

    /// A host name or literal address with a port.
    public init(host: String, port: UInt16) throws(AddressError) {
        let text = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        self = try Self.make(host, port, in: text)
    }

    /// Parses "name:port" or whatever `SocketAddress.init(parsing:)` takes.
    ///
    /// A name consists of labels of letters, digits, hyphens and underscores. Numbers with dots that are no address
    /// ("127.1", "10.0.0.256") are refused; the C library would take some of them for addresses.
    public init(parsing text: String) throws(AddressError) {
        if text.hasPrefix("unix:") {
            self.init(try SocketAddress(parsing: text))
            return
        }
        let (host, port) = try SocketAddress.split(text)
        self = try Self.make(host, port, in: text)
    }

    private init(name: String, port: UInt16) {
        host = name
        self.port = port
        address = nil
    }

    private static func make(_ host: String, _ port: UInt16, in text: String) throws(AddressError) -> Endpoint {
        if let address = try SocketAddress.literal(host, port: port, in: text) { return Endpoint(address) }
        guard isName(host) else { throw AddressError(.badHost, text) }
        return Endpoint(name: host, port: port)
    }

    /// Whether `host` is a legal host name (RFC 1123, with underscores): labels of 1 to 63, in all up to 253 bytes; a
    /// final dot is allowed.
    private static func isName(_ host: String) -> Bool {
        let name = host.hasSuffix(".") ? host.dropLast() : Substring(host)
        guard (1...253).contains(name.utf8.count) else { return false }
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isLegal = labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy(isNameCharacter)
        }
        // A name whose last label is a number would be an address (WHATWG URL, "ends in a number").
        return isLegal && labels.last?.allSatisfy(isDigit) == false
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private static func isNameCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            true
        default: isDigit(byte)
        }
    }
}

extension Endpoint: CustomStringConvertible {
    /// The form that `init(parsing:)` reads.
    public var description: String {
        if let address { return address.description }
        return "\(host):\(port ?? 0)"
    }
}
