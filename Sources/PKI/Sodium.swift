import CSodium

/// libsodium, started once.
enum Sodium {
    private static let isReady = sodium_init() >= 0

    /// Starts the library. Without a source of randomness there is nothing that this room could do.
    static func start() {
        precondition(isReady, "libsodium cannot start: no source of randomness")
    }

    /// Unpredictable bytes.
    static func random(_ count: Int) -> [UInt8] {
        start()
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { buffer in
            if let start = buffer.baseAddress { randombytes_buf(start, buffer.count) }
        }
        return bytes
    }

    /// Base64 with padding, in time that does not depend on the bytes.
    static func base64(_ bytes: [UInt8]) -> [UInt8] {
        var text = [CChar](repeating: 0, count: sodium_base64_encoded_len(bytes.count, sodium_base64_VARIANT_ORIGINAL))
        defer { text.withUnsafeMutableBytes { sodium_memzero($0.baseAddress!, $0.count) } }
        sodium_bin2base64(&text, text.count, bytes, bytes.count, sodium_base64_VARIANT_ORIGINAL)
        return text.dropLast().map { UInt8(bitPattern: $0) }
    }

    /// The bytes of canonical base64 with padding, in time that does not depend on them; nil for anything else.
    static func bytes(base64 text: [UInt8]) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: text.count / 4 * 3 + 3)
        var count = 0
        let status = text.withUnsafeBytes { buffer in
            sodium_base642bin(
                &bytes, bytes.count, buffer.assumingMemoryBound(to: CChar.self).baseAddress, buffer.count, nil, &count,
                nil, sodium_base64_VARIANT_ORIGINAL)
        }
        guard status == 0 else {
            bytes.wipe()
            return nil
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}

extension [UInt8] {
    /// Overwrites the bytes with zeros, in a way that the optimiser does not remove.
    mutating func wipe() {
        withUnsafeMutableBytes { buffer in
            if let start = buffer.baseAddress { sodium_memzero(start, buffer.count) }
        }
    }
}
