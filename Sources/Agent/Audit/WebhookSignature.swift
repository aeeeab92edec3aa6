import Bytes
private import CSodium
import PKI

/// Signs what a webhook sends: `t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over the seconds, a full stop and the body. The time is
/// in it so that a receiver can refuse what somebody has recorded.
struct WebhookSignature: Sendable {
    /// Fewer bytes could be guessed.
    static let minimumSecret = 32

    private let secret: Passphrase

    /// The secret of a file: its bytes, without a line end at their end.
    init(file: String) throws {
        secret = try Passphrase.loadSecret(file: file)
        guard secret.count >= Self.minimumSecret else {
            throw StartFailure(
                exitCode: 78,
                lines: [
                    "audit.webhook.secretFile: the secret has \(secret.count) bytes, and \(Self.minimumSecret) are the least"
                ],
                hint: "write one: openssl rand -hex 32 > \(file); chmod 600 \(file)")
        }
    }

    /// The header's value for a body that is sent at a time, in Unix seconds.
    func header(_ body: [UInt8], at time: Int64) -> String {
        let message = Array("\(time).".utf8) + body
        var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        secret.withBytes { secret in
            guard let bytes = secret.bindMemory(to: UInt8.self).baseAddress else { return }
            var state = crypto_auth_hmacsha256_state()
            crypto_auth_hmacsha256_init(&state, bytes, secret.count)
            crypto_auth_hmacsha256_update(&state, message, UInt64(message.count))
            crypto_auth_hmacsha256_final(&state, &code)
            withUnsafeMutableBytes(of: &state) { buffer in
                if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
            }
        }
        return "t=\(time),v1=\(Hex.encode(code))"
    }
}
