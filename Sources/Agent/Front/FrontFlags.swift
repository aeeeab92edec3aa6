public import Arguments

/// The flags of `mesh-agent front`, and what each of them sets.
public enum FrontFlags {
    /// What a flag sets.
    enum Place: Sendable {
        /// A setting that other sources have too.
        case setting(FrontSettings.Name)
        /// A field of the listener, of the route, or of the target: of the only one there is.
        case listener(String)
        case route(String)
        case target(String)
        /// A key of the file's root.
        case root(String)
    }

    struct Flag: Sendable {
        let name: String
        let place: Place
        let placeholder: String
        let help: String
        var isSwitch = false
        var isNegatable = false
    }

    /// Every flag for a command line's table: values are texts, which the loader checks with everything else.
    public static let specs: [FlagSpec] =
        [
            FlagSpec(
                "config", short: "c", .path,
                "A JSON5 file with `targets`, `transport` and the same `edge` keys as an agent's.",
                conflicts: ["import"]),
            FlagSpec(
                "import", .path,
                "An INI file; its section [server] gives transport, host, port, certificate_file, private_key_file."),
            FlagSpec(
                "env-prefix", .string, placeholder: "X",
                "Read X_WS_TLS_ENABLED, X_WS_CERT_FILE, X_WS_KEY_FILE, X_WS_CA_FILE, X_WS_VERIFY_CLIENT; or X_TRANSPORT, "
                    + "X_HOST, X_PORT, X_CERTIFICATE_FILE, X_PRIVATE_KEY_FILE."),
        ]
        + flags.map { flag in
            flag.isSwitch
                ? FlagSpec(switch: flag.name, flag.help, isNegatable: flag.isNegatable)
                : FlagSpec(flag.name, .string, placeholder: flag.placeholder, flag.help)
        }

    /// The texts of the flags that were given, for ``FrontLoader``.
    public static func texts(of invocation: Invocation) -> [String: String] {
        var texts: [String: String] = [:]
        for spec in specs {
            texts[spec.name] =
                spec.value == nil ? invocation.bool(spec.name)?.description : invocation.string(spec.name)
        }
        return texts
    }

    static let flags: [Flag] = settings + fields + roots

    private static let settings: [Flag] = [
        .init(
            name: "listen", place: .setting(.listen), placeholder: "IP:PORT",
            help: "Where clients connect (default 127.0.0.1:8443)."),
        .init(name: "host", place: .setting(.host), placeholder: "IP", help: "The address alone."),
        .init(name: "port", place: .setting(.port), placeholder: "PORT", help: "The port alone; 0 takes a free one."),
        .init(
            name: "to", place: .setting(.to), placeholder: "URL",
            help:
                "The server: ws://, http:// or unix: for a plain one; wss:// or https:// for one with TLS, which makes "
                + "this the client side."),
        .init(
            name: "transport", place: .setting(.transport), placeholder: "sse|http|ws",
            help: "What clients speak; decides about the URI that is printed."),
        .init(
            name: "tls-enabled", place: .setting(.tlsEnabled), placeholder: "",
            help: "Speak TLS to clients; without certificate files with one made for development.", isSwitch: true,
            isNegatable: true),
        .init(
            name: "certificate-file", place: .setting(.certificateFile), placeholder: "FILE",
            help: "PEM file with the certificate and its intermediates: the listener's; on the client side the one "
                + "that is shown to the server."),
        .init(
            name: "private-key-file", place: .setting(.privateKeyFile), placeholder: "FILE",
            help: "PEM file with its private key."),
        .init(
            name: "ca-file", place: .setting(.caFile), placeholder: "FILE",
            help: "PEM file with CA certificates: for clients' certificates; on the client side for the server's."),
        .init(
            name: "verify-client", place: .setting(.verifyClient), placeholder: "",
            help: "Only clients with a certificate of that CA get in.", isSwitch: true, isNegatable: true),
        .init(
            name: "minimum-tls-version", place: .setting(.minimumVersion), placeholder: "1.2|1.3",
            help: "The lowest version of TLS (default 1.2)."),
    ]

    private static let fields: [Flag] = [
        listener("tls-mode", "tls"), listenerSwitch("force", "force"), listener("trusted-proxies", "trustedProxies"),
        listener("proxy-protocol", "proxyProtocol"), listener("hosts", "hosts"), listener("allow", "allow"),
        listener("deny", "deny"),
        listener("plaintext", "plaintext"), listener("hsts-max-age", "hsts.maxAge"),
        listener("public-origin", "publicOrigin"),
        route("require", "require"), route("scopes", "scopes"), route("origins", "origins"),
        route("service-host", "serviceHost"), route("timeout", "timeout"), route("idle-timeout", "idleTimeout"),
        route("body-limit", "limits.body"),
        route("rate", "limits.rate"), route("burst", "limits.burst"),
        target("to-certificate-file", "certificate"), target("to-private-key-file", "key"), target("to-ca-file", "ca"),
        target("server-name", "serverName"),
        .init(
            name: "insecure", place: .target("insecure"), placeholder: "",
            help:
                "Do not check the server's certificate. Anybody in between can read and change everything; warned of at "
                + "every start and connection.", isSwitch: true),
    ]

    /// The keys of the root under the names that an agent's flags have.
    private static let roots: [Flag] = FrontTable.root.compactMap { field in
        guard field.name != "targets", field.name != "transport", field.name != "edge.listeners",
            field.name != "edge.routes"
        else { return nil }
        let key = field.key(in: "", defaults: FrontConfiguration())
        return Flag(
            name: key.flag, place: .root(field.name), placeholder: key.placeholder, help: key.summary,
            isSwitch: key.isBoolean, isNegatable: key.isBoolean)
    }

    private static func listener(_ name: String, _ field: String) -> Flag {
        flag(name, .listener(field), EdgeTable.listener.first { $0.name == field }.map { ($0.summary, $0.form) })
    }

    private static func listenerSwitch(_ name: String, _ field: String) -> Flag {
        var flag = listener(name, field)
        flag.isSwitch = true
        return flag
    }

    private static func route(_ name: String, _ field: String) -> Flag {
        flag(name, .route(field), EdgeTable.route.first { $0.name == field }.map { ($0.summary, $0.form) })
    }

    private static func target(_ name: String, _ field: String) -> Flag {
        flag(name, .target(field), FrontTable.target.first { $0.name == field }.map { ($0.summary, $0.form) })
    }

    private static func flag(_ name: String, _ place: Place, _ known: (summary: String, form: ValueForm)?) -> Flag {
        guard let known else { preconditionFailure("--\(name) is for a key that does not exist") }
        return Flag(name: name, place: place, placeholder: known.form.placeholder, help: known.summary)
    }
}
