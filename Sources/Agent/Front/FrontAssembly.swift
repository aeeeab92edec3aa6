import Arguments
import JSON

/// Puts a front's configuration together: what a file has, then what settings and flags say, then what follows.
struct FrontAssembly {
    var front: FrontConfiguration
    var settings: FrontSettings
    var decoding: Decoding
    /// Flags for fields of the one listener, route or target there is.
    private var placed: [(flag: FrontFlags.Flag, text: String)] = []
    /// Whether the file has listeners, targets and routes of its own.
    let fileHas: (listeners: Bool, targets: Bool, routes: Bool)
    private var checked: (issues: [ConfigurationIssue], warnings: [ConfigurationIssue]) = ([], [])

    init(_ front: FrontConfiguration, _ settings: FrontSettings, _ decoding: Decoding) {
        self.front = front
        self.settings = settings
        self.decoding = decoding
        let edge = front.configuration.edge
        fileHas = (!edge.listeners.isEmpty, !front.targets.isEmpty, !edge.routes.isEmpty)
    }

    var origins: [String: ConfigurationOrigin] { decoding.origins }
    var issues: [ConfigurationIssue] { decoding.issues + checked.issues }
    var warnings: [ConfigurationIssue] { decoding.warnings + checked.warnings }

    // MARK: - Flags

    /// Takes the flags' texts over.
    mutating func read(flags: [String: String]) {
        let known = Set(FrontFlags.specs.map(\.name))
        for flag in flags.keys.sorted() where !known.contains(flag) {
            report(
                .unknownKey, .flag("--\(flag)"), "", "unknown flag",
                hint: Suggestion.closest(to: flag, among: known.sorted()).map { "did you mean --\($0)?" })
        }
        for flag in FrontFlags.flags {
            guard let text = flags[flag.name] else { continue }
            if case .setting(let name) = flag.place {
                settings.set(
                    name,
                    .init(
                        text: text, source: .flag("--\(flag.name)"), position: JSONPosition(line: 1, column: 1),
                        rank: .flag))
            } else {
                placed.append((flag, text))
            }
        }
    }

    // MARK: - Order

    /// Puts everything in its place and checks it.
    mutating func assemble() {
        // What a file seems to lack that cannot be read would only distract.
        let isBroken = decoding.issues.contains { $0.code == .badSyntax || $0.code == .unreadableFile }
        if !fileHas.listeners { front.configuration.edge.listeners = [Configuration.EdgeListener()] }
        if !fileHas.targets { front.targets = [FrontTarget()] }
        if !fileHas.routes { front.configuration.edge.routes = [Configuration.EdgeRoute()] }
        assembleTransport()
        assembleAddress()
        assembleTarget()
        for (flag, text) in placed { put(flag, text) }
        assembleTLS()
        assembleRoutes()
        if origins["workers"] == nil { front.configuration.workers = min(Cores.usable, 256) }
        guard !isBroken else { return }
        var checks = FrontChecks(front, origins: origins, refused: Set(decoding.issues.map(\.key)))
        checks.run()
        checked = (checks.issues, checks.warnings)
    }

    private mutating func assembleTransport() {
        guard let value = settings[.transport] else { return }
        if value.text == "stdio" {
            report(
                .badValue, value.origin, "transport",
                "stdio is refused: TLS does not apply to it, as it has no connections",
                hint: "let the server speak sse, http or ws on a loopback address, and set that here")
            return
        }
        // The name that MCP's own documents have for it.
        let text = value.text == "streamable-http" ? FrontTransport.http.rawValue : value.text
        put(value, text: text, FrontTable.root.first { $0.name == "transport" }, "transport")
    }

    private mutating func assembleAddress() {
        let (listen, host, port) = (settings[.listen], settings[.host], settings[.port])
        if let listen {
            for other in [host, port] {
                guard let other, other.rank == listen.rank else { continue }
                report(
                    .conflict, other.origin, "edge.listeners[0].address", "is in \(listen.origin) already",
                    hint: "give the whole address, or host and port")
            }
        }
        guard isOnly(.listeners, "listener", listen ?? host ?? port) else { return }
        let field = EdgeTable.listener.first { $0.name == "address" }
        let key = "edge.listeners[0].address"
        if let listen { putListener(listen, text: listen.text, field, key) }
        let parts = [host, port].compactMap { $0 }.filter { listen == nil || $0.rank > listen?.rank ?? .file }
        if let strongest = parts.max(by: { $0.rank < $1.rank }) {
            let before = front.configuration.edge.listeners[0].address
            let isHostNew = host.map { part in parts.contains { $0.rank == part.rank } } ?? false
            let isPortNew = port.map { part in parts.contains { $0.rank == part.rank } } ?? false
            var name = (isHostNew ? host?.text : before.host) ?? Self.defaultHost
            if name.contains(":"), !name.hasPrefix("[") { name = "[\(name)]" }
            let number = (isPortNew ? port?.text : before.port.map { "\($0)" }) ?? "\(Self.defaultPort)"
            putListener(strongest, text: "\(name):\(number)", field, key)
        } else if listen == nil, !fileHas.listeners {
            front.configuration.edge.listeners[0].address = .host(Self.defaultHost, port: Self.defaultPort)
        }
    }

    /// Loopback: whoever wants to be reached from elsewhere says so.
    private static let defaultHost = "127.0.0.1"
    /// The port that people take for TLS without root's rights.
    private static let defaultPort: UInt16 = 8443

