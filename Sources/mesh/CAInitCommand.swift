import Arguments
import EventLoop
import JSON
import PKI

/// `mesh ca init`
enum CAInitCommand {
    /// The trust domain of those who name none.
    static let defaultTrustDomain = "mesh.local"

    static let entry = CommandEntry(
        CommandSpec(
            "init", "Make a CA: a root, and an intermediate where wanted.",
            discussion: """
                Writes ca.crt, which every node trusts, and ca.key, with which certificates are issued: PKCS#8 with \
                scrypt and AES-256, mode 0600. With --intermediate also intermediate.crt and intermediate.key, which \
                then issue; ca.key can be taken offline. Also writes operator.key, which signs policy and revocations for \
                the whole mesh, and operators.json, by which the root says so and which nodes get beside ca.crt.
                """,
            flags: [
                FlagSpec(
                    "out", .path, placeholder: "DIR", "Where the files go; made if absent.",
                    default: CAFiles.defaultDirectory),
                FlagSpec(
                    "trust-domain", .string, placeholder: "DOMAIN",
                    "Nodes become spiffe://DOMAIN/node/NAME; it cannot be changed later.", default: defaultTrustDomain),
                FlagSpec(
                    "name", .string, placeholder: "NAME", "The CA's common name; default: \"DOMAIN CA\"."),
                FlagSpec("algorithm", .choice(KeyAlgorithm.allCases.map(\.rawValue)), "Kind of key.", default: "p256"),
                FlagSpec(switch: "intermediate", "Also make an intermediate CA that issues."),
                FlagSpec("days", .integer(1...36_500), "How long the root is valid.", default: "3650"),
                FlagSpec(
                    "passphrase-file", .path,
                    "The first line of this file (mode 0600) is the passphrase. Without it, it is asked for.",
                    conflicts: ["no-passphrase"]),
                FlagSpec(switch: "no-passphrase", "Do not encrypt the keys. For development only."),
                FlagSpec(
                    switch: "force", "Replace files that exist. Certificates of the old CA are worth nothing then."),
                .json,
            ],
            examples: [
                .init("mesh ca init --trust-domain mesh.example", "asks for a passphrase, writes to certs/"),
                .init("mesh ca init --no-passphrase", "for a first try"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let files = CAFiles(invocation.string("out") ?? CAFiles.defaultDirectory)
        let withIntermediate = invocation.isOn("intermediate")
        let replace = invocation.isOn("force")
        try CAFiles.refuseExisting(
            [files.root, files.intermediate].flatMap { [$0.certificate, $0.key] }
                + [files.operators, files.operatorKey(OperatorFiles.defaultName)], replace: replace)
        let authorities = try make(invocation, withIntermediate: withIntermediate)
        let passphrase = try passphrase(invocation)
        try files.prepare()
        do throws(CertificateError) {
            try authorities.root.write(
                certificateFile: files.root.certificate, keyFile: files.root.key, passphrase: passphrase,
                replace: replace)
            try authorities.intermediate?.write(
                certificateFile: files.intermediate.certificate, keyFile: files.intermediate.key,
                passphrase: passphrase, replace: replace)
            try OperatorFiles.create(files, authorities.root, passphrase, replace: replace)
            // Also where somebody has removed the files of a mesh of that name, and left this.
            SeenDocuments(authorities.root.trustDomain, beside: files).forget()
        } catch {
            throw CommandFailure(error)
        }
        report(context, files, authorities, isEncrypted: passphrase != nil)
        return .ok
    }

    private static func make(
        _ invocation: Invocation, withIntermediate: Bool
    ) throws(CommandFailure) -> (root: CertificateAuthority, intermediate: CertificateAuthority?) {
        let domain = invocation.string("trust-domain") ?? ""
        let name = invocation.string("name") ?? String("\(domain) CA".suffix(64))
        let algorithm = KeyAlgorithm(rawValue: invocation.string("algorithm") ?? "") ?? .p256
        let validity = Int64(invocation.integer("days") ?? 3650) * 86_400
        let now = Clock.unixSeconds()
        do throws(CertificateError) {
            let root = try CertificateAuthority.createRoot(
                name: name, algorithm: algorithm, trustDomain: domain, validity: validity, now: now)
            guard withIntermediate else { return (root, nil) }
            let below = "\(String(name.prefix(64 - " intermediate".count))) intermediate"
            return (root, try root.createIntermediate(name: below, algorithm: algorithm, now: now))
        } catch {
            var failure = CommandFailure(error)
            if error.reason == .badSPIFFEID {
                failure = .usage(
                    "\"\(domain)\" cannot be a trust domain",
                    hint: "use a-z, 0-9, dot, hyphen and underscore: --trust-domain mesh.example")
            }
            throw failure
        }
    }

    private static func passphrase(_ invocation: Invocation) throws(CommandFailure) -> Passphrase? {
        if let file = invocation.string("passphrase-file") { return try PassphraseSource.file(file) }
        if invocation.isOn("no-passphrase") {
            Output.note("warning: the CA's key is not encrypted; whoever reads it can make any node's certificate")
            return nil
        }
        return try PassphraseSource.askNew(
            "the CA's key", options: "--passphrase-file FILE, or --no-passphrase for development")
    }

    private static func report(
        _ context: CommandContext, _ files: CAFiles,
        _ authorities: (root: CertificateAuthority, intermediate: CertificateAuthority?), isEncrypted: Bool
    ) {
        let root = authorities.root.certificate
        var object: JSONObject = [
            "trustDomain": .string(authorities.root.trustDomain), "name": .string(root.commonName ?? ""),
            "certificate": .string(files.root.certificate), "key": .string(files.root.key),
            "encrypted": .bool(isEncrypted), "notAfter": .string(UTCTime.text(root.notAfter)),
            "fingerprintSHA256": .string(root.fingerprintSHA256), "operators": .string(files.operators),
            "operatorKey": .string(files.operatorKey(OperatorFiles.defaultName)),
        ]
        if authorities.intermediate != nil {
            object["intermediate"] = [
                "certificate": .string(files.intermediate.certificate), "key": .string(files.intermediate.key),
            ]
        }
        context.print(.object(object)) {
            Output.line("Made a CA for the trust domain \(authorities.root.trustDomain), \(root.keyAlgorithm):")
            var fields = [
                (files.root.certificate, "the root, valid until \(UTCTime.text(root.notAfter)); every node trusts it"),
                (files.root.key, "its key, \(isEncrypted ? "encrypted" : "NOT encrypted"); keep it secret"),
            ]
            if let intermediate = authorities.intermediate?.certificate {
                fields += [
                    (
                        files.intermediate.certificate,
                        "the intermediate, valid until \(UTCTime.text(intermediate.notAfter)); it issues"
                    ),
                    (files.intermediate.key, "its key; \(files.root.key) can be taken offline now"),
                ]
            }
            fields += [
                (files.operators, "who may sign policy and revocations; nodes get it as trust.operators"),
                (
                    files.operatorKey(OperatorFiles.defaultName),
                    "the first operator's key, for mesh policy apply and mesh revoke; keep it secret"
                ),
            ]
            Output.fields(fields, indent: 2)
            let issuer = authorities.intermediate == nil ? files.root : files.intermediate
            Output.line(
                "Next: name \(issuer.certificate) and \(issuer.key) in the configuration of the node that serves the CA (ca.certificate, ca.key), "
                    + "then there: mesh ca token create --node NODE")
        }
    }
}
