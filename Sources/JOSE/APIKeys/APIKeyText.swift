import Bytes

/// An API key as its holder has it: `cmk_`, an id of 16 hexadecimal digits, `_`, and 256 random bits in base64url. Scanners
/// that look for leaked secrets know it by the prefix; the id names it in logs and lists.
struct APIKeyText {
    /// What every key begins with.
    static let prefix = "cmk_"
    /// Bytes of the id.
    static let idBytes = 8
    /// Bytes of the secret.
    static let secretBytes = 32

    let id: String
    let secret: [UInt8]

    /// Takes a key apart; nil for what is none.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        // 4 + 16 + 1 + 43.
        guard bytes.count == 64, Self.looksLike(text), bytes[20] == UInt8(ascii: "_") else { return nil }
        let id = String(decoding: bytes[4..<20], as: UTF8.self)
        guard Self.isID(id), let secret = bytes[21...].withUnsafeBytes({ Base64URL.decode($0) }) else { return nil }
        self.id = id
        self.secret = secret
    }

    /// A new key from 40 random bytes.
    init(random: [UInt8]) {
        precondition(random.count == Self.idBytes + Self.secretBytes, "an API key takes 40 random bytes")
        id = Hex.encode(Array(random.prefix(Self.idBytes)))
        secret = Array(random.suffix(Self.secretBytes))
    }

    /// The key's text. Shown once, stored nowhere.
    var text: String { "\(Self.prefix)\(id)_\(Base64URL.encode(secret))" }

    /// Whether a text claims to be an API key, so that it is not taken for a token.
    static func looksLike(_ text: String) -> Bool { text.utf8.starts(with: prefix.utf8) }

    /// Whether a text can be an id.
    static func isID(_ text: String) -> Bool {
        text.utf8.count == 2 * idBytes && Hex.decode(text) != nil && text == text.lowercased()
    }
}
