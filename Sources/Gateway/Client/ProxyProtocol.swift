public import Bytes

/// Reads the PROXY protocol's header in front of a connection, versions 1 and 2.
///
/// Only for peers that are trusted to send it: everybody else's bytes are not looked at. Strict: one form for every
/// address, single blanks, known families only; nothing longer than `maximumSize` is waited for.
public enum ProxyProtocol {
    /// What the first bytes of a connection are.
    public enum Parsed: Sendable, Hashable {
        /// The beginning of a header, or of something that may still become one. Nothing was taken; the whole is at
        /// least so many bytes.
        case incomplete(need: Int)
        /// A header, which was taken off the queue.
        case header(ProxyHeader)
        /// Something else; nothing was taken.
        case notProxy
        /// It begins like a header and is none. The connection is to be closed: what the rest means is not known.
        case invalid(ProxyHeaderError)
    }

    /// Largest header accepted. The specification guarantees 536; TLVs with certificates need more.
    public static let maximumSize = 4096
    /// Most TLVs accepted in one header.
    public static let maximumTLVs = 64

    /// Longest v1 line with CR LF (section 2.1).
    static let longestLine = 107
    /// What every v2 header begins with (section 2.2).
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    /// What every v1 header begins with.
    static let word: [UInt8] = Array("PROXY ".utf8)

    /// Looks at the front of `input` and takes a complete header off it.
    public static func parse(_ input: inout ByteQueue) -> Parsed {
        let parsed = input.withReadable { parse($0) }
        if case .header(let header) = parsed { input.consume(header.size) }
        return parsed
    }

    /// Looks at the front of `bytes`.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Parsed {
        if bytes.starts(with: signature) { return ProxyV2.parse(bytes) }
        if bytes.starts(with: word) { return ProxyV1.parse(bytes) }
        if signature.starts(with: bytes) { return .incomplete(need: 16) }
        if word.starts(with: bytes) { return .incomplete(need: word.count) }
        return .notProxy
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n` (section 2.1).
enum ProxyV1 {
    static func parse(_ bytes: UnsafeRawBufferPointer) -> ProxyProtocol.Parsed {
        let window = bytes.prefix(ProxyProtocol.longestLine)
        guard let end = window.firstIndex(where: { $0 == 0x0D || $0 == 0x0A }) else {
            return window.count < ProxyProtocol.longestLine
                ? .incomplete(need: window.count + 1) : .invalid(.lineTooLong)
        }
        guard window[end] == 0x0D else { return .invalid(.badLine) }
        guard end + 1 < ProxyProtocol.longestLine else { return .invalid(.lineTooLong) }
        guard end + 1 < bytes.count else { return .incomplete(need: end + 2) }
        guard bytes[end + 1] == 0x0A else { return .invalid(.badLine) }
        do {
            return .header(try header(String(decoding: bytes[..<end], as: UTF8.self), size: end + 2))
        } catch {
            return .invalid(error)
        }
    }

    private static func header(_ line: String, size: Int) throws(ProxyHeaderError) -> ProxyHeader {
        let parts = Text.split(line, at: 0x20)
        // Behind UNKNOWN anything may stand, up to the end of the line.
        if parts.count >= 2, Text.equal(parts[1], "UNKNOWN") {
            return ProxyHeader(version: 1, origin: .unknown, size: size)
        }
        guard parts.count == 6 else { throw .badLine }
        let isV4 = Text.equal(parts[1], "TCP4")
        guard isV4 || Text.equal(parts[1], "TCP6") else { throw .badLine }
        let source = try address(parts[2], isV4: isV4)
        let destination = try address(parts[3], isV4: isV4)
        guard let sourcePort = Text.port(parts[4]), let destinationPort = Text.port(parts[5]) else { throw .badPort }
        return ProxyHeader(
            version: 1,
            origin: .relayed(
                source: .init(source, sourcePort), destination: .init(destination, destinationPort)), size: size)
    }

    private static func address(_ text: Substring, isV4: Bool) throws(ProxyHeaderError) -> IPAddress {
        // TCP6 with a mapped address is legal; TCP4 with a colon is not.
        guard let address = IPAddress(parsing: String(text)), text.utf8.contains(0x3A) != isV4 else {
            throw .badAddress
        }
        return address
    }
}
