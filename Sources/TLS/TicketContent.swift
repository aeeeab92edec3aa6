internal import COpenSSL
import PKI

/// What a ticket holds besides OpenSSL's session. It is sealed and authenticated with it, so that only what was written here
/// comes back; the reader is strict all the same.
struct TicketContent: Equatable {
    /// Raised when the format changes; tickets of another version are not taken.
    private static let version: UInt8 = 1
    /// A client sends its ticket in its first message, and with long chains resumption saves little.
    static let maximumSize = 8 << 10

    /// Unix seconds of the last handshake in full.
    let authenticatedAt: Int64
    /// The client's intermediates in DER, in order.
    let intermediates: [[UInt8]]

    init(authenticatedAt: Int64, intermediates: [[UInt8]]) {
        self.authenticatedAt = authenticatedAt
        self.intermediates = intermediates
    }

    /// Version (1), time (8), then each intermediate behind its length (3), big-endian. Where that is too long it is a ticket
    /// that was authenticated at no time, and is never resumed.
    func encoded() -> [UInt8] {
        var bytes = [Self.version]
        withUnsafeBytes(of: authenticatedAt.bigEndian) { bytes += $0 }
        for der in intermediates {
            bytes += [
                UInt8(truncatingIfNeeded: der.count >> 16), UInt8(truncatingIfNeeded: der.count >> 8),
                UInt8(truncatingIfNeeded: der.count),
            ]
            bytes += der
        }
        return bytes.count <= Self.maximumSize
            ? bytes : TicketContent(authenticatedAt: 0, intermediates: []).encoded()
    }

    /// Reads it; nil for anything else.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 9, bytes.count <= Self.maximumSize, bytes[0] == Self.version else { return nil }
        authenticatedAt = Int64(bitPattern: bytes[1..<9].reduce(0) { $0 << 8 | UInt64($1) })
        var intermediates: [[UInt8]] = []
        var rest = bytes[9...]
        while !rest.isEmpty {
            guard rest.count > 3 else { return nil }
            let count = rest.prefix(3).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(3)
            guard count > 0, count <= rest.count else { return nil }
            intermediates.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        self.intermediates = intermediates
    }

    /// What stands in a session that a ticket held.
    init?(of session: OpaquePointer) {
        var data: UnsafeMutableRawPointer?
        var count = 0
        guard SSL_SESSION_get0_ticket_appdata(session, &data, &count) == 1, let data, count > 0 else { return nil }
        self.init(Array(UnsafeRawBufferPointer(start: data, count: count)))
    }

    /// The intermediates as certificates.
    func certificates() throws(CertificateError) -> [Certificate] {
        var found: [Certificate] = []
        for der in intermediates { found.append(try Certificate(der: der)) }
        return found
    }
}
