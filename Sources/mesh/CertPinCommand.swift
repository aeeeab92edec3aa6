import Arguments
import JSON
import PKI

/// `mesh cert pin FILE…`
enum CertPinCommand {
    private struct Entry {
        let file: String
        let subject: String
        let pins: [CertificatePin]
    }

    static let entry = CommandEntry(
        CommandSpec(
            "pin", "Print the pins of certificates and keys, as tls.pins takes them.",
            discussion: """
                spki-sha256 is over the public key and stays when a certificate is renewed with the same key; cert-sha256 \
                is over the certificate. The pin of an issuer outlives every renewal. A file with a private key alone \
                gives the pin of its public half: for a key that is kept for later.
                """,
            flags: [
                FlagSpec("passphrase-file", .path, "File with the passphrase of an encrypted key or PKCS#12 file."),
                .json,
            ],
            positionals: [PositionalSpec("FILE", "Certificates, chains, keys.", .path, isRepeated: true)],
            examples: [.init("mesh cert pin certs/node-1.crt", "what to write into tls.pins of its peers")])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let inspector = CertificateInspector(
            now: 0, passphrase: try PassphraseSource.optional(invocation.string("passphrase-file")))
        var entries: [Entry] = []
        for file in invocation.positionals("FILE") {
            do throws(CertificateError) {
                entries += try pins(of: file, inspector)
            } catch {
                throw CommandFailure(error.inFile(file))
            }
        }
        context.print(json(entries)) {
            for entry in entries {
                if entries.count > 1 { Output.line("\(entry.file): \(entry.subject)") }
                for pin in entry.pins { Output.line(pin.description) }
            }
        }
        return .ok
    }

    private static func pins(of file: String, _ inspector: CertificateInspector) throws(CertificateError) -> [Entry] {
        let report = try inspector.contents(of: file)
        var entries = report.certificates.map { item in
            Entry(
                file: file, subject: item.certificate.subject,
                pins: [CertificatePin(of: item.certificate.publicKey), CertificatePin(of: item.certificate)])
        }
        if entries.isEmpty, let key = report.key {
            entries = [Entry(file: file, subject: "private key", pins: [CertificatePin(of: key.publicKey)])]
        }
        guard !entries.isEmpty else {
            throw CertificateError(
                .missingCertificate, "holds neither a certificate nor a key that can be read",
                hint: "give a certificate's file, or --passphrase-file for an encrypted key")
        }
        return entries
    }

    private static func json(_ entries: [Entry]) -> JSONValue {
        [
            "pins": .array(
                entries.map { entry in
                    var object: JSONObject = ["file": .string(entry.file), "subject": .string(entry.subject)]
                    for pin in entry.pins { object[pin.kind.rawValue] = .string(pin.description) }
                    return .object(object)
                })
        ]
    }
}
