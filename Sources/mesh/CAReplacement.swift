import Arguments
import HTTP
import JSON
import PKI

/// Other files for the CA that this host's agent serves, put in the place of the present ones so that it goes on issuing whatever
/// is wrong with them: the agent looks at them first, and where it refuses them in the end the present ones come back.
struct CAReplacement {
    private let client: ControlClient
    private let source: CAFiles.Pair
    private let target: CredentialFiles
    private let next: (certificate: [UInt8], key: [UInt8])
    private let before: (certificate: [UInt8], key: [UInt8])

    /// Reads both pairs.
    ///
    /// - Parameter state: what `GET /v1/ca` says.
    init(_ client: ControlClient, _ source: CAFiles.Pair, of state: JSONValue) throws(CommandFailure) {
        self.client = client
        self.source = source
        target = CredentialFiles(certificate: state.text(of: "certificateFile"), key: state.text(of: "keyFile"))
        do throws(CertificateError) {
            next = (try SafeFile.read(source.certificate), try SafeFile.readSecret(source.key))
            before = (try SafeFile.read(target.certificate), try SafeFile.readSecret(target.key))
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Checks, replaces, and lets the CA read what is there.
    ///
    /// - Returns: the CA as it is after it.
    func run() throws(CommandFailure) -> JSONValue {
        // Where the command was cut short before, the files are in place already.
        guard before.certificate != next.certificate else { return try client.call(.post, Self.reload) }
        try check()
        do throws(CertificateError) {
            try target.previous.write(certificate: before.certificate, key: before.key, ownedAs: target)
            try target.replace(certificate: next.certificate, key: next.key)
        } catch {
            throw CommandFailure(error)
        }
        do throws(CommandFailure) {
            return try client.call(.post, Self.reload)
        } catch {
            throw putBack(after: error)
        }
    }

    private static let reload = "/v1/ca/reload"

    /// Lets the agent read the next files beside the present ones: with its rights, and its passphrase.
    private func check() throws(CommandFailure) {
        defer { target.candidate.remove() }
        do throws(CertificateError) {
            try target.candidate.write(certificate: next.certificate, key: next.key, ownedAs: target)
        } catch {
            throw CommandFailure(error)
        }
        do throws(CommandFailure) {
            _ = try client.call(.post, "/v1/ca/check")
        } catch {
            throw CommandFailure(
                error.exit, error.reason,
                "nothing was changed, since the CA could not issue with \(source.certificate) and \(source.key): "
                    + error.what, hint: Self.hint(error, source))
        }
    }

    private static func hint(_ error: CommandFailure, _ source: CAFiles.Pair) -> String? {
        guard error.reason == CertificateReason.badPassphrase.rawValue else { return error.hint }
        return "encrypt \(source.key) with the passphrase that ca.passphrase of the agent gives "
            + "(openssl pkey -aes256 -in OLD -out NEW), or give it the key's, then run this again"
    }

    /// The agent refuses what is in place: what was there before comes back.
    private func putBack(after failure: CommandFailure) -> CommandFailure {
        do throws(CertificateError) {
            try target.replace(certificate: before.certificate, key: before.key)
        } catch {
            return CommandFailure(
                failure.exit, failure.reason,
                "\(failure.what); and the CA's files of before could not be put back: \(error.message)",
                hint:
                    "copy \(target.previous.certificate) and \(target.previous.key) over the CA's files, then mesh ca reload"
            )
        }
        let isRead = (try? client.call(.post, Self.reload)) != nil
        return CommandFailure(
            failure.exit, failure.reason,
            "\(failure.what); the CA's files are those of before again"
                + (isRead ? "" : ", and the CA could not be told to read them"),
            hint: isRead ? failure.hint : "mesh ca reload, or restart the agent, once it answers")
    }
}
