import Arguments
import EventLoop
import Glibc
import JSON
import PKI

/// `mesh ca issue NODE`
enum CAIssueCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "issue", "Make a node's key and certificate.",
            discussion: """
                Writes NODE.crt, the certificate first and the intermediate behind it where there is one, and NODE.key \
                (mode 0600). The certificate says CN=NODE and spiffe://DOMAIN/node/NODE. An intermediate.crt in the \
                CA's directory issues, else ca.crt.
                """,
            flags: [
                FlagSpec(
                    "out", .path, placeholder: "DIR", "Where the files go; made if absent.",
                    default: CAFiles.defaultDirectory),
                FlagSpec("ca-dir", .path, placeholder: "DIR", "Where mesh ca init put the CA; default: that of --out."),
                FlagSpec("ca", .path, "The certificate of the CA that issues, with those above it behind it."),
                FlagSpec("ca-key", .path, "Its key."),
                FlagSpec(
                    "trust-domain", .string, placeholder: "DOMAIN",
                    "Only for a CA that mesh ca init did not make and that does not name its domain."),
                FlagSpec("dns", .string, placeholder: "NAME", "A DNS name that it is valid for.", isRepeated: true),
                FlagSpec(
                    "ip", .string, placeholder: "ADDRESS", "An IP address that it is valid for.", isRepeated: true),
                FlagSpec("days", .integer(1...36_500), "How long it is valid.", default: "90"),
                FlagSpec("algorithm", .choice(KeyAlgorithm.allCases.map(\.rawValue)), "Kind of key.", default: "p256"),
                FlagSpec("passphrase-file", .path, "File with the passphrase of the CA's key."),
                FlagSpec(switch: "pfx", "Also write NODE.pfx (PKCS#12), encrypted."),
                FlagSpec(
                    "pfx-passphrase-file", .path, "File with the passphrase for NODE.pfx; without it, it is asked for."),
                FlagSpec(switch: "force", "Replace files that exist."),
                .json,
            ],
            positionals: [PositionalSpec("NODE", "The node's name.")],
            examples: [
                .init("mesh ca issue node-1", "certs/node-1.crt and certs/node-1.key"),
                .init("mesh ca issue db-1 --dns db-1.internal --ip 10.0.0.7", "with a host name and an address"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let node = context.argument("NODE")
        let files = CAFiles(invocation.string("out") ?? CAFiles.defaultDirectory)
        let replace = invocation.isOn("force")
        try check(node)
        let base = "\(files.directory)/\(node)"
        let wantsPFX = invocation.isOn("pfx") || invocation.string("pfx-passphrase-file") != nil
        let written = ["\(base).crt", "\(base).key"] + (wantsPFX ? ["\(base).pfx"] : [])
        try CAFiles.refuseExisting(written, replace: replace)
        let authority = try load(invocation, files)
        let request = IssueRequest(
            node: node, dnsNames: invocation.strings("dns"), ipAddresses: invocation.strings("ip"),
            validity: Int64(invocation.integer("days") ?? 90) * 86_400)
        let now = Clock.unixSeconds()
        let passphrase = wantsPFX ? try pfxPassphrase(invocation, node) : nil
        try files.prepare()
        do throws(CertificateError) {
            let algorithm = KeyAlgorithm(rawValue: invocation.string("algorithm") ?? "") ?? .p256
            let credentials = try authority.issueCredentials(request, algorithm: algorithm, now: now)
            try credentials.write(certificateFile: written[0], keyFile: written[1], replace: replace)
            if let passphrase {
                try credentials.writePKCS12(to: written[2], passphrase: passphrase, replace: replace)
            }
            report(context, credentials.leaf, written, asked: now + request.validity)
        } catch {
            throw CommandFailure(error)
        }
        return .ok
    }

    private static func check(_ node: String) throws(CommandFailure) {
        do throws(CertificateError) {
            try NodeName.check(node)
        } catch {
            throw CommandFailure(error)
        }
        guard !CAFiles.reservedNames.contains(node) else {
            throw .usage(
                "a node cannot be called \(node): \(node).crt and \(node).key are the CA's own files",
                hint: "choose another name for the node")
        }
    }

    /// The CA that issues: the one named, else the intermediate of the CA's directory, else its root.
    private static func load(_ invocation: Invocation, _ out: CAFiles) throws(CommandFailure) -> CertificateAuthority {
        let files = invocation.string("ca-dir").map { CAFiles($0) } ?? out
        let pair: CAFiles.Pair
        switch (invocation.string("ca"), invocation.string("ca-key")) {
        case (let certificate?, let key?): pair = CAFiles.Pair(certificate: certificate, key: key)
        case (nil, nil):
            let hasIntermediate = access(files.intermediate.certificate, F_OK) == 0
            pair = hasIntermediate ? files.intermediate : files.root
            guard access(pair.certificate, F_OK) == 0 || errno == EACCES else {
                throw CommandFailure(
                    .certificate, CertificateReason.unreadableFile.rawValue, "there is no CA in \(files.directory)",
                    hint: "make one (mesh ca init), or say where it is: --ca-dir DIR, or --ca FILE --ca-key FILE")
            }
        case (.some, nil), (nil, .some):
            throw .usage("--ca and --ca-key belong together", hint: "give both, or --ca-dir DIR alone")
        }
        return try PassphraseSource.open(
            "the CA's key \(pair.key)", file: invocation.string("passphrase-file"), flag: "--passphrase-file"
        ) { (passphrase) throws(CertificateError) in
            try CertificateAuthority.load(
                certificateFile: pair.certificate, keyFile: pair.key, passphrase: passphrase,
                trustDomain: invocation.string("trust-domain"))
        }
    }

    private static func pfxPassphrase(_ invocation: Invocation, _ node: String) throws(CommandFailure) -> Passphrase {
        if let file = invocation.string("pfx-passphrase-file") { return try PassphraseSource.file(file) }
        return try PassphraseSource.askNew("\(node).pfx", options: "--pfx-passphrase-file FILE")
    }

    private static func report(_ context: CommandContext, _ leaf: Certificate, _ written: [String], asked: Int64) {
        let spiffe = leaf.spiffeURIs.first ?? ""
        var object: JSONObject = [
            "node": .string(leaf.commonName ?? ""), "spiffe": .string(spiffe), "certificate": .string(written[0]),
            "key": .string(written[1]), "notAfter": .string(UTCTime.text(leaf.notAfter)),
            "serial": .string(leaf.serialHex), "fingerprintSHA256": .string(leaf.fingerprintSHA256),
        ]
        if written.count > 2 { object["pfx"] = .string(written[2]) }
        context.print(.object(object)) {
            Output.line("Issued \(spiffe), valid until \(UTCTime.text(leaf.notAfter)):")
            var fields = [
                (written[0], "its certificate, for identity.certificate"),
                (written[1], "its key, for identity.key; keep it secret"),
            ]
            if written.count > 2 { fields.append((written[2], "both as PKCS#12, for identity.pkcs12")) }
            Output.fields(fields, indent: 2)
        }
        if leaf.notAfter < asked {
            Output.note("note: it ends with the CA's own certificate, earlier than asked")
        }
    }
}
