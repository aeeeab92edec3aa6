internal import Bytes
internal import CSodium

/// One line of an audit log: the hash of the chain up to and with it (SHA-256, base64url, 43 characters), a blank, the record's
/// JSON, and a line end.
///
/// The hash is over `conduit-mesh audit v1`, a zero byte, the hash of the line before (32 bytes; zeros before the first), and the
/// exact bytes of the JSON: nothing has to be written again to be checked.
public struct AuditLine: Sendable, Equatable {
    /// The hash as it stands in the line.
    public let hash: AuditHash
    /// The exact bytes of the record.
    public let content: [UInt8]

    /// The longest line, in bytes. The writer cuts fields so that none is longer.
    public static let largest = 64 << 10
    private static let context = Array("conduit-mesh audit v1\0".utf8)

    /// The line of a record behind `previous`.
    public init(content: [UInt8], after previous: AuditHash) {
        self.content = content
        hash = Self.hash(content, after: previous)
    }

    /// Reads a line without its end.
    ///
    /// Errors: `malformed_record`.
    public init(parsing bytes: [UInt8]) throws(AuditError) {
        let (text, rest) = (bytes.prefix(AuditHash.textLength), bytes.dropFirst(AuditHash.textLength))
        guard bytes.count <= Self.largest, rest.first == UInt8(ascii: " "),
            let hash = AuditHash(text: String(decoding: text, as: UTF8.self))
        else { throw AuditError(.malformed, "not a hash, a blank and a record") }
        self.hash = hash
        content = Array(rest.dropFirst())
    }

    /// The line with its end.
    public var bytes: [UInt8] { Array(hash.text.utf8) + [UInt8(ascii: " ")] + content + [UInt8(ascii: "\n")] }

    /// Whether the line stands behind one with this hash, unchanged.
    public func follows(_ previous: AuditHash) -> Bool { Self.hash(content, after: previous) == hash }

    private static func hash(_ content: [UInt8], after previous: AuditHash) -> AuditHash {
        AuditHash(digestOf: context + previous.bytes + content)
    }
}

/// A hash of the chain: 32 bytes.
public struct AuditHash: Sendable, Hashable {
    /// The bytes.
    public let bytes: [UInt8]

    /// Characters of the text: base64url without padding.
    static let textLength = 43
    /// What stands before the first record.
    public static let zero = AuditHash(bytes: [UInt8](repeating: 0, count: 32))

    private init(bytes: [UInt8]) { self.bytes = bytes }

    init(digestOf message: [UInt8]) {
        var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256(&digest, message, UInt64(message.count))
        bytes = digest
    }

    /// Reads the text; nil for something else.
    public init?(text: String) {
        guard text.utf8.count == Self.textLength, let bytes = Base64URL.decode(text), bytes.count == 32 else {
            return nil
        }
        self.bytes = bytes
    }

    /// The text.
    public var text: String { Base64URL.encode(bytes) }
}
