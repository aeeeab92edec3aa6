import PKI

/// The keys about Certificate Transparency.
enum TransparencyTable {
    static let root: [Field<Configuration>] = [
        .value(
            "tls.ct.mode", \.tls.transparency.mode, .choice,
            "Whether the certificates of nodes that this one dials must be in public logs (RFC 6962, see "
                + "`docs/transparency.md`): with `report` it is logged and counted where too few logs vouch for one, with "
                + "`require` the handshake fails."),
        .value(
            "tls.ct.logs", \.tls.transparency.logs, .optional(.path),
            "The logs that count: a file in the form of the browsers' `log_list.json`. Read again on reload."),
        .value(
            "tls.ct.minimum", \.tls.transparency.minimum, .integer(1...8),
            "How many different logs must vouch for a certificate."),
        .elements(
            "tls.ct.nodes", \.tls.transparency.nodes, of: nodeFields, make: Configuration.TransparencyOfNode.init,
            identity: \.node, maximum: 1024, "Nodes for which something else holds than `tls.ct.mode`."),
    ]

    private static let nodeFields: [Field<Configuration.TransparencyOfNode>] = [
        .value("node", \.node, .name("a node's name", "NAME"), "The node, when this one dials it.", required: true),
        .value("mode", \.mode, .choice, "As `tls.ct.mode`."),
    ]
}

extension TransparencyPolicy {
    /// The policy for links of a configuration; nil where nobody is looked at. Reads the list of logs.
    ///
    /// Errors: those of `TransparencyLogs.load`.
    static func load(_ settings: Configuration.Transparency) throws(CertificateError) -> TransparencyPolicy? {
        let modes = [settings.mode] + settings.nodes.map(\.mode)
        guard let file = settings.logs, modes.contains(where: { $0 != .off }) else { return nil }
        return TransparencyPolicy(
            logs: try TransparencyLogs.load(file: file), minimum: settings.minimum, mode: Mode(settings.mode),
            nodes: Dictionary(settings.nodes.map { ($0.node, Mode($0.mode)) }) { $1 })
    }

    /// The policy for the target of a service; nil where nobody looks.
    static func load(_ settings: Configuration.TargetTLS) throws(CertificateError) -> TransparencyPolicy? {
        guard let file = settings.transparencyLogs, settings.transparency != .off else { return nil }
        return TransparencyPolicy(
            logs: try TransparencyLogs.load(file: file), minimum: settings.transparencyMinimum,
            mode: Mode(settings.transparency))
    }

    /// What tells whether the logs are others: their keys, and until when they count.
    var stamp: [String] {
        ["\(minimum)"] + logs.logs.map { "\($0.key.spkiSHA256) \($0.retiredAt ?? .max)" }
    }
}

extension TransparencyPolicy.Mode {
    /// As it is configured.
    init(_ mode: Configuration.TransparencyMode) {
        self =
            switch mode {
            case .off: .off
            case .report: .report
            case .require: .require
            }
    }
}
