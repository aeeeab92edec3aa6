internal import COpenSSL

/// The OCSP response that a server's context staples: set by whoever fetches it, read in handshakes, on any thread.
public final class OCSPStaple: @unchecked Sendable {
    // Unchecked: the bytes are used with the lock held. It is OpenSSL's, as this room has none of its own.
    private let lock: UnsafeMutableRawPointer
    private var response: [UInt8]?

    init() throws(TLSError) {
        guard let made = CRYPTO_THREAD_lock_new() else { throw TLSError.outOfMemory }
        lock = made
    }

    deinit { CRYPTO_THREAD_lock_free(lock) }

    /// The response in DER; nil staples nothing.
    public var bytes: [UInt8]? {
        get {
            guard CRYPTO_THREAD_read_lock(lock) == 1 else { return nil }
            defer { CRYPTO_THREAD_unlock(lock) }
            return response
        }
        set {
            guard CRYPTO_THREAD_write_lock(lock) == 1 else { return }
            defer { CRYPTO_THREAD_unlock(lock) }
            response = newValue
        }
    }
}
