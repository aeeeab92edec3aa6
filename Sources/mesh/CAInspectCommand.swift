import Arguments
import EventLoop
import JSON
import PKI

/// `mesh ca inspect FILE…`
enum CAInspectCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "inspect", "Show what certificate and key files hold, and what is wrong with them.",
            discussion: """
                Reads PEM, DER and PKCS#12. Exit code 6 when something is wrong: expired, not yet valid, in the wrong \
                order, a key that others may read or that does not belong to the certificate, and with --ca everything \
                for which a node would refuse it.
                """,
            flags: [
                FlagSpec("key", .path, "The private key that must belong to the certificate."),
                FlagSpec("ca", .path, "The roots that must vouch for the certificate."),
                FlagSpec("passphrase-file", .path, "File with the passphrase of an encrypted key or PKCS#12 file."),
                .json,
            ],
            positionals: [PositionalSpec("FILE", "Certificates, chains, keys.", .path, isRepeated: true)],
            examples: [
                .init("mesh ca inspect certs/node-1.crt --key certs/node-1.key --ca certs/ca.crt", "will it work?")
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let passphrase = try PassphraseSource.optional(invocation.string("passphrase-file"))
        let inspector = CertificateInspector(now: Clock.unixSeconds(), passphrase: passphrase)
        var reports: [InspectionReport] = []
        do throws(CertificateError) {
            let key =
                if let file = invocation.string("key") {
                    try PrivateKey.load(file: file, passphrase: passphrase, permissions: .ignored)
                } else { PrivateKey?.none }
            let trust =
                if let file = invocation.string("ca") { try TrustBundle.load(file: file) } else { TrustBundle?.none }
            for file in invocation.positionals("FILE") {
                reports.append(inspector.inspect(file, key: key, trust: trust))
            }
        } catch {
            throw CommandFailure(error)
        }
        context.print(["files": .array(reports.map(\.json))]) {
            for (index, report) in reports.enumerated() {
                if index > 0 { Output.line("") }
                report.print()
            }
        }
        return reports.allSatisfy(\.faults.isEmpty) ? .ok : .certificate
    }
}
