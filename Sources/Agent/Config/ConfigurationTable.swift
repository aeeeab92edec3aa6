import Link

/// All keys: their names, types, limits, defaults, words and how a change is applied.
///
/// Parsing, defaults, flags, variables, the schema, `docs/configuration.md` and reload all follow this table.
public enum ConfigurationTable {
    /// Every key in the order of the documentation; a list is followed by the keys of its elements.
    public static let keys: [ConfigurationKey] = rootKeys.flatMap { [$0.key] + $0.field.elementKeys }

    /// The keys that have flags and variables, with their fields.
    static let rootKeys: [(key: ConfigurationKey, field: Field<Configuration>)] = {
        let defaults = Configuration()
        return root.map { ($0.key(in: "", defaults: defaults), $0) }
    }()

    static let root =
        nodeFields + identityFields + identityPassphrase + CATable.identity + trustFields + TransparencyTable.root
        + OCSPTable.root + CATable.ca + listenFields
        + directoryFields
        + serviceFields + EdgeTable.root
        + policyFields + dataFields + operationFields + AuditTable.root

    private static let nodeFields: [Field<Configuration>] = [
        .value(
            "node.name", \.node.name, .optional(.name("a node's name", "NAME")),
            "The node's name; must be the one that its certificate proves.",
            default: "the common name of the certificate", effect: .restart),
        .value(
            "node.stateDirectory", \.node.stateDirectory, .path,
            "Where the agent keeps what must survive a restart; made with mode 0700.", default: "state",
            effect: .restart),
        .value(
            "node.advertise", \.node.advertise,
            .list(.address([.names]), "a list of addresses HOST:PORT", maximum: 16, orOne: true),
            "Addresses at which other nodes reach this node's mesh listener.",
            default: "`listen.mesh`, when that is a single address"),
        .value(
            "node.metadata", \.node.metadata, .metadata,
            "Free facts about the node for the directory, such as its site or rack."),
        .value(
            "node.coreDumps", \.node.coreDumps, .boolean,
            "Let the kernel write core dumps, and debuggers of the same user attach. For debugging only: keys are in that memory.",
            effect: .restart),
    ]

    private static let identityFields: [Field<Configuration>] = [
        .value(
            "identity.certificate", \.identity.certificate, .optional(.path),
            "PEM file with the node's certificate, then its intermediates. Read again on reload."),
        .value(
            "identity.key", \.identity.key, .optional(.path),
            "PEM file with the certificate's private key; only its owner may read it."),
        .value(
            "identity.pkcs12", \.identity.pkcs12, .optional(.path),
            "PKCS#12 file (.p12, .pfx) with certificate, intermediates and key, instead of the two PEM files."),
    ]

    private static let identityPassphrase = PassphraseTable.fields(
        "identity.", of: "`identity.key` or `identity.pkcs12`"
    )
    .map { $0.inside(\Configuration.identity.passphrase) }

