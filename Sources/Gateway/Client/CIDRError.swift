/// Why a text is no block of addresses.
public struct CIDRError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong.
    public enum Code: Sendable, Hashable {
        /// The part before the slash is no address.
        case badAddress
        /// The part behind the slash is no number of bits of that address.
        case badLength
        /// Bits behind the length are set; the block that they would be cut to.
        case hostBits(CIDR)
    }

    /// What is wrong.
    public let code: Code
    /// The text.
    public let text: String

    init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    /// Stable code for logs.
    public var reason: String {
        switch code {
        case .badAddress: "bad_address"
        case .badLength: "bad_prefix_length"
        case .hostBits: "host_bits_set"
        }
    }

    /// What is wrong and what to write.
    public var description: String {
        switch code {
        case .badAddress: "\"\(text)\" is no address block; write 192.0.2.0/24, 2001:db8::/32 or one address"
        case .badLength: "\"\(text)\" has a bad prefix length; 0 to 32 for IPv4, 0 to 128 for IPv6"
        case .hostBits(let block): "\"\(text)\" has bits set behind its prefix; did you mean \(block)?"
        }
    }
}
