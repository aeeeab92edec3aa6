/// The keys of services and upstreams.
enum ServiceTable {
    static let service: [Field<Configuration.Service>] =
        target + PassphraseTable.fields("tls.", of: "`tls.key`").map { $0.inside(\.tls.passphrase) } + verification
        + instance

    private static let target: [Field<Configuration.Service>] = [
        .value(
            "name", \.name, .name("a service's name", "NAME"), "The service's name in the directory.",
            required: true),
        .value(
            "target", \.target, .target,
            "Where the service accepts connections: a loopback address or a Unix socket; or, over TLS and on any host, "
                + "https://HOST:PORT, wss://HOST:PORT or tls://HOST:PORT.", required: true),
        .value(
            "tls.ca", \.tls.ca, .list(.path, "a path or a list of paths", orOne: true),
            "PEM files with the CA certificates that vouch for the target; also a self-signed certificate of its own.",
            default: "the system's"),
        .value(
            "tls.serverName", \.tls.serverName, .optional(.hostPatternless),
            "The name or IP address that the target's certificate must have; a name is asked for in the handshake (SNI).",
            default: "the target's host"),
        .value(
            "tls.certificate", \.tls.certificate, .optional(.path),
            "PEM file with this node's certificate for the target, where it asks for one.", default: "none"),
        .value("tls.key", \.tls.key, .optional(.path), "PEM file with its private key.", default: "none"),
    ]

    private static let verification: [Field<Configuration.Service>] = [
        .value(
            "tls.pins", \.tls.pins, .pins,
            "Pins (`spki-sha256:…`, `cert-sha256:…`, see `mesh cert pin`), one of which the chain of the target's certificate "
                + "must match besides.", default: "none"),
        .value(
            "tls.pinMode", \.tls.pinMode, .choice,
            "Whether a certificate that matches none fails the handshake, or is only logged and counted."),
        .value(
            "tls.revocation.files", \.tls.revocationFiles,
            .list(.path, "a path or a list of paths", orOne: true),
            "CRLs (PEM or DER) of the CAs that vouch for the target: no connection to a certificate on one, and none goes on. Read again on "
                + "reload and when they change.", default: "none"),
        .value(
            "tls.revocation.mode", \.tls.revocationMode, .choice,
            "What happens where the CRL of an issuer is missing or out of date, as with `trust.revocation.mode`."),
        .value(
            "tls.staple", \.tls.staple, .choice,
            "What happens where the target staples no OCSP response to its certificate, or none that says it is good. One that "
                + "says `revoked` is always heard."),
        .value(
            "tls.ct", \.tls.transparency, .choice,
            "Whether the target's certificate must be in public logs, see `docs/transparency.md`; needs `tls.ct.logs` of the "
                + "agent."),
    ]

    private static let instance: [Field<Configuration.Service>] = [
        .value(
            "protocol", \.protocol,
            .choice(instead: ["https": "\"http\", and for TLS to the target write target: \"https://HOST:PORT\""]),
            "What it speaks."),
        .value(
            "tags", \.tags, .list(.name("a tag", "TAG"), "a list of tags", maximum: 32),
            "Labels by which the service can be found."),
        .value(
            "weight", \.weight, .integer(1...65535),
            "The instance's share of connections relative to other instances."),
        .value("metadata", \.metadata, .metadata, "Free facts about the instance for the directory."),
        .value(
            "check.kind", \.check.kind, .choice,
            "`tcp`: healthy while the target accepts connections. `none`: always healthy."),
        .value(
            "check.interval", \.check.interval, .duration(.milliseconds(100) ... .seconds(3600)),
            "The time between two checks."),
        .value(
            "check.timeout", \.check.timeout, .duration(.milliseconds(10) ... .seconds(300)),
            "How long a check may take."),
        .value(
            "check.failures", \.check.failures, .integer(1...100),
            "So many failures in a row make the instance critical."),
        .value(
            "check.successes", \.check.successes, .integer(1...100),
            "So many successes in a row make it passing again."),
        .value(
            "connectTimeout", \.connectTimeout, .duration(.milliseconds(10) ... .seconds(300)),
            "How long connecting to the target may take."),
        .value(
            "allowNonLoopback", \.allowNonLoopback, .boolean,
            "Allow a target without TLS on another host. The way there is neither encrypted nor authenticated."),
    ]

    static let upstream: [Field<Configuration.Upstream>] = [
        .value(
            "listen", \.listen, .address([.unix, .anyPort, .wildcard]),
            "Where local applications connect: a loopback address or a Unix socket.", required: true),
        .value("service", \.service, .name("a service's name", "NAME"), "The service it leads to.", required: true),
        .value(
            "as", \.actAs, .optional(.name("a service identity", "IDENTITY")),
            "The service identity that asks, which policy must give to this node.", default: "the node's own"),
        .value(
            "node", \.node, .optional(.name("a node's name", "NAME")), "Use only the instance on this node.",
            default: "any node"),
        .value(
            "instance", \.instance, .optional(.instance), "Use only this instance, written NODE/SERVICE.",
            default: "any instance"),
        .value(
            "connectTimeout", \.connectTimeout, .duration(.milliseconds(10) ... .seconds(300)),
            "How long it may take until an instance has accepted a connection, other instances included."),
        .value(
            "allowNonLoopback", \.allowNonLoopback, .boolean,
            "Allow other hosts to connect. They get the upstream's rights without proving who they are."),
    ]
}

extension Codec where Value == String {
    /// An instance's name: NODE/SERVICE.
    fileprivate static var instance: Codec {
        .string("an instance NODE/SERVICE", "NODE/SERVICE", pattern: "^[^/]+/[^/]+$", maximumLength: 127) { text in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2 else { return "write the node's name, a slash and the service's name" }
            return parts.lazy.compactMap { NameRule.problem(String($0)) }.first
        }
    }
}
