import JOSE
import PKI

/// What the DPoP nonces of one process have in common, from its start to its end: reloads keep it, so that nonces that were
/// given before still count.
///
/// A proof needs a nonce of this process: one that was used before a restart, or at another edge, is worth nothing here.
struct DPoPProcess: Sendable {
    /// Unix seconds.
    private let startedAt: Int64
    /// Random; tells nonces of this process from those of others with the same secret.
    private let instance: [UInt8]
    /// Random; the secret where no file has one.
    private let ownSecret: Passphrase

    /// A process that starts now.
    init(startedAt: Int64) {
        var generator = SystemRandomNumberGenerator()
        self.startedAt = startedAt
        instance = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        ownSecret = Passphrase(wiping: &secret)
    }

    /// How proofs are checked.
    ///
    /// - Parameters:
    ///   - secret: That of several edges; nil for one of this process.
    ///   - acceptsOthers: Whether nonces of those edges count here, too.
    ///
    /// Errors: `weak_secret`.
    func settings(secret: Passphrase?, acceptsOthers: Bool) throws(JOSEError) -> DPoPSettings {
        let nonces = try DPoPNonces(
            secret: secret ?? ownSecret, instance: instance, startedAt: startedAt, acceptsOthers: acceptsOthers)
        return DPoPSettings(nonces: nonces, startedAt: startedAt)
    }
}
