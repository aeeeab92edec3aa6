import Bytes
private import CSodium
import PKI

/// HMAC-SHA256 for the caller's fields.
struct CallerMAC: Sendable {
    private let secret: Passphrase
    /// Names the secret without telling anything of it: the beginning of a hash.
    let keyID: String

    /// A signer with a shared secret of at least 32 bytes.
    init(_ secret: Passphrase) {
        self.secret = secret
        keyID = secret.derived("conduit-caller-key").withBytes { Hex.encode(Array($0.prefix(4))) }
    }

    /// The code for `message`.
    func authenticate(_ message: [UInt8]) -> [UInt8] {
        var state = crypto_auth_hmacsha256_state()
        var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        secret.withBytes { bytes in
            guard let start = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
            crypto_auth_hmacsha256_init(&state, start, bytes.count)
        }
        crypto_auth_hmacsha256_update(&state, message, UInt64(message.count))
        crypto_auth_hmacsha256_final(&state, &code)
        withUnsafeMutableBytes(of: &state) { sodium_memzero($0.baseAddress!, $0.count) }
        return code
    }
}
