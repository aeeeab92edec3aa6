import Bytes
public import PKI

/// What a node joins with: where the CA is, by which fingerprint it is known, as which node to join, and the seed of the
/// key that speaks for the token.
///
/// The seed never leaves the host that joins: it makes an Ed25519 key, of which the CA has only the public half. Who sees
/// the connection, or the CA's store, gets nothing that could be used.
///
/// As text it is `mesh-join-1.` and unpadded base64url (RFC 4648, section 5) of: version (1), seed (32), SHA-256 of the
/// CA's certificate (32), length and text of the node's name, length and text of the CA's address, the first four bytes
/// of the SHA-256 of all that: a token that was cut or mistyped is told from a wrong one.
public struct JoinToken: Sendable {
    /// Where the CA listens, HOST:PORT.
    public let address: String
    /// SHA-256 of the root's certificate, lower-case hex.
    public let fingerprint: String
    /// The name of the node that may join.
    public let node: String
    /// The key that speaks for the token.
    public let key: TokenKey

    /// What every token begins with.
    public static let prefix = "mesh-join-1."
    /// The most characters of a token.
    public static let sizeLimit = 1024
    private static let version: UInt8 = 1
    private static let checksumBytes = 4

    /// A new token with a new key.
    ///
    /// Errors: `bad_name` for the node, `bad_request` for fingerprint or address.
    public init(address: String, fingerprint: String, node: String) throws(CertificateError) {
        try NodeName.check(node)
        guard let bytes = Hex.decode(fingerprint), bytes.count == 32, (3...255).contains(address.utf8.count) else {
            throw CertificateError(
                .badRequest, "a join token needs an address and the SHA-256 of a certificate",
                hint: "set ca.advertise to HOST:PORT")
        }
        self.init(address: address, fingerprint: Hex.encode(bytes), node: node, key: TokenKey.generate())
    }

    private init(address: String, fingerprint: String, node: String, key: TokenKey) {
        self.address = address
        self.fingerprint = fingerprint
        self.node = node
        self.key = key
    }

    /// Reads a token; blanks and line ends around it are passed over. The caller wipes `text`.
    ///
    /// Errors: ``EnrolmentError`` with `bad_token`.
    public init(parsing text: [UInt8]) throws(EnrolmentError) {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
        let trimmed = text.drop(while: isBlank).reversed().drop(while: isBlank).reversed()
        let prefix = Array(Self.prefix.utf8)
        guard trimmed.count <= Self.sizeLimit else { throw Self.bad("it is longer than any token") }
        guard trimmed.starts(with: prefix) else { throw Self.bad("a token begins with \(Self.prefix)") }
        var encoded = Array(trimmed.dropFirst(prefix.count))
        defer { Secret.wipe(&encoded) }
        guard var bytes = Secret.bytes(base64URL: encoded) else { throw Self.bad("it is not written in base64url") }
        defer { Secret.wipe(&bytes) }
        guard bytes.count > Self.checksumBytes else { throw Self.bad("it is cut off") }
        let content = bytes.count - Self.checksumBytes
        guard ConstantTime.equal(Self.checksum(Array(bytes[..<content])), Array(bytes[content...])) else {
            throw Self.bad("its checksum is wrong: it was cut off or mistyped")
        }
        let parts = bytes[..<content].withUnsafeBytes { Self.parts($0) }
        guard let parts, NodeName.isValid(parts.node), (3...255).contains(parts.address.utf8.count),
            parts.address.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), parts.address.utf8.contains(UInt8(ascii: ":"))
        else { throw Self.bad("it does not hold what a token holds") }
        self.init(
            address: parts.address, fingerprint: Hex.encode(parts.fingerprint), node: parts.node, key: parts.key)
    }

    private static func parts(
        _ bytes: UnsafeRawBufferPointer
    ) -> (key: TokenKey, fingerprint: [UInt8], node: String, address: String)? {
        var reader = ByteReader(bytes)
        do throws(Truncated) {
            guard try reader.readUInt8() == version else { return nil }
            let key = TokenKey(seed: try reader.readBytes(32))
            let fingerprint = Array(try reader.readBytes(32))
            let node = try reader.readString(utf8: Int(try reader.readUInt8()))
            let address = try reader.readString(utf8: Int(try reader.readUInt8()))
            guard let node, let address, reader.isAtEnd else { return nil }
            return (key, fingerprint, node, address)
        } catch {
            return nil
        }
    }

    /// The token as it is given to the node. A secret: the caller wipes it.
    public func text() -> [UInt8] {
        var bytes: [UInt8] = [Self.version]
        bytes.reserveCapacity(Self.sizeLimit)
        defer { Secret.wipe(&bytes) }
        key.withSeed { bytes.append(contentsOf: $0) }
        bytes += Hex.decode(fingerprint) ?? []
        for text in [node, address] {
            bytes.append(UInt8(text.utf8.count))
            bytes += Array(text.utf8)
        }
        bytes += Self.checksum(bytes)
        return Array(Self.prefix.utf8) + Secret.base64URL(bytes)
    }

    private static func checksum(_ bytes: [UInt8]) -> [UInt8] { Array(Secret.sha256(bytes).prefix(checksumBytes)) }

    private static func bad(_ why: String) -> EnrolmentError {
        EnrolmentError(
            .badToken, "this is no join token: \(why)",
            hint: "copy the whole line that mesh ca token create printed, or make a new one")
    }
}
