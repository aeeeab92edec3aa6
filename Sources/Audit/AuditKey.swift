internal import Bytes
public import PKI

/// The public half of the key that seals a log, as a file that is given away: PEM (RFC 7468, section 13).
public enum AuditKey {
    private static let (head, foot) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")
    private static let lineLength = 64

    /// The file.
    public static func pem(_ key: PublicKey) -> [UInt8] {
        var rest = Base64.encode(key.der)[...]
        var lines = [head]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(lineLength)))
            rest = rest.dropFirst(lineLength)
        }
        return Array((lines + [foot, ""]).joined(separator: "\n").utf8)
    }

    /// Reads the file.
    ///
    /// Errors: `bad_seal`.
    public static func read(pem: [UInt8]) throws(AuditError) -> PublicKey {
        let lines = String(decoding: pem, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        guard let start = lines.firstIndex(of: head), let end = lines.firstIndex(of: foot), start < end,
            let der = Base64.decode(lines[(start + 1)..<end].joined()), let key = try? PublicKey(der: der),
            key.kind.family == .ed25519
        else { throw AuditError(.badSeal, "this is no file with the public half of an audit log's key") }
        return key
    }
}
