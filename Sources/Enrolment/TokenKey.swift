import Bytes
import CSodium
import PKI

/// The Ed25519 key of a join token (RFC 8032, by libsodium): made of a seed that is in guarded memory.
public struct TokenKey: Sendable {
    /// The public half, 32 bytes: all that the CA keeps.
    public let publicKey: [UInt8]
    private let seed: Passphrase

    /// The public half as text: the token's id.
    public var id: String { Base64URL.encode(publicKey) }

    /// A key with a new seed, whose id is no flag on a command line: `mesh ca token withdraw ID`.
    public static func generate() -> TokenKey {
        while true {
            let key = random()
            if !key.id.hasPrefix("-") { return key }
        }
    }

    private static func random() -> TokenKey {
        Secret.start()
        var seed = [UInt8](repeating: 0, count: Int(crypto_sign_SEEDBYTES))
        defer { Secret.wipe(&seed) }
        randombytes_buf(&seed, seed.count)
        return seed.withUnsafeBytes { TokenKey(seed: $0) }
    }

    /// The key of a seed of 32 bytes, which is copied into guarded memory.
    init(seed bytes: UnsafeRawBufferPointer) {
        Secret.start()
        seed = Passphrase(bytes: bytes)
        var publicKey = [UInt8](repeating: 0, count: Int(crypto_sign_PUBLICKEYBYTES))
        var secretKey = [UInt8](repeating: 0, count: Int(crypto_sign_SECRETKEYBYTES))
        defer { Secret.wipe(&secretKey) }
        crypto_sign_seed_keypair(&publicKey, &secretKey, bytes.assumingMemoryBound(to: UInt8.self).baseAddress!)
        self.publicKey = publicKey
    }

    /// Signs a message: 64 bytes.
    public func sign(_ message: [UInt8]) -> [UInt8] {
        var publicKey = [UInt8](repeating: 0, count: Int(crypto_sign_PUBLICKEYBYTES))
        var secretKey = [UInt8](repeating: 0, count: Int(crypto_sign_SECRETKEYBYTES))
        defer { Secret.wipe(&secretKey) }
        withSeed {
            _ = crypto_sign_seed_keypair(&publicKey, &secretKey, $0.assumingMemoryBound(to: UInt8.self).baseAddress!)
        }
        var signature = [UInt8](repeating: 0, count: Int(crypto_sign_BYTES))
        crypto_sign_detached(&signature, nil, message, UInt64(message.count), secretKey)
        return signature
    }

    /// Whether a signature over a message is that of a public key. Keys and points of small order are refused.
    public static func verify(_ signature: [UInt8], over message: [UInt8], by publicKey: [UInt8]) -> Bool {
        Secret.start()
        guard signature.count == Int(crypto_sign_BYTES), publicKey.count == Int(crypto_sign_PUBLICKEYBYTES) else {
            return false
        }
        return crypto_sign_verify_detached(signature, message, UInt64(message.count), publicKey) == 0
    }

    func withSeed(_ body: (UnsafeRawBufferPointer) -> Void) { seed.withBytes(body) }
}

/// The little of libsodium that secrets in text form need.
enum Secret {
    private static let isReady = sodium_init() >= 0

    /// Starts the library. Without a source of randomness there is nothing that this room could do.
    static func start() {
        precondition(isReady, "libsodium cannot start: no source of randomness")
    }

    /// Overwrites bytes with zeros, in a way that the optimiser does not remove.
    static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
        }
    }

    /// Unpadded base64url, in time that does not depend on the bytes.
    static func base64URL(_ bytes: [UInt8]) -> [UInt8] {
        let variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING
        var text = [CChar](repeating: 0, count: sodium_base64_encoded_len(bytes.count, variant))
        defer { text.withUnsafeMutableBytes { sodium_memzero($0.baseAddress!, $0.count) } }
        sodium_bin2base64(&text, text.count, bytes, bytes.count, variant)
        return text.dropLast().map { UInt8(bitPattern: $0) }
    }

    /// The bytes of canonical unpadded base64url, in time that does not depend on them; nil for anything else.
    static func bytes(base64URL text: [UInt8]) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: text.count / 4 * 3 + 3)
        var count = 0
        let status = text.withUnsafeBytes { buffer in
            sodium_base642bin(
                &bytes, bytes.count, buffer.assumingMemoryBound(to: CChar.self).baseAddress, buffer.count, nil, &count,
                nil, sodium_base64_VARIANT_URLSAFE_NO_PADDING)
        }
        guard status == 0 else {
            wipe(&bytes)
            return nil
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// SHA-256.
    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256(&digest, bytes, UInt64(bytes.count))
        return digest
    }
}
