internal import CAcceleration
internal import COpenSSL

/// The key of one direction of a TLS 1.3 connection, with its sequence number and the secret that the next key comes from
/// (RFC 8446, sections 5.3, 7.2 and 7.3). Secret and key are wiped when they are no longer needed.
struct TrafficKey: ~Copyable {
    private let ssl: OpaquePointer
    private let secret: UnsafeMutableRawBufferPointer
    private var cipher: OpaquePointer
    private var sequence: UInt64 = 0

    /// A key from its secret; `ssl` says which suite is in use and must live as long. Nil when memory is short.
    init?(ssl: OpaquePointer, secret given: UnsafeRawBufferPointer) {
        guard let cipher = Self.derive(ssl, given) else { return nil }
        self.ssl = ssl
        self.cipher = cipher
        secret = UnsafeMutableRawBufferPointer.allocate(byteCount: given.count, alignment: 1)
        secret.copyMemory(from: given)
    }

    deinit {
        caccel_records_free(cipher)
        OPENSSL_cleanse(secret.baseAddress, secret.count)
        secret.deallocate()
    }

    private static func derive(_ ssl: OpaquePointer, _ secret: UnsafeRawBufferPointer) -> OpaquePointer? {
        withUnsafeTemporaryAllocation(byteCount: 32 + 12, alignment: 1) { room in
            guard let key = room.baseAddress?.assumingMemoryBound(to: UInt8.self),
                let bytes = secret.baseAddress?.assumingMemoryBound(to: UInt8.self)
            else { return nil }
            defer { OPENSSL_cleanse(key, room.count) }
            let count = ctls_traffic_key(ssl, bytes, secret.count, key, key + 32)
            return count > 0 ? caccel_records_new(key, count, key + 32) : nil
        }
    }

    /// Goes over to the next key. False when memory is short: the connection must end then.
    mutating func update() -> Bool {
        let bytes = secret.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard ctls_next_secret(ssl, bytes, secret.count), let next = Self.derive(ssl, UnsafeRawBufferPointer(secret))
        else { return false }
        caccel_records_free(cipher)
        cipher = next
        sequence = 0
        return true
    }

    /// Seals one record; `out` has room for its content and `CACCEL_RECORD_OVERHEAD`.
    /// - Returns: bytes of the record.
    mutating func seal(
        _ type: UInt8, _ content: UnsafePointer<UInt8>?, _ count: Int, to out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        defer { sequence += 1 }
        return caccel_records_seal(cipher, sequence, type, content, count, out)
    }

    /// Opens the record whose header and body are given to `out`, which has room for the body without its tag.
    /// - Returns: whether it authenticates.
    mutating func open(
        header: UnsafePointer<UInt8>, body: UnsafePointer<UInt8>, _ count: Int, to out: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        defer { sequence += 1 }
        return caccel_records_open(cipher, sequence, header, body, count, out)
    }
}
