import Glibc
import PKI

/// Where the passphrase of the CA's key comes from: a file, a variable, or a systemd credential.
enum CAPassphrase {
    /// The passphrase that the configuration names; nil where it names none.
    static func load(_ ca: Configuration.CA) throws(CertificateError) -> Passphrase? {
        if let file = ca.passphraseFile { return try Passphrase.load(file: file) }
        if let variable = ca.passphraseVariable { return try fromVariable(variable) }
        guard let name = ca.passphraseCredential else { return nil }
        guard let directory = getenv("CREDENTIALS_DIRECTORY") else {
            throw CertificateError(
                .badPassphrase, "systemd gives this agent no credentials (CREDENTIALS_DIRECTORY is not set)",
                hint: "add LoadCredential=\(name):PATH to the unit, or use ca.passphraseFile")
        }
        return try Passphrase.load(file: "\(String(cString: directory))/\(name)")
    }

    /// Takes the passphrase out of the environment, where children and /proc/PID/environ of this process would show it. What
    /// the kernel keeps of the initial environment is overwritten with it.
    private static func fromVariable(_ name: String) throws(CertificateError) -> Passphrase {
        guard let value = getenv(name), value.pointee != 0 else {
            throw CertificateError(
                .badPassphrase, "the variable \(name) does not hold the CA's passphrase",
                hint: "set it in the agent's environment, or use ca.passphraseFile")
        }
        let length = strlen(value)
        let passphrase = Passphrase(bytes: UnsafeRawBufferPointer(start: value, count: length))
        explicit_bzero(value, length)
        unsetenv(name)
        return passphrase
    }
}
