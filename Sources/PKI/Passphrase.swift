import CSodium

/// A passphrase or another secret that does not change, in guarded memory (``GuardedMemory``) that cannot be written to.
public final class Passphrase: @unchecked Sendable {
    // Unchecked: written once in init, read-only afterwards (the pages are protected against writing).
    private let memory: GuardedMemory.Block
    /// Length in bytes.
    public let count: Int

    /// Copies the bytes; the caller should wipe its own copy.
    public init(bytes: some Collection<UInt8>) {
        memory = GuardedMemory.allocate(bytes.count)
        count = bytes.count
        for (index, byte) in bytes.enumerated() {
            memory.pointer.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        sodium_mprotect_readonly(memory.pointer)
    }

    /// Takes over the bytes, and wipes where they were.
    public convenience init(wiping bytes: inout [UInt8]) {
        self.init(bytes: bytes)
        bytes.wipe()
    }

    /// Takes the UTF-8 bytes of a string.
    public convenience init(_ text: String) {
        self.init(bytes: text.utf8)
    }

    /// Reads a passphrase from a file: the first line, without its line end.
    ///
    /// - Parameter permissions: whether a file that group or others may read is refused (`key_readable_by_others`).
    public static func load(file: String, permissions: KeyPermissions = .enforced) throws(CertificateError)
        -> Passphrase
    {
        var bytes = try SafeFile.readSecret(
            file, limit: 4096, permissions: permissions,
            missing: "write the passphrase into this file, mode 0600, or correct the path")
        defer { bytes.wipe() }
        let line = bytes.prefix { $0 != 0x0A && $0 != 0x0D }
        guard !line.isEmpty else {
            throw CertificateError(
                .emptyFile, "the passphrase file has an empty first line",
                hint: "write the passphrase into its first line", file: file)
        }
        return Passphrase(bytes: line)
    }

    /// Reads a secret of any bytes from a file; line ends at its end do not count.
    ///
    /// Errors: those of a passphrase's file.
    public static func loadSecret(file: String) throws(CertificateError) -> Passphrase {
        var bytes = try SafeFile.readSecret(file, limit: 4096)
        defer { bytes.wipe() }
        let end = bytes.lastIndex { $0 != 0x0A && $0 != 0x0D }.map { $0 + 1 } ?? 0
        return Passphrase(bytes: bytes[..<end])
    }

    /// Loads a key that may be encrypted; where no passphrase was given, `bad_passphrase` names the flag that gives it.
    ///
    /// - Parameters:
    ///   - flag: that flag, which takes a file: `--passphrase-file`.
    ///   - given: the passphrase that `load` uses; nil where there is none.
    ///
    /// Errors: those of `load`.
    public static func naming<Value>(
        _ flag: String, unless given: Passphrase?, _ load: () throws(CertificateError) -> Value
    ) throws(CertificateError) -> Value {
        do throws(CertificateError) {
            return try load()
        } catch {
            guard error.reason == .badPassphrase, given == nil else { throw error }
            var error = error
            error.hint = "give its passphrase: \(flag) FILE (mode 0600)"
            throw error
        }
    }

    /// Lends the bytes; they are not NUL-terminated.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(UnsafeRawBufferPointer(start: memory.pointer, count: count)) }
    }

    /// Whether both are the same bytes; how long the answer takes tells nothing but their lengths.
    func isSame(as other: Passphrase) -> Bool {
        guard count == other.count else { return false }
        return withBytes { own in
            other.withBytes { sodium_memcmp(own.baseAddress!, $0.baseAddress!, own.count) == 0 }
        }
    }

    /// A secret of its own for one purpose: SHA-256 of a label and this one.
    ///
    /// - Parameter label: names the purpose; no other purpose's label begins with it.
    public func derived(_ label: String) -> Passphrase {
        Sodium.start()
        var state = crypto_hash_sha256_state()
        var hash = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        let label = Array(label.utf8)
        crypto_hash_sha256_init(&state)
        crypto_hash_sha256_update(&state, label, UInt64(label.count))
        withBytes { bytes in
            _ = crypto_hash_sha256_update(&state, bytes.bindMemory(to: UInt8.self).baseAddress, UInt64(bytes.count))
        }
        crypto_hash_sha256_final(&state, &hash)
        withUnsafeMutableBytes(of: &state) { sodium_memzero($0.baseAddress!, $0.count) }
        return Passphrase(wiping: &hash)
    }

    deinit { GuardedMemory.free(memory) }
}
