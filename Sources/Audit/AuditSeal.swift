internal import Bytes
public import JSON
public import PKI

/// A signature over the log up to a record: with it nobody who has not the key can change, remove or add what stands before.
///
/// The log has seals in itself (`audit_checkpoint`, and the first record of each file), and the newest lies apart from it, so that
/// a tail that was cut off is missed. Any seal that somebody kept elsewhere does the same (`mesh audit verify --receipt`).
public struct AuditSeal: Sendable, Equatable {
    /// Which log: made at random when a log begins.
    public let log: String
    /// The last record that is sealed; 0 before the first.
    public let sequence: UInt64
    /// The hash of the chain with that record.
    public let hash: AuditHash
    /// SHA-256 of the signing key's SubjectPublicKeyInfo, base64.
    public let key: String
    /// Ed25519 over ``message``.
    public let signature: [UInt8]

    private static let context = Array("conduit-mesh audit seal v1\0".utf8)

    /// Seals the log up to a record.
    ///
    /// Errors: those of `PrivateKey.sign`.
    public init(log: String, sequence: UInt64, hash: AuditHash, by key: PrivateKey) throws(CertificateError) {
        self.log = log
        self.sequence = sequence
        self.hash = hash
        self.key = key.publicKey.spkiSHA256
        signature = try key.sign(Self.message(log, sequence, hash), scheme: .ed25519)
    }

    /// What is signed: a line that names the purpose, the log's id with its length (2 bytes), the number (8), the hash (32). Big
    /// endian.
    private static func message(_ log: String, _ sequence: UInt64, _ hash: AuditHash) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: 128)
        writer.writeBytes(context)
        writer.writeUInt16(UInt16(clamping: log.utf8.count))
        writer.writeString(log)
        writer.writeUInt64(sequence)
        writer.writeBytes(hash.bytes)
        return writer.bytes
    }

    /// Whether `key` made it.
    public func isSigned(by key: PublicKey) -> Bool {
        key.spkiSHA256 == self.key && key.verify(signature, over: Self.message(log, sequence, hash), scheme: .ed25519)
    }

    /// As it stands in records and beside the log.
    public var json: JSONValue {
        [
            "log": .string(log), "through": JSONValue(sequence), "hash": .string(hash.text), "key": .string(key),
            "signature": .string(Base64URL.encode(signature)),
        ]
    }

    /// Reads it.
    ///
    /// Errors: `bad_seal`.
    public init(json: JSONValue) throws(AuditError) {
        do {
            let object = try json.requireObject()
            guard let hash = AuditHash(text: try object.string("hash")),
                let signature = Base64URL.decode(try object.string("signature"))
            else {
                throw JSONAccessError(code: .badValue, path: "hash", message: "is no hash, or signature no base64url")
            }
            log = try object.string("log")
            sequence = UInt64(try object.integer("through", in: 0...(1 << 53) - 1))
            key = try object.string("key")
            self.hash = hash
            self.signature = signature
        } catch {
            throw AuditError(.badSeal, "\(error)")
        }
    }
}
