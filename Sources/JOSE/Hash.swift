import Bytes
import CSodium
import PKI

/// Hashes of libsodium and comparisons by bytes.
enum Hash {
    private static let isReady = sodium_init() >= 0

    /// SHA-256.
    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var hash = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256(&hash, bytes, UInt64(bytes.count))
        return hash
    }

    /// The same as the other one with a key in guarded memory.
    static func blake2b(_ bytes: [UInt8], key: Passphrase, length: Int = 32) -> [UInt8] {
        precondition(isReady, "libsodium cannot start")
        var hash = [UInt8](repeating: 0, count: length)
        let status = key.withBytes { key in
            crypto_generichash(
                &hash, length, bytes, UInt64(bytes.count), key.bindMemory(to: UInt8.self).baseAddress, key.count)
        }
        precondition(status == 0, "BLAKE2b takes keys of 16 to 64 bytes")
        return hash
    }

    /// Keyed BLAKE2b (RFC 7693) of `length` bytes, 16 to 64; the key has 16 to 64 bytes.
    static func blake2b(_ bytes: [UInt8], key: [UInt8], length: Int = 32) -> [UInt8] {
        precondition(isReady, "libsodium cannot start")
        var hash = [UInt8](repeating: 0, count: length)
        let status = crypto_generichash(&hash, length, bytes, UInt64(bytes.count), key, key.count)
        precondition(status == 0, "BLAKE2b takes keys of 16 to 64 bytes")
        return hash
    }

    /// SHA-256 of a text, base64url: `ath`, `x5t#S256`, thumbprints.
    static func thumbprint(_ text: String) -> String { Base64URL.encode(sha256(Array(text.utf8))) }
}

extension [UInt8] {
    /// Overwrites the bytes with zeros, in a way that the optimiser does not remove.
    mutating func wipe() {
        withUnsafeMutableBytes { buffer in
            if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
        }
    }
}

extension String {
    /// Whether two texts are the same bytes; Swift's `==` takes canonically equivalent ones for equal.
    func hasSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
