import Bytes

/// The binary header (section 2.2): signature, version and command, family and transport, length, addresses, TLVs.
enum ProxyV2 {
    /// Signature, version and command, family, length.
    private static let fixedSize = 16

    static func parse(_ bytes: UnsafeRawBufferPointer) -> ProxyProtocol.Parsed {
        // Wrong bytes are refused as soon as they are here, not when the header is complete.
        if bytes.count > 12, bytes[12] >> 4 != 2 { return .invalid(.badVersion) }
        if bytes.count > 12, bytes[12] & 0x0F > 1 { return .invalid(.badCommand) }
        if bytes.count > 13, bytes[13] >> 4 > 3 || bytes[13] & 0x0F > 2 { return .invalid(.badFamily) }
        guard bytes.count >= fixedSize else { return .incomplete(need: fixedSize) }
        let size = fixedSize + Int(bytes[14]) << 8 + Int(bytes[15])
        guard size <= ProxyProtocol.maximumSize else { return .invalid(.tooLong) }
        guard bytes.count >= size else { return .incomplete(need: size) }
        do {
            return .header(try header(UnsafeRawBufferPointer(rebasing: bytes[..<size])))
        } catch {
            return .invalid(error)
        }
    }

    private static func header(_ bytes: UnsafeRawBufferPointer) throws(ProxyHeaderError) -> ProxyHeader {
        let isLocal = bytes[12] & 0x0F == 0
        let family = bytes[13] >> 4
        let isStream = bytes[13] & 0x0F == 1
        let addressSize = family == 1 ? 12 : family == 2 ? 36 : family == 3 ? 216 : 0
        // With LOCAL the family is to be ignored, and so are the addresses (section 2.2).
        let skipped = isLocal ? min(addressSize, bytes.count - fixedSize) : addressSize
        guard fixedSize + skipped <= bytes.count else { throw .tooShort }
        let isTLS = try readTLVs(bytes, from: fixedSize + skipped, checked: !isLocal)
        let origin: ProxyHeader.Origin =
            if isLocal {
                .local
            } else if family == 1 || family == 2, isStream {
                endpoints(bytes, width: family == 1 ? 4 : 16)
            } else {
                .unknown
            }
        return ProxyHeader(version: 2, origin: origin, clientUsedTLS: isLocal ? nil : isTLS, size: bytes.count)
    }

    private static func endpoints(_ bytes: UnsafeRawBufferPointer, width: Int) -> ProxyHeader.Origin {
        func address(_ offset: Int) -> IPAddress {
            // The width is one of the two that make an address.
            IPAddress(bytes: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + width)])) ?? IPAddress(v4: 0)
        }
        func port(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }
        let ports = fixedSize + 2 * width
        return .relayed(
            source: .init(address(fixedSize), port(ports)),
            destination: .init(address(fixedSize + width), port(ports + 2)))
    }

    /// Steps over the TLVs, checks the checksum, and tells whether the client used TLS.
    private static func readTLVs(
        _ bytes: UnsafeRawBufferPointer, from start: Int, checked: Bool
    ) throws(ProxyHeaderError) -> Bool? {
        var offset = start
        var count = 0
        var isTLS: Bool?
        while checked, offset < bytes.count {
            guard offset + 3 <= bytes.count, count < ProxyProtocol.maximumTLVs else { throw .badTLV }
            let length = Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2])
            let value = offset + 3
            guard value + length <= bytes.count else { throw .badTLV }
            switch bytes[offset] {
            case 0x03:  // PP2_TYPE_CRC32C
                guard length == 4 else { throw .badTLV }
                let expected = bytes[value..<(value + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                guard CRC32C.checksum(bytes, zeroing: value..<(value + 4)) == expected else { throw .badChecksum }
            case 0x20:  // PP2_TYPE_SSL: client bits, four bytes of verification result, more TLVs
                guard length >= 5 else { throw .badTLV }
                isTLS = bytes[value] & 0x01 != 0
            default: break
            }
            offset = value + length
            count += 1
        }
        return isTLS
    }
}

/// The Castagnoli checksum (RFC 3720, appendix B.4). Bit by bit: it runs once a connection, where a proxy sends it at all.
enum CRC32C {
    /// The checksum of `bytes` with those in `range` taken for zeros.
    static func checksum(_ bytes: UnsafeRawBufferPointer, zeroing range: Range<Int>) -> UInt32 {
        var crc: UInt32 = ~0
        for index in 0..<bytes.count {
            crc ^= range.contains(index) ? 0 : UInt32(bytes[index])
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
        }
        return ~crc
    }
}
