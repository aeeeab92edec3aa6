/// A block of addresses: an address and how many of its leading bits count (RFC 4632).
public struct CIDR: Sendable, Hashable, CustomStringConvertible {
    /// The first address of the block.
    public let base: IPAddress
    /// Number of leading bits that all addresses of the block have in common.
    public let length: Int

    /// The block of the first `length` bits of `address`; nil where the address has fewer bits.
    public init?(_ address: IPAddress, length: Int) {
        guard 0...address.bitCount ~= length else { return nil }
        base = address.prefix(length)
        self.length = length
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or a single address.
    ///
    /// Refused are bits set behind the length (it is not known which of the two was meant) and lengths with leading
    /// zeros. A block of IPv4-mapped addresses becomes the block of IPv4 addresses.
    public init(parsing text: String) throws(CIDRError) {
        let parts = Text.split(text, at: 0x2F, most: 1)
        let addressText = String(parts[0])
        guard let address = IPAddress(parsing: addressText) else { throw CIDRError(.badAddress, text) }
        guard parts.count == 2 else {
            base = address
            length = address.bitCount
            return
        }
        guard let written = Text.port(parts[1]) else { throw CIDRError(.badLength, text) }
        var length = Int(written)
        if address.isIPv4, addressText.utf8.contains(0x3A) {
            // Mapped: the first 96 bits are the mapping itself.
            guard length >= 96 else { throw CIDRError(.badLength, text) }
            length -= 96
        }
        guard let block = CIDR(address, length: length) else { throw CIDRError(.badLength, text) }
        guard block.base == address else { throw CIDRError(.hostBits(block), text) }
        self = block
    }

    /// Whether the address lies in the block. IPv4 addresses lie in no IPv6 block, `::/0` included.
    public func contains(_ address: IPAddress) -> Bool {
        address.isIPv4 == base.isIPv4 && address.prefix(length) == base
    }

    /// Whether the block is 0.0.0.0/0 or ::/0.
    public var isEverything: Bool { length == 0 }

    /// "192.0.2.0/24"
    public var description: String { "\(base)/\(length)" }

    /// The number of the block's last address.
    var last: UInt128 {
        let all = IPAddress.mask(base.bitCount, of: base.bitCount)
        return base.value | all & ~IPAddress.mask(length, of: base.bitCount)
    }
}
