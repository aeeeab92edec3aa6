/// The keys of a front's configuration file: its own, and those of the edge as an agent has them.
enum FrontTable {
    /// Keys of an agent, beside the edge's, that a front has too.
    private static let shared: Set<String> = [
        "listen.metrics", "tls.acceleration", "workers", "log.level", "log.format", "shutdown.drainTimeout",
        "audit.directory", "audit.key", "audit.maxDelay", "audit.maxFileSize", "audit.maxTotalSize",
        "audit.checkpointInterval",
        "audit.syslog", "audit.webhook.url", "audit.webhook.secretFile", "audit.webhook.ca",
    ]

    static let root: [Field<FrontConfiguration>] =
        [
            .value(
                "transport", \.transport, .optional(.choice),
                "What clients speak: server-sent events, HTTP or WebSocket. Decides about the URI that is printed.",
                default: "what the target's scheme says"),
            .elements(
                "targets", \.targets, of: target, make: FrontTarget.init, identity: \.name, maximum: 256,
                "The servers behind the front; `service` of a route is the name of one."),
        ] + EdgeTable.root.map { $0.inside(\.configuration) }
        + ConfigurationTable.root.filter { shared.contains($0.name) }.map { $0.inside(\.configuration) }

    static let target: [Field<FrontTarget>] =
        targetPlace + PassphraseTable.fields("", of: "`key`").map { $0.inside(\.passphrase) } + targetTLS

    private static let targetPlace: [Field<FrontTarget>] = [
        .value("name", \.name, .name("a target's name", "NAME"), "How routes name it."),
        .value("url", \.url, .frontURL, "Where it listens: ws, wss, http, https or unix.", required: true),
        .value(
            "ca", \.ca, .list(.path, "a path or a list of paths", orOne: true),
            "PEM files with the CA certificates that its certificate must lead to.", default: "the system's"),
        .value("certificate", \.certificate, .optional(.path), "PEM file with our client certificate."),
        .value("key", \.key, .optional(.path), "PEM file with its private key."),
    ]

    private static let targetTLS: [Field<FrontTarget>] = [
        .value(
            "serverName", \.serverName, .optional(.hostName),
            "The name that its certificate must have, and that is asked for (SNI).", default: "the URL's host"),
        .value("minimumVersion", \.minimumVersion, .choice, "The lowest version of TLS that is spoken with it."),
        .value(
            "insecure", \.insecure, .boolean,
            "Do not check its certificate. Anybody in between can read and change everything; warned of at every start and "
                + "connection."),
    ]
}

extension Field {
    /// The same field of something that has the root inside.
    func inside<Outer>(_ path: any WritableKeyPath<Outer, Root> & Sendable) -> Field<Outer> {
        Field<Outer>(
            name: name, summary: summary, form: form, defaultText: defaultText, isRequired: isRequired, effect: effect,
            read: { [read] node, decoding, outer in read(node, &decoding, &outer[keyPath: path]) },
            value: { [value] in value($0[keyPath: path]) },
            entries: { [entries] outer in
                entries(outer[keyPath: path]).map { Field<Outer>.Entry(key: $0.key, value: $0.value) }
            },
            changes: { [changes] in changes($0[keyPath: path], $1[keyPath: path]) },
            keep: { [keep] running, next in keep(running[keyPath: path], &next[keyPath: path]) },
            elementKeys: elementKeys, elementSchema: elementSchema)
    }
}

extension FrontConfiguration {
    /// What is different in `next` and takes a new start, as people read it.
    func changesThatNeedRestart(to next: FrontConfiguration) -> [String] {
        FrontTable.root.flatMap { $0.changes(self, next) }.filter { $0.effect == .restart }.map(\.description)
    }
}
