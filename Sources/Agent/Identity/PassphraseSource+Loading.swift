import EventLoop
import Glibc
import PKI

extension Configuration.PassphraseSource {
    /// Passphrases that were taken out of the environment, by variable: a reload needs them again.
    private static let fromEnvironment = Locked<[String: Passphrase]>([:])

    /// The passphrase; nil where none is named.
    ///
    /// Errors: those of `Passphrase.load`; `bad_passphrase` where variable or credential are not there.
    func load() throws(CertificateError) -> Passphrase? {
        if let file { return try Passphrase.load(file: file) }
        if let variable { return try Self.fromVariable(variable) }
        guard let credential else { return nil }
        guard let directory = getenv("CREDENTIALS_DIRECTORY") else {
            throw CertificateError(
                .badPassphrase, "systemd gives this program no credentials (CREDENTIALS_DIRECTORY is not set)",
                hint: "add LoadCredential=\(credential):PATH to the unit, or use passphraseFile")
        }
        return try Passphrase.load(file: "\(String(cString: directory))/\(credential)")
    }

    /// Takes the passphrase out of the environment, where children and /proc/PID/environ of this process would show it. What
    /// the kernel keeps of the initial environment is overwritten with it.
    private static func fromVariable(_ name: String) throws(CertificateError) -> Passphrase {
        let found = fromEnvironment.withLock { known -> Passphrase? in
            if let passphrase = known[name] { return passphrase }
            guard let value = getenv(name), value.pointee != 0 else { return nil }
            let length = strlen(value)
            let passphrase = Passphrase(bytes: UnsafeRawBufferPointer(start: value, count: length))
            explicit_bzero(value, length)
            unsetenv(name)
            known[name] = passphrase
            return passphrase
        }
        guard let found else {
            throw CertificateError(
                .badPassphrase, "the variable \(name) does not hold a passphrase",
                hint: "set it in the program's environment, or use passphraseFile")
        }
        return found
    }
}
