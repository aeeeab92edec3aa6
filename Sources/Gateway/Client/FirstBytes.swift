/// What a connection begins with: for `auto`, for the readable answer to plain HTTP on a TLS port, and for choosing a
/// parser.
public enum FirstBytes: Sendable, Hashable {
    /// Too few bytes to tell; wait for more.
    case needMore
    /// A TLS handshake record (RFC 8446, 5.1).
    case tls
    /// A PROXY protocol header, version 1.
    case proxyV1
    /// A PROXY protocol header, version 2.
    case proxyV2
    /// A request line: a method of capital letters.
    case http
    /// None of these.
    case other

    /// Enough bytes to tell in every case.
    public static let enough = 12

    /// Looks at the first bytes. Takes no more of them into account than needed, so that a client that sends one byte at
    /// a time is recognised as early as possible.
    public static func detect(_ bytes: UnsafeRawBufferPointer) -> FirstBytes {
        guard let first = bytes.first else { return .needMore }
        if first == 0x16 {
            // Handshake, major version 3.
            if bytes.count < 2 { return .needMore }
            return bytes[1] == 3 ? .tls : .other
        }
        let signature = ProxyProtocol.signature
        if first == 0x0D {
            if bytes.starts(with: signature) { return .proxyV2 }
            if signature.starts(with: bytes) { return .needMore }
            // One empty line is allowed before a request (RFC 9112, 2.2).
            return bytes.count > 2 && bytes[1] == 0x0A && isCapital(bytes[2]) ? .http : .other
        }
        guard isCapital(first) else { return .other }
        if bytes.starts(with: ProxyProtocol.word) { return .proxyV1 }
        if ProxyProtocol.word.starts(with: bytes) { return .needMore }
        for (index, byte) in bytes.prefix(enough).enumerated() {
            if byte == 0x20 { return index > 1 ? .http : .other }
            // Methods such as M-SEARCH and VERSION-CONTROL.
            guard isCapital(byte) || byte == 0x2D else { return .other }
        }
        return bytes.count < enough ? .needMore : .http
    }

    private static func isCapital(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }
}
