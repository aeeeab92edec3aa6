import COpenSSL

/// Calls into OpenSSL with a clean error queue, so that what stands in the queue afterwards belongs to this call.
@inline(__always)
func openssl<Result>(_ call: () -> Result) -> Result {
    ERR_clear_error()
    return call()
}

/// Reading OpenSSL's thread-local error queue.
enum OpenSSLErrors {
    /// Takes everything out of the queue and returns it as one line.
    static func drain() -> String {
        var parts: [String] = []
        while case let code = ERR_get_error(), code != 0 {
            if let reason = ERR_reason_error_string(code) {
                let text = String(cString: reason)
                if !parts.contains(text) { parts.append(text) }
            }
        }
        return parts.isEmpty ? "no detail" : parts.joined(separator: "; ")
    }

    /// The error for a call that fails only when memory is short or the installation is broken.
    static func failure(_ action: String) -> CertificateError {
        CertificateError(
            .libraryFailure, "OpenSSL could not \(action): \(drain())",
            hint: "check memory limits and the OpenSSL installation (openssl version -a)")
    }
}

/// Serialises with one of OpenSSL's `i2d` functions; nil when it fails.
func encodeDER(_ i2d: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32) -> [UInt8]? {
    let length = openssl { i2d(nil) }
    guard length > 0 else { return nil }
    var written: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(length)) { buffer, count in
        var cursor = buffer.baseAddress
        written = i2d(&cursor)
        count = max(0, min(Int(written), Int(length)))
    }
    return written == length ? bytes : nil
}

/// Parses with one of OpenSSL's `d2i` functions and refuses bytes left over; nil when it fails.
func decodeDER(
    _ bytes: [UInt8], _ d2i: (UnsafeMutablePointer<UnsafePointer<UInt8>?>, Int) -> OpaquePointer?,
    free: (OpaquePointer?) -> Void
) -> OpaquePointer? {
    bytes.withUnsafeBufferPointer { buffer in
        guard let start = buffer.baseAddress else { return nil }
        var cursor: UnsafePointer<UInt8>? = start
        guard let result = openssl({ d2i(&cursor, buffer.count) }) else { return nil }
        guard cursor == start + buffer.count else {
            free(result)
            return nil
        }
        return result
    }
}