    private static let trustFields: [Field<Configuration>] = [
        .value(
            "trust.ca", \.trust.ca, .files,
            "PEM files with the CA certificates that nodes' certificates must lead to: both `trust.servers` and "
                + "`trust.clients`."),
        .value(
            "trust.servers", \.trust.servers, .files, "CA certificates for nodes that this node dials.",
            default: "`trust.ca`"),
        .value(
            "trust.clients", \.trust.clients, .files, "CA certificates for nodes that dial this node.",
            default: "`trust.ca`"),
        .value(
            "trust.operators", \.trust.operators, .optional(.path),
            "File `operators.json`, which `mesh ca init` writes: who may sign policy and revocations for the whole mesh. "
                + "Without it the node takes the list from its peers; a root of the mesh has signed it in either case."),
        .value(
            "trust.domain", \.trust.domain, .optional(.trustDomain),
            "The SPIFFE trust domain; nodes of others are refused.",
            default: "that of the node's certificate"),
        .value(
            "trust.revocation.files", \.trust.revocationFiles, .files,
            "CRLs (PEM or DER) of the CAs: links of nodes whose certificates are on one end, and they get no other. Read again "
                + "on reload and when they change.", default: "none"),
        .value(
            "trust.revocation.urls", \.trust.revocationURLs, .list(.fetchURL, "a list of URLs", orOne: true),
            "Where CRLs (PEM or DER) of the mesh's CAs are fetched, at half of their validity; what was fetched is kept in "
                + "`node.stateDirectory`.", default: "none"),
        .value(
            "trust.revocation.mode", \.trust.revocationMode, .choice,
            "What happens where the CRL of an issuer is missing or out of date: `soft` lets certificates pass that are on none, "
                + "`hard` refuses them."),
        .value(
            "tls.profile", \.tls.profile, .choice,
            "What may be negotiated with nodes, see `docs/tls-profiles.md`. `hipaa`, `pci-dss` and `fips` hold for "
                + "everything else over TLS as well.",
            default: "\"modern\"; \"intermediate\" where `tls.minimumVersion` is \"1.2\""),
        .value(
            "tls.minimumVersion", \.tls.minimumVersion, .choice,
            "The lowest version of TLS that is spoken with nodes, not below that of the profile.",
            default: "that of the profile"),
        .value(
            "tls.cipherSuites", \.tls.cipherSuites, .algorithms,
            "Cipher suites for links, some of those of the profile, best first.", default: "those of the profile"),
        .value(
            "tls.groups", \.tls.groups, .algorithms,
            "Groups of the key exchange of links, some of those of the profile, best first.",
            default: "those of the profile"),
        .value(
            "tls.legacyCertificates", \.tls.legacyCertificates, .boolean,
            "Accept certificates without extended key usage and without names, as plain `openssl` recipes make them; "
                + "every use is logged."),
        .value(
            "tls.acceleration", \.tls.acceleration, .choice,
            "Where AES-GCM comes from: `auto` takes libipsec-mb where it is installed and the CPU has VAES and AVX-512, "
                + "else code of our own where the CPU has VAES, else OpenSSL; `off` always OpenSSL."),
        .elements(
            "tls.pins", \.tls.pins, of: pinFields, make: Configuration.Pins.init, identity: { $0.node ?? "*" },
            maximum: 1024,
            "Certificates or keys that nodes must have besides a certificate of a trusted CA. Every entry that concerns a "
                + "node must be met."),
    ]

    private static let pinFields: [Field<Configuration.Pins>] = [
        .value(
            "node", \.node, .optional(.name("a node's name", "NAME")), "The node, whichever end dials.",
            default: "every node that dials this one"),
        .value(
            "pins", \.pins, .pins,
            "Pins (`spki-sha256:…`, `cert-sha256:…`, see `mesh cert pin`); one of them must match a certificate of the "
                + "verified chain, the CA's included.", required: true),
        .value(
            "mode", \.mode, .choice,
            "Whether a certificate that matches none fails the handshake, or is only logged and counted."),
    ]

    private static let listenFields: [Field<Configuration>] = [
        .value(
            "listen.mesh", \.listen.mesh, .optional(.address([.anyPort, .wildcard])),
            "Where other nodes' links arrive; `null` when this node only dials. Links that are there stay when it changes."
        ),
        .value(
            "listen.control", \.listen.control, .path,
            "The control socket, for `mesh`; its directory is made with mode 0700.",
            default: "control/control.sock in `node.stateDirectory`", effect: .restart),
        .value(
            "listen.metrics", \.listen.metrics, .optional(.address([.anyPort])),
            "Where `/healthz`, `/readyz` and `/metrics` are served, in plain HTTP: a loopback address.",
            effect: .restart),
        .elements(
            "peers", \.peers, of: peerFields, make: Configuration.Peer.init, identity: \.node, maximum: 1024,
            "Nodes to which a link is always kept."),
    ]

