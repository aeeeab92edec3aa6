internal import COpenSSL
import PKI

/// The keys of the session tickets for one name of one listener (RFC 5077, RFC 8446 section 4.6.1): nobody else's tickets are
/// good here, and its own only as long as ``lifetime``.
///
/// A new key is made once per lifetime; the one before opens tickets for one lifetime more and is then overwritten. So whoever
/// steals the memory of this process can open what was recorded within two lifetimes, and nothing older; sessions have forward
/// secrecy against it besides (TLS 1.3 resumes with a fresh key exchange). Where no handshakes come, somebody has to call ``expire(now:)``
/// now and then.
///
/// The keys are in locked memory and never leave the process; they are wiped with the object. Used on any thread.
public final class TicketKeys: @unchecked Sendable {
    // Unchecked: everything that changes is used with the lock held. It is OpenSSL's, as this room has none of its own.
    private let lock: UnsafeMutableRawPointer
    private let memory: LockedMemory
    /// When the key of now and the one before were made, in Unix seconds; nil for one that is not there.
    private var made: (current: Int64?, previous: Int64?)

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
            guard make(keys, now: now) else { return false }
            key.pointee = keys[0]
            return true
        } ?? false
    }

    /// Copies the key that has the name which `key` has, which opens; false where none has.
    func find(_ key: UnsafeMutablePointer<ctls_ticket_key>, now: Int64) -> Bool {
        withKeys(now: now) { keys in
            for (index, time) in [made.current, made.previous].enumerated()
            where time != nil && Self.isSameName(&keys[index], key) {
                key.pointee = keys[index]
                return true
            }
            return false
        } ?? false
    }

    /// Wipes keys whose time is over; a name that nobody asks for keeps none.
    ///
    /// - Returns: how many keys are left in memory, 0 to 2.
    @discardableResult
    public func expire(now: Int64) -> Int {
        withKeys(now: now) { _ in [made.current, made.previous].count { $0 != nil } } ?? 0
    }

    /// Whether the memory holds nothing but zeros.
    public var isWiped: Bool {
        guard CRYPTO_THREAD_write_lock(lock) == 1 else { return false }
        defer { CRYPTO_THREAD_unlock(lock) }
        return memory.withBytes { $0.allSatisfy { $0 == 0 } }
    }

    private static func isSameName(
        _ one: UnsafePointer<ctls_ticket_key>, _ other: UnsafePointer<ctls_ticket_key>
    ) -> Bool {
        CRYPTO_memcmp(one, other, Int(CTLS_TICKET_NAME_BYTES)) == 0
    }

    /// Lends both keys, the one of now first, with the lock held and those gone whose time is over; nil where the lock fails.
    private func withKeys<Result>(
        now: Int64, _ body: (UnsafeMutableBufferPointer<ctls_ticket_key>) -> Result
    ) -> Result? {
        guard CRYPTO_THREAD_write_lock(lock) == 1 else { return nil }
        defer { CRYPTO_THREAD_unlock(lock) }
        return memory.withBytes { bytes in
            let keys = bytes.bindMemory(to: ctls_ticket_key.self)
            retire(keys, now: now)
            return body(keys)
        }
    }

    /// The key of now is the one before when its lifetime is over, and that one is gone after another. A clock that was set back
    /// counts as time that has passed.
    private func retire(_ keys: UnsafeMutableBufferPointer<ctls_ticket_key>, now: Int64) {
        if let time = made.previous, abs(now - time) >= 2 * lifetime {
            Self.wipe(&keys[1])
            made.previous = nil
        }
        guard let time = made.current, abs(now - time) >= lifetime else { return }
        if abs(now - time) < 2 * lifetime {
            keys[1] = keys[0]
            made.previous = time
        }
        Self.wipe(&keys[0])
        made.current = nil
    }

    private static func wipe(_ key: UnsafeMutablePointer<ctls_ticket_key>) { OPENSSL_cleanse(key, keySize) }

    /// Makes the key of now where there is none.
    private func make(_ keys: UnsafeMutableBufferPointer<ctls_ticket_key>, now: Int64) -> Bool {
        guard made.current == nil else { return true }
        let fresh = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(keys)[..<Self.keySize])
        // Nothing is sealed with half a key.
        guard RAND_priv_bytes(fresh.baseAddress, Int32(Self.keySize)) == 1 else { return false }
        made.current = now
        return true
    }
}