    private mutating func assembleTarget() {
        guard let to = settings[.to] else {
            let isBroken = decoding.issues.contains {
                $0.key.hasPrefix("targets") || $0.code == .badSyntax || $0.code == .unreadableFile
            }
            if !fileHas.targets, !isBroken {
                report(
                    .missingKey, nil, "targets", "it is not said where the front leads to",
                    hint: "give --to URL, for example --to ws://127.0.0.1:8690")
            }
            return
        }
        guard isOnly(.targets, "target", to) else { return }
        Self.put(
            to, text: to.text, FrontTable.target.first { $0.name == "url" }, "targets[0].url", &front.targets[0],
            &decoding)
    }

    private mutating func assembleRoutes() {
        let routes = front.configuration.edge.routes
        for index in routes.indices {
            let key = "edge.routes[\(index)]"
            if !fileHas.routes { front.configuration.edge.routes[index].service = front.targets[0].name }
            if origins["\(key).require"] == nil { front.configuration.edge.routes[index].require = usualRequirement }
            let service = front.configuration.edge.routes[index].service
            guard let place = front.targets.firstIndex(where: { $0.name == service }) else { continue }
            // A server of the web chooses by its own name, which the local programs of the client side do not ask for.
            if routes[index].serviceHost == nil, front.targets[place].url.isSecure {
                front.configuration.edge.routes[index].serviceHost = front.targets[place].authority
                decoding.origins["\(key).serviceHost"] = origins["targets[\(place)].url"]
            }
            if routes[index].rewrite == nil, front.targets[place].url.path != "/" {
                front.configuration.edge.routes[index].rewrite = front.targets[place].url.path
                decoding.origins["\(key).rewrite"] = origins["targets[\(place)].url"]
            }
        }
    }

    /// What clients must prove where nothing is said: everything that the front can check.
    private var usualRequirement: Configuration.EdgeRequirement {
        let edge = front.configuration.edge
        let authentication = edge.authentication
        let tokens =
            !authentication.issuers.isEmpty || authentication.apiKeys != nil || authentication.localIssuerKey != nil
        let certificates = edge.listeners.contains { $0.clientCertificates == .required }
        switch (tokens, certificates) {
        case (true, true): return .both
        case (true, false): return .token
        case (false, true): return .certificate
        case (false, false): return .none
        }
    }

    // MARK: - Help

    mutating func report(
        _ code: ConfigurationIssue.Code, _ origin: ConfigurationOrigin?, _ key: String, _ message: String,
        hint: String? = nil
    ) {
        decoding.issues.append(ConfigurationIssue(code, origin, key, message, hint: hint))
    }

    mutating func warn(
        _ code: ConfigurationIssue.Code, _ origin: ConfigurationOrigin?, _ key: String, _ message: String,
        hint: String? = nil
    ) {
        decoding.warnings.append(ConfigurationIssue(code, origin, key, message, hint: hint))
    }

    /// Whether a setting can only mean one thing; a file may have several listeners, targets and routes.
    mutating func isOnly(_ place: FrontPlace, _ noun: String, _ value: FrontSettings.Value?) -> Bool {
        let count = place.count(front)
        guard count > 1, let value else { return count == 1 }
        report(
            .conflict, value.origin, "", "the file has \(count) \(noun)s, and it could mean any of them",
            hint: "write it into the file")
        return false
    }

    /// A value for a field of the listener.
    mutating func putListener(
        _ value: FrontSettings.Value, text: String, _ field: Field<Configuration.EdgeListener>?, _ key: String
    ) {
        Self.put(value, text: text, field, key, &front.configuration.edge.listeners[0], &decoding)
    }

    private mutating func put(
        _ value: FrontSettings.Value, text: String, _ field: Field<FrontConfiguration>?, _ key: String
    ) {
        Self.put(value, text: text, field, key, &front, &decoding)
    }

    private mutating func put(_ flag: FrontFlags.Flag, _ text: String) {
        let value = FrontSettings.Value(
            text: text, source: .flag("--\(flag.name)"), position: JSONPosition(line: 1, column: 1), rank: .flag)
        switch flag.place {
        case .setting: break
        case .root(let name): put(value, text: text, FrontTable.root.first { $0.name == name }, name)
        case .listener(let name):
            guard isOnly(.listeners, "listener", value) else { return }
            putListener(value, text: text, EdgeTable.listener.first { $0.name == name }, "edge.listeners[0].\(name)")
        case .route(let name):
            guard isOnly(.routes, "route", value) else { return }
            Self.put(
                value, text: text, EdgeTable.route.first { $0.name == name }, "edge.routes[0].\(name)",
                &front.configuration.edge.routes[0], &decoding)
        case .target(let name):
            guard isOnly(.targets, "target", value) else { return }
            Self.put(
                value, text: text, FrontTable.target.first { $0.name == name }, "targets[0].\(name)",
                &front.targets[0], &decoding)
        }
    }

    /// Reads a text as a field's value; it replaces what was there, with everything inside of it.
    static func put<Root>(
        _ value: FrontSettings.Value, text: String, _ field: Field<Root>?, _ key: String, _ root: inout Root,
        _ decoding: inout Decoding
    ) {
        guard let field else { preconditionFailure("\(key) is no key") }
        decoding.source = value.source
        decoding.origins = decoding.origins.filter { !$0.key.hasPrefix("\(key)[") }
        decoding.inside(key) { decoding in
            decoding.origins[key] = value.origin
            let node =
                field.form.text == .plain
                ? JSONNode(content: .string(text), position: value.position) : field.form.node(text, &decoding)
            if let node { field.read(node, &decoding, &root) }
        }
    }
}

/// The lists of a front's configuration that flags speak of as if they had one element.
enum FrontPlace {
    case listeners, routes, targets

    func count(_ front: FrontConfiguration) -> Int {
        switch self {
        case .listeners: front.configuration.edge.listeners.count
        case .routes: front.configuration.edge.routes.count
        case .targets: front.targets.count
        }
    }
}
