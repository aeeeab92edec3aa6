internal import COpenSSL
import PKI

/// The keys of the session tickets for one name of one listener (RFC 5077, RFC 8446 section 4.6.1): nobody else's tickets are
/// good here, and its own only as long as ``lifetime``.
///
/// A new key is made once per lifetime; the one before opens tickets for one lifetime more and is then overwritten. So whoever
/// steals the memory of this process can open what was recorded within two lifetimes, and nothing older, as long as handshakes go on; sessions have forward
/// secrecy against it besides (TLS 1.3 resumes with a fresh key exchange).
///
/// The keys are in locked memory and never leave the process; they are wiped with the object. Used on any thread, in handshakes
/// only.
public final class TicketKeys: @unchecked Sendable {
    // Unchecked: everything that changes is used with the lock held. It is OpenSSL's, as this room has none of its own.
    private let lock: UnsafeMutableRawPointer
    private let memory: LockedMemory
    /// When the key of now was made, in Unix seconds; nil before the first.
    private var begun: Int64?
    /// The key before is there.
    private var hasPrevious = false

    /// Seconds from a handshake in full during which its session may be resumed, and after which a key is changed.
    public let lifetime: Int64
    /// What tells this name's sessions apart (SSL_CTX_set_session_id_context).
    let scope: [UInt8]

    /// The longest lifetime in seconds: RFC 9325, section 3.4 wants keys of tickets changed often; a key is in use for two.
    public static let maximumLifetime: Int64 = 43_200

    /// Bytes of one key with its name.
    private static let keySize = MemoryLayout<ctls_ticket_key>.size

    /// Keys for tickets that are good for so many seconds, 1 to ``maximumLifetime``.
    public init(lifetime: Int64) throws(TLSError) {
        precondition((1...Self.maximumLifetime).contains(lifetime), "a lifetime beyond its bounds")
        self.lifetime = lifetime
        var scope = [UInt8](repeating: 0, count: Int(CTLS_TICKET_SCOPE_BYTES))
        guard RAND_bytes(&scope, Int32(scope.count)) == 1, let made = CRYPTO_THREAD_lock_new() else {
            throw TLSError.outOfMemory
        }
        self.scope = scope
        lock = made
        memory = LockedMemory(count: 2 * Self.keySize)
    }

    deinit { CRYPTO_THREAD_lock_free(lock) }

    /// Copies the key of now, which seals.
    func current(into key: UnsafeMutablePointer<ctls_ticket_key>, now: Int64) -> Bool {
        withKeys(now: now) { keys in
            key.pointee = keys[0]
            return true
        }
    }

    /// Copies the key that has the name which `key` has, which opens; false where none has.
    func find(_ key: UnsafeMutablePointer<ctls_ticket_key>, now: Int64) -> Bool {
        withKeys(now: now) { keys in
            for index in 0..<(hasPrevious ? 2 : 1) where Self.isSameName(&keys[index], key) {
                key.pointee = keys[index]
                return true
            }
            return false
        }
    }

    private static func isSameName(
        _ one: UnsafePointer<ctls_ticket_key>, _ other: UnsafePointer<ctls_ticket_key>
    ) -> Bool {
        CRYPTO_memcmp(one, other, Int(CTLS_TICKET_NAME_BYTES)) == 0
    }

    /// Lends both keys, the one of now first, with the lock held and changed where it is time.
    private func withKeys(now: Int64, _ body: (UnsafeMutableBufferPointer<ctls_ticket_key>) -> Bool) -> Bool {
        guard CRYPTO_THREAD_write_lock(lock) == 1 else { return false }
        defer { CRYPTO_THREAD_unlock(lock) }
        return memory.withBytes { bytes in
            let keys = bytes.bindMemory(to: ctls_ticket_key.self)
            return rotate(keys, now: now) && body(keys)
        }
    }

    /// Changes the key where its time is over. A clock that was set back counts as time that has passed.
    private func rotate(_ keys: UnsafeMutableBufferPointer<ctls_ticket_key>, now: Int64) -> Bool {
        let age = begun.map { abs(now - $0) }
        if let age, age < lifetime { return true }
        if let age, age < 2 * lifetime {
            keys[1] = keys[0]
            hasPrevious = true
        } else {
            OPENSSL_cleanse(keys.baseAddress! + 1, Self.keySize)
            hasPrevious = false
        }
        begun = now
        let fresh = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(keys)[..<Self.keySize])
        guard RAND_priv_bytes(fresh.baseAddress, Int32(Self.keySize)) == 1 else {
            // Nothing is sealed with half a key.
            begun = nil
            return false
        }
        return true
    }
}
