import Bytes
private import CSodium

/// HMAC-SHA256 for the caller's fields.
struct CallerMAC: Sendable {
    private let secret: [UInt8]
    /// Names the secret without telling anything of it: the beginning of a hash.
    let keyID: String

    /// A signer with a shared secret of at least 32 bytes.
    init(_ secret: [UInt8]) {
        self.secret = secret
        var hash = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        let text = Array("conduit-caller-key".utf8) + secret
        crypto_hash_sha256(&hash, text, UInt64(text.count))
        keyID = Hex.encode(Array(hash.prefix(4)))
    }

    /// The code for `message`.
    func authenticate(_ message: [UInt8]) -> [UInt8] {
        var state = crypto_auth_hmacsha256_state()
        var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        crypto_auth_hmacsha256_init(&state, secret, secret.count)
        crypto_auth_hmacsha256_update(&state, message, UInt64(message.count))
        crypto_auth_hmacsha256_final(&state, &code)
        return code
    }
}
