import Glibc

/// Certificate and key of an identity as two files that change together.
///
/// Two renames cannot be one, so a change is prepared beside the files (`FILE.next`, synced) and then carried out key first.
/// The certificate's `.next` is written last and taken away last: while it is there, the change is decided, and
/// ``finishReplacing()`` carries out what an end of power left undone. Nobody ever starts with a key that does not fit.
public struct CredentialFiles: Sendable {
    /// The certificate: leaf, then its intermediates. Mode 0644.
    public let certificate: String
    /// The private key. Mode 0600.
    public let key: String
    /// What keys are encrypted with when they are written, and opened with; nil writes them plain.
    public let passphrase: Passphrase?

    /// Names the files, which need not exist.
    public init(certificate: String, key: String, passphrase: Passphrase? = nil) {
        self.certificate = certificate
        self.key = key
        self.passphrase = passphrase
    }

    /// Where a key waits for its certificate.
    public var nextKey: String { key + ".next" }
    private var nextCertificate: String { certificate + ".next" }

    /// Whether there is a certificate.
    public var exist: Bool { access(certificate, F_OK) == 0 }

    /// The key that waits for its certificate from an attempt before, or a new one, which is written first: who asks for a
    /// certificate again after a crash asks with the same key.
    ///
    /// Errors: `unwritable_file`, `library_failure`.
    public func pendingKey(_ algorithm: KeyAlgorithm = .p256) throws(CertificateError) -> PrivateKey {
        try keep(preparedKey(algorithm))
    }

    /// What ``preparedKey(_:)`` gives.
    public struct PreparedKey: Sendable {
        fileprivate let key: PrivateKey
        /// It is in no file yet.
        fileprivate let isNew: Bool
        /// The key as it is to be written, where that is encrypted.
        fileprivate let encrypted: [UInt8]?
    }

    /// The part of ``pendingKey(_:)`` that takes long where keys are encrypted: for any thread, as it writes nothing.
    ///
    /// Errors: `library_failure`.
    public func preparedKey(_ algorithm: KeyAlgorithm = .p256) throws(CertificateError) -> PreparedKey {
        if access(nextKey, F_OK) == 0, let key = try? PrivateKey.load(file: nextKey, passphrase: passphrase) {
            return PreparedKey(key: key, isNew: false, encrypted: nil)
        }
        let key = try PrivateKey.generate(algorithm)
        return PreparedKey(
            key: key, isNew: true, encrypted: passphrase == nil ? nil : try key.pem(encryptedWith: passphrase))
    }

    /// The rest of ``pendingKey(_:)``: writes a new key, so that it waits for its certificate.
    ///
    /// Errors: `unwritable_file`, `library_failure`.
    public func keep(_ prepared: PreparedKey) throws(CertificateError) -> PrivateKey {
        guard prepared.isNew else { return prepared.key }
        if let passphrase, let text = prepared.encrypted {
            try SafeFile.write(text, to: nextKey, mode: 0o600)
            OpenedKeys.note(prepared.key, as: text, passphrase)
        } else {
            try prepared.key.write(to: nextKey)
        }
        return prepared.key
    }

    /// Replaces both files by `credentials`, whose key may wait already.
    ///
    /// Errors: `unwritable_file`; then the old pair is in place, or the new one is decided and comes with
    /// ``finishReplacing()``.
    public func replace(by credentials: Credentials) throws(CertificateError) {
        if !waits(credentials.key) { try credentials.key.write(to: nextKey, encryptedWith: passphrase) }
        try SafeFile.write(Array(credentials.certificatePEM.utf8), to: nextCertificate, mode: 0o644)
        try finishReplacing()
    }

    /// Whether the file that waits is known to hold this key, encrypted; a plain one is written again, which costs nothing.
    private func waits(_ key: PrivateKey) -> Bool {
        guard let passphrase, var text = try? SafeFile.readSecret(nextKey) else { return false }
        defer { text.wipe() }
        return OpenedKeys.key(in: text, passphrase) === key
    }

    /// Where a pair waits that shall take these files' place, for somebody to look at first.
    public var candidate: CredentialFiles { beside(".candidate") }

    /// Where the pair is kept that was there before these files.
    public var previous: CredentialFiles { beside(".previous") }

    private func beside(_ suffix: String) -> CredentialFiles {
        CredentialFiles(certificate: certificate + suffix, key: key + suffix, passphrase: passphrase)
    }

    /// Replaces both files by others' bytes: the key stays encrypted as it is, and the files stay those of their owners.
    ///
    /// Errors: those of ``replace(by:)``.
    public func replace(certificate: [UInt8], key: [UInt8]) throws(CertificateError) {
        try SafeFile.write(key, to: nextKey, mode: 0o600, owner: FileOwner(of: self.key))
        try SafeFile.write(certificate, to: nextCertificate, mode: 0o644, owner: FileOwner(of: self.certificate))
        try finishReplacing()
    }

    /// Writes both files, as `replace` does, for those to whom the files of another pair belong.
    ///
    /// Errors: `unwritable_file`.
    public func write(
        certificate: [UInt8], key: [UInt8], ownedAs other: CredentialFiles
    ) throws(CertificateError) {
        try SafeFile.write(key, to: self.key, mode: 0o600, owner: FileOwner(of: other.key))
        try SafeFile.write(certificate, to: self.certificate, mode: 0o644, owner: FileOwner(of: other.certificate))
    }

    /// Removes both files.
    public func remove() {
        unlink(certificate)
        unlink(key)
    }

    /// Carries out a change that was decided. To be called before the files are read.
    ///
    /// Errors: `unwritable_file`.
    public func finishReplacing() throws(CertificateError) {
        guard access(nextCertificate, F_OK) == 0 else { return }
        if access(nextKey, F_OK) == 0 { try move(nextKey, to: key) }
        try move(nextCertificate, to: certificate)
    }

    /// Where the source is gone, another process has carried out the same change: the agent looks after the files that somebody
    /// else replaces, and finishes what it finds begun.
    private func move(_ source: String, to target: String) throws(CertificateError) {
        guard rename(source, target) == 0 else {
            let error = errno
            // Whoever it was may not have synced it yet.
            if error == ENOENT, access(source, F_OK) != 0 { return SafeFile.syncDirectory(of: target) }
            throw CertificateError(
                .unwritableFile, "cannot put \(source) in place: \(String(cString: strerror(error)))",
                hint: "check directory and rights", file: target)
        }
        SafeFile.syncDirectory(of: target)
    }
}