    private static let peerFields: [Field<Configuration.Peer>] = [
        .value(
            "node", \.node, .name("a node's name", "NAME"), "The peer's name, which its certificate must prove.",
            required: true),
        .value("address", \.address, .address([.names]), "Where the peer is dialled.", required: true),
        .value(
            "lanes", \.lanes, .optional(.integer(1...Hello.maximumLanes)),
            "The most lanes (links side by side) with this peer.", default: "`links.lanes`"),
    ]

    private static let directoryFields: [Field<Configuration>] = [
        .value(
            "directory.serve", \.directory.serve, .boolean, "Whether this node serves the directory.",
            effect: .restart),
        .value(
            "directory.node", \.directory.node, .optional(.name("a node's name", "NAME")),
            "The node that serves the directory, when another one does.", effect: .restart),
        .value(
            "directory.address", \.directory.address, .optional(.address([.names])),
            "Where that node is dialled.", default: "the address that `peers` has for `directory.node`",
            effect: .restart),
        .value(
            "directory.store", \.directory.store, .path, "The directory's database, on the node that serves it.",
            default: "directory.sqlite in `node.stateDirectory`", effect: .restart),
        .value(
            "directory.leaseGrace", \.directory.leaseGrace, .duration(.seconds(1) ... .seconds(86_400)),
            "How long the registrations of a lost node stay, marked as lost, before they are removed.",
            effect: .restart),
        .value(
            "directory.renewInterval", \.directory.renewInterval, .duration(.milliseconds(100) ... .seconds(3600)),
            "How often an agent renews its registrations."),
    ]

    private static let serviceFields: [Field<Configuration>] = [
        .elements(
            "services", \.services, of: ServiceTable.service, make: Configuration.Service.init, identity: \.name,
            maximum: 4096, "What runs on this node and is registered with the directory."),
        .elements(
            "upstreams", \.upstreams, of: ServiceTable.upstream, make: Configuration.Upstream.init,
            identity: \.listen.description, maximum: 4096,
            "Local listeners that lead to services: applications connect here."),
    ]

    private static let policyFields: [Field<Configuration>] = [
        .value(
            "policy.file", \.policy.file, .optional(.path),
            "The policy: identity mappings and rules. Read again on reload and when it changes."),
        .value(
            "policy.inline", \.policy.inline, .optional(.inlinePolicy),
            "The policy itself, instead of a file."),
    ]

