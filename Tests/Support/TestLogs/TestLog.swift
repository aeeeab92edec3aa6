import Bytes
public import PKI

/// A log of certificates (RFC 6962) that a test runs: it promises whatever the test wants. What it signs is put together here, byte
/// by byte from the RFC, so that it is not OpenSSL's own code that OpenSSL agrees with.
public struct TestLog: Sendable {
    /// What it is called in the list.
    public let name: String
    /// What it signs with.
    public let key: PrivateKey

    /// A log with a new key.
    public init(_ name: String = "Test log") throws {
        self.name = name
        key = try PrivateKey.generate(.p256)
    }

    /// The list that knows these logs, each with a state where one is given: `"retired": {"timestamp": …}`.
    public static func list(_ logs: [(log: TestLog, state: String?)]) throws -> String {
        let entries = try logs.map { log, state in
            let id = Base64.encode(try TransparencyLog(key: log.key.publicKey, name: log.name).id)
            return """
                {"description": "\(log.name)", "log_id": "\(id)", "key": "\(Base64.encode(log.key.publicKey.der))",
                 "url": "https://log.test/", "mmd": 86400, "state": {\(state ?? "\"usable\": {}")}}
                """
        }
        return """
            {"version": "1", "operators": [
              {"name": "Somebody", "email": [], "logs": [\(entries.joined(separator: ",\n"))], "tiled_logs": []}]}
            """
    }

    /// The list that knows these logs.
    public static func list(_ logs: TestLog...) throws -> String { try list(logs.map { ($0, nil) }) }

    /// What is promised to be published.
    public enum Entry {
        /// A certificate, in DER.
        case certificate([UInt8])
        /// The TBSCertificate without the list of SCTs, and the issuer's key.
        case precertificate(tbs: [UInt8], issuer: PublicKey)
    }

    /// An SCT (section 3.2) of `time`, in milliseconds since 1970; of a version that nobody knows where that is not 0.
    public func timestamp(_ entry: Entry, at time: Int64, version: UInt8 = 0) throws -> [UInt8] {
        var signed: [UInt8] = [version, 0] + Self.number(UInt64(time), bytes: 8)
        switch entry {
        case .certificate(let der): signed += [0, 0] + Self.opaque(der, lengthBytes: 3)
        case .precertificate(let tbs, let issuer):
            let hash = Base64.decode(issuer.spkiSHA256) ?? []
            signed += [0, 1] + hash + Self.opaque(tbs, lengthBytes: 3)
        }
        signed += Self.opaque([], lengthBytes: 2)
        let signature = Self.der(try key.sign(signed, scheme: .ecdsa(.sha256)))
        let id = try TransparencyLog(key: key.publicKey, name: name).id
        // Hash sha256, signature ecdsa (RFC 5246, section 7.4.1.4.1).
        return [version] + id + Self.number(UInt64(time), bytes: 8) + Self.opaque([], lengthBytes: 2) + [4, 3]
            + Self.opaque(signature, lengthBytes: 2)
    }

    /// SignedCertificateTimestampList (section 3.3), as it is in the TLS extension.
    public static func list(of timestamps: [[UInt8]]) -> [UInt8] {
        opaque(timestamps.flatMap { opaque($0, lengthBytes: 2) }, lengthBytes: 2)
    }

    /// Issues a certificate that has SCTs in it.
    ///
    /// - Parameter promises: makes them from the precertificate.
    public static func issue(
        _ builder: CertificateBuilder, by issuer: CertificateBuilder.Signer, _ promises: (Entry) throws -> [[UInt8]]
    ) throws -> Certificate {
        guard case .issuer(let authority, _) = issuer else { throw NoIssuer() }
        // The same in both, but for the list.
        var builder = builder
        builder.serial = .bytes([0x5C] + (0..<15).map { _ in UInt8.random(in: 0...255) })
        let bare = try builder.build(signedBy: issuer)
        let timestamps = try promises(
            .precertificate(tbs: tbs(of: bare.der), issuer: authority.publicKey))
        let octets = value(0x04, list(of: timestamps))
        builder.extraExtensions.append(
            RawExtension(oid: "1.3.6.1.4.1.11129.2.4.2", isCritical: false, value: octets))
        return try builder.build(signedBy: issuer)
    }

    /// A root cannot be logged as a precertificate.
    public struct NoIssuer: Error {
        /// Nothing to be said.
        public init() {}
    }

    // MARK: - Encodings

    /// The first element of a certificate.
    private static func tbs(of der: [UInt8]) -> [UInt8] {
        let start = header(der, 0).count
        let inner = header(der, start)
        return Array(der[start..<start + inner.count + inner.content])
    }

    /// How long tag and length at `offset` are, and the content behind them.
    private static func header(_ der: [UInt8], _ offset: Int) -> (count: Int, content: Int) {
        let first = Int(der[offset + 1])
        guard first >= 0x80 else { return (2, first) }
        let digits = first & 0x7F
        return (2 + digits, der[offset + 2..<offset + 2 + digits].reduce(0) { $0 << 8 | Int($1) })
    }

    private static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        if content.count < 0x80 { return [tag, UInt8(content.count)] + content }
        return [tag, 0x82] + number(UInt64(content.count), bytes: 2) + content
    }

    /// ECDSA-Sig-Value (RFC 3279) of r and s, one after the other.
    private static func der(_ raw: [UInt8]) -> [UInt8] {
        func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
            let trimmed = Array(bytes.drop { $0 == 0 })
            return value(0x02, (trimmed.first ?? 0x80) >= 0x80 ? [0] + trimmed : trimmed)
        }
        return value(0x30, integer(raw[..<(raw.count / 2)]) + integer(raw[(raw.count / 2)...]))
    }

    private static func number(_ value: UInt64, bytes count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64(count - 1 - $0))) }
    }

    private static func opaque(_ bytes: [UInt8], lengthBytes: Int) -> [UInt8] {
        number(UInt64(bytes.count), bytes: lengthBytes) + bytes
    }
}
