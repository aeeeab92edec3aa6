internal import JSON
internal import Policy

/// What a registration may contain. The limits are far beyond what people write and keep one node from filling every
/// other node's memory: its registration travels to all of them.
public enum ModelLimits {
    /// Addresses of a node.
    public static let addresses = 16
    /// Bytes of an address: a host name and a port.
    public static let addressLength = 260
    /// Instances of a node.
    public static let services = 4096
    /// Tags of an instance.
    public static let tags = 64
    /// Bytes of a tag or a metadata key.
    public static let labelLength = 128
    /// Members of metadata.
    public static let metadata = 64
    /// Bytes of a metadata value.
    public static let metadataValueLength = 1024
    /// The largest weight.
    public static let weight: Int64 = 65_535
}

/// Checks of single values; each returns the value or says what is wrong with it.
enum Check {
    static func fail(_ message: String) -> JSONAccessError {
        JSONAccessError(code: .badValue, path: "", message: message)
    }

    static func name(_ json: JSONValue) throws(JSONAccessError) -> String {
        let name = try json.requireString()
        guard Name.isLegal(name) else { throw fail("expected a name of \(Name.rule)") }
        return name
    }

    static func bootID(_ json: JSONValue) throws(JSONAccessError) -> String {
        let id = try json.requireString()
        guard isBootID(id) else { throw fail("expected 32 lower-case hexadecimal digits") }
        return id
    }

    static func isBootID(_ id: String) -> Bool {
        id.utf8.count == 32
            && id.utf8.allSatisfy {
                ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
                    || ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "f"))
            }
    }

    /// `host:port` with a port from 1 to 65535; the host is a name, an IPv4 address or an IPv6 address in brackets.
    static func address(_ json: JSONValue) throws(JSONAccessError) -> String {
        let address = try json.requireString()
        let failure = fail("expected HOST:PORT, such as 127.0.1.3:7400 or [::1]:7400")
        guard address.utf8.count <= ModelLimits.addressLength,
            let colon = address.utf8.lastIndex(of: UInt8(ascii: ":"))
        else { throw failure }
        let host = address.utf8[..<colon]
        let port = address[address.utf8.index(after: colon)...]
        guard let number = UInt16(port), number > 0, String(number) == port, !host.isEmpty else { throw failure }
        if host.first == UInt8(ascii: "[") {
            guard host.last == UInt8(ascii: "]"), host.count > 2, host.dropFirst().dropLast().allSatisfy(isIPv6Byte)
            else { throw failure }
        } else {
            guard Name.isLegal(String(address[..<colon])) else { throw failure }
        }
        return address
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// A protocol's name: lower-case letters, digits and `-`.
    static func protocolName(_ json: JSONValue) throws(JSONAccessError) -> String {
        let name = try json.requireString()
        let isLegal = name.utf8.allSatisfy {
            ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z")) || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9"))
                || $0 == UInt8(ascii: "-")
        }
        guard isLegal, !name.isEmpty, name.utf8.count <= 32 else {
            throw fail("expected a protocol such as tcp or http: lower-case letters, digits and `-`")
        }
        return name
    }

    static func tags(_ json: JSONValue) throws(JSONAccessError) -> [String] {
        let tags = try json.requireEach { (tag) throws(JSONAccessError) in
            try text(try tag.requireString(), ModelLimits.labelLength)
        }
        guard tags.count <= ModelLimits.tags else { throw fail("more than \(ModelLimits.tags) tags") }
        guard Set(tags).count == tags.count else { throw fail("a tag appears twice") }
        return tags
    }

    static func metadata(_ json: JSONValue) throws(JSONAccessError) -> [String: String] {
        let metadata = try json.requireStringMap()
        guard metadata.count <= ModelLimits.metadata else { throw fail("more than \(ModelLimits.metadata) members") }
        for (key, value) in metadata {
            do throws(JSONAccessError) {
                _ = try text(key, ModelLimits.labelLength)
                guard value.utf8.count <= ModelLimits.metadataValueLength else {
                    throw fail("more than \(ModelLimits.metadataValueLength) bytes")
                }
            } catch {
                throw error.inside(key)
            }
        }
        return metadata
    }

    /// A label: not empty, not too long, without control characters.
    private static func text(_ text: String, _ limit: Int) throws(JSONAccessError) -> String {
        guard !text.isEmpty, text.utf8.count <= limit, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw fail("expected 1 to \(limit) bytes without control characters")
        }
        return text
    }
}