    private static let dataFields: [Field<Configuration>] = [
        .value(
            "workers", \.workers, .integer(1...256), "Event loops that carry traffic, one thread each.",
            default: "one for each core", effect: .restart),
        .value(
            "polling", \.polling, .choice,
            "What a worker does when it has nothing to do: `auto` looks for its next event for up to 50 µs "
                + "(100 where one comes at a time) before it sleeps, giving way to other threads, where the last ones came "
                + "that soon again and again; `off` sleeps at once.",
            effect: .restart),
        .value(
            "links.pingInterval", \.links.pingInterval, .duration(.milliseconds(100) ... .seconds(3600)),
            "The time between two pings on a quiet link."),
        .value(
            "links.handshakeTimeout", \.links.handshakeTimeout, .duration(.milliseconds(100) ... .seconds(300)),
            "How long a new link may take from the TCP connection to the end of HELLO."),
        .value(
            "links.idleTimeout", \.links.idleTimeout, .duration(.milliseconds(200) ... .seconds(86_400)),
            "A link on which nothing came for so long, not even the answer to a ping, is given up."),
        .value(
            "links.reconnectMin", \.links.reconnectMin, .duration(.milliseconds(10) ... .seconds(60)),
            "The bound of the first random pause before a lost link is dialled again; it doubles each time. A delay that the node "
                + "names goes first."),
        .value(
            "links.reconnectMax", \.links.reconnectMax, .duration(.milliseconds(10) ... .seconds(3600)),
            "The largest bound of these pauses while nobody wants the link."),
        .value(
            "links.reconnectMaxPermanent", \.links.reconnectMaxPermanent,
            .duration(.milliseconds(10) ... .seconds(3600)),
            "The largest bound for links that are always kept, to the directory and to `peers`, and where an application waits."
        ),
        .value(
            "links.resumeFor", \.links.resumeFor, .duration(.zero ... .seconds(3600)),
            "How long streams wait for a new link when theirs is lost, before they are reset; 0 resets them at once, and "
                + "sessions do not move to links with a newer certificate.",
            effect: .restart),
        .value(
            "links.lanes", \.links.lanes, .integer(1...Hello.maximumLanes),
            "The most lanes to each node: links side by side, on several workers, so that two busy nodes use more than one "
                + "core and a packet that is lost on one does not hold up the others. Two nodes keep as many as the one with "
                + "the smaller number takes."),
        .value(
            "streams.window", \.streams.window, .size(16 << 10...1 << 30),
            "The most bytes that one stream may have under way; small windows limit throughput over distance.",
            effect: .restart),
        .value(
            "streams.initialCredit", \.streams.initialCredit, .size(1 << 10...1 << 20),
            "The bytes that a stream may send at once when it is opened.", effect: .restart),
        .value(
            "limits.receiveBudget", \.limits.receiveBudget, .size(1 << 20...1 << 40),
            "The most memory promised to all streams together for bytes that their applications have not taken yet.",
            effect: .restart),
        .value(
            "limits.parkedMemory", \.limits.parkedMemory, .size(0...1 << 40),
            "The most memory that streams without a link may hold while they wait; beyond it they are reset at once.",
            effect: .restart),
        .value(
            "limits.retainedMemory", \.limits.retainedMemory, .size(16 << 20...1 << 40),
            "The most memory, on each worker, for bytes that were sent and that peers have not acknowledged yet; beyond it "
                + "streams wait, and each session goes on with 512 KiB of its own.",
            effect: .restart),
        .value(
            "limits.maxStreams", \.limits.maxStreams, .integer(1...10_000_000),
            "The most streams that peers may have open here at once, on all links together; further ones are refused with a delay "
                + "(`too_many_streams`). A higher number counts for sessions that begin after a reload."),
        .value(
            "limits.maxLinks", \.limits.maxLinks, .integer(1...1_000_000),
            "The most nodes to which there are links, in use, parked or being made; further ones are refused with a delay "
                + "(`overloaded`). Nodes to which a link is always kept are not refused, and a smaller number ends no link."
        ),
        .value(
            "limits.maxConnectionsPerUpstream", \.limits.maxConnectionsPerUpstream, .integer(1...1_000_000),
            "The most connections of one upstream listener; further ones are reset at once, and counted as `too_many_connections`."
        ),
    ]

    private static let operationFields: [Field<Configuration>] = [
        .value("log.level", \.log.level, .choice, "The least important messages that are written."),
        .value(
            "log.format", \.log.format, .choice, "`auto` is text on a terminal and one JSON object a line otherwise.",
            effect: .restart),
        .value(
            "shutdown.drainTimeout", \.shutdown.drainTimeout, .duration(.zero ... .seconds(3600)),
            "How long connections may go on after SIGTERM, and in a process that another one has taken over from."),
    ]
}

extension Codec where Value == [String] {
    /// One file or several.
    fileprivate static var files: Codec { .list(.path, "a path or a list of paths", orOne: true) }
}

extension Codec where Value == String {
    /// A SPIFFE trust domain (SPIFFE-ID specification, section 2.1).
    fileprivate static var trustDomain: Codec {
        .string("a trust domain", "DOMAIN", pattern: "^[a-z0-9._-]{1,255}$", maximumLength: 255) { text in
            let isLegal = text.utf8.allSatisfy { byte in
                NameRule.isLetterOrDigit(byte) && !(0x41...0x5A).contains(byte) || ".-_".utf8.contains(byte)
            }
            return isLegal && !text.isEmpty ? nil : "it has only lower-case letters, digits, '.', '-' and '_'"
        }
    }
}
