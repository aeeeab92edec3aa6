import Arguments
import EventLoop
import JSON
import PKI

/// `mesh cert check FILE…`
enum CertCheckCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "check", "Say whether certificate files are good, for how long, and what to do where they are not.",
            discussion: """
                Exit code 0: good. 7: good, but their end is near (30 days, or the last quarter of their life if that is \
                shorter). 6: wrong: expired, not yet valid, in the wrong order, weak, a key that others may read or that \
                belongs to another certificate; with --ca everything for which a peer would refuse it; with --name a name \
                that it does not have; with --ocsp a certificate that its issuer has revoked; with --ct-logs one that no log \
                vouches for. With --json: valid, error, expiring_soon and days_remaining of all files together, \
                and of each.
                """,
            flags: [
                FlagSpec("key", .path, "The private key that must belong to the certificate; nobody else may read it."),
                FlagSpec("ca", .path, "The roots that must vouch for the certificate."),
                FlagSpec(
                    "for", .choice(CertificateInspector.Use.allCases.map(\.rawValue)),
                    "What it is used for: both ends of a link, a server, a client. Counts with --ca.", default: "node"),
                FlagSpec(
                    "name", .string, placeholder: "HOST", "A DNS name or IP address by which clients come.",
                    isRepeated: true),
                FlagSpec(
                    switch: "ocsp",
                    "Ask the OCSP responders that the certificate and its intermediates name; a certificate that is revoked, or of "
                        + "which they say nothing, is wrong."),
                FlagSpec(
                    "ocsp-responder", .string, placeholder: "URL",
                    "Ask this responder about the certificate, instead of the one that it names. Implies --ocsp."),
                FlagSpec(
                    "ct-logs", .path,
                    "The logs of certificates (log_list.json) one of which must vouch for the certificate by an SCT in it."
                ),
                FlagSpec("passphrase-file", .path, "File with the passphrase of an encrypted key or PKCS#12 file."),
                .json,
            ],
            positionals: [PositionalSpec("FILE", "Certificates or chains.", .path, isRepeated: true)],
            examples: [
                .init(
                    "mesh cert check certs/node-1.crt --key certs/node-1.key --ca certs/ca.crt",
                    "the identity of a node"),
                .init(
                    "mesh cert check fullchain.pem --key privkey.pem --for server --name shop.example --ca roots.pem",
                    "a web server's certificate"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        var inspector = CertificateInspector(
            now: Clock.unixSeconds(), passphrase: try PassphraseSource.optional(invocation.string("passphrase-file")))
        inspector.use = invocation.string("for").flatMap(CertificateInspector.Use.init) ?? .node
        inspector.hosts = invocation.strings("name")
        if let url = invocation.string("ocsp-responder"), !url.hasPrefix("http://"), !url.hasPrefix("https://") {
            throw .usage("--ocsp-responder \(url) is no URL", hint: "write http:// or https:// in front of the host")
        }
        let files = invocation.positionals("FILE")
        let checks: [CertificateCheck]
        do throws(CertificateError) {
            let key = try invocation.string("key").map { (file) throws(CertificateError) in
                try Self.key(file, inspector.passphrase)
            }
            inspector.logs = try invocation.string("ct-logs").map { (file) throws(CertificateError) in
                try TransparencyLogs.load(file: file)
            }
            let trust = try invocation.string("ca").map { (file) throws(CertificateError) in
                try TrustBundle.load(file: file)
            }
            // Its mode is looked at apart, so that everything else is reported beside it.
            let keyFault = invocation.string("key").flatMap(CertificateInspector.faultOfSecret)
            checks = files.map { file in
                var report = inspector.inspect(file, key: key, trust: trust)
                if report.certificates.isEmpty, report.faults.isEmpty {
                    report.add(
                        .missingCertificate, "the file holds no certificate", hint: "give the certificate's file")
                }
                if invocation.isOn("ocsp") || invocation.string("ocsp-responder") != nil, !report.certificates.isEmpty {
                    let responders = ResponderReport(
                        report.certificates.map(\.certificate), roots: trust?.roots ?? [],
                        responder: invocation.string("ocsp-responder"))
                    report.responders = responders
                    report.faults += responders.faults
                }
                if let keyFault { report.faults.append(keyFault) }
                return CertificateCheck(report, now: inspector.now)
            }
        } catch {
            throw CommandFailure(error)
        }
        context.print(CertificateCheck.json(checks)) {
            for (index, check) in checks.enumerated() {
                if index > 0 { Output.line("") }
                check.print()
            }
        }
        if checks.contains(where: { !$0.isValid }) { return .certificate }
        return checks.contains(where: \.isExpiringSoon) ? .expiring : .ok
    }

    private static func key(_ file: String, _ passphrase: Passphrase?) throws(CertificateError) -> PrivateKey {
        try Passphrase.naming("--passphrase-file", unless: passphrase) { () throws(CertificateError) in
            try PrivateKey.load(file: file, passphrase: passphrase, permissions: .ignored)
        }
    }
}
