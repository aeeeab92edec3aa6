import Arguments
import Directory
import Link
import PKI

/// Resolves what depends on other values, and finds what is wrong between values.
struct ConfigurationChecks {
    private(set) var configuration: Configuration
    private(set) var origins: [String: ConfigurationOrigin]
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []
    private let fileDirectory: String
    /// Keys whose own value was refused: what follows from them is not reported again.
    private let refused: Set<String>

    init(_ configuration: Configuration, _ decoding: Decoding, file: String?) {
        self.configuration = configuration
        origins = decoding.origins
        refused = Set(decoding.issues.map(\.key))
        fileDirectory = file.map(FilePath.directory) ?? ""
    }

    mutating func run() {
        resolvePaths()
        resolveIdentity()
        resolveTrust()
        if !isGiven("workers") { configuration.workers = min(Cores.usable, 256) }
        checkIdentity()
        checkTLS()
        checkCA()
        checkListeners()
        checkPeersAndDirectory()
        checkServices()
        checkUpstreams()
        checkEdge()
        checkAddresses()
        checkPolicy()
        checkQuantities()
        checkAudit()
    }

    // MARK: Help

    private func isGiven(_ key: String) -> Bool { origins[key] != nil }

    /// Whether a value was given and is not null; one that was refused was meant to be there.
    private func isSet(_ key: String, _ value: String?) -> Bool { value != nil || refused.contains(key) }

    private mutating func report(
        _ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil
    ) {
        issues.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }

    private mutating func warn(_ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil) {
        warnings.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }

    private func place(_ key: String) -> String { origins[key].map { " (\($0))" } ?? "" }

    /// What comes without a signature could come from anybody.
    private mutating func checkAudit() {
        let audit = configuration.audit
        guard audit.webhook != nil, audit.webhookSecretFile == nil, !refused.contains("audit.webhook.secretFile") else {
            return
        }
        report(
            .missingKey, "audit.webhook.secretFile", "events are sent with a signature only",
            hint: "write a secret: openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret")
    }

    // MARK: Resolving

    private mutating func resolvePaths() {
        if !isGiven("node.stateDirectory") {
            configuration.node.stateDirectory = FilePath.join(fileDirectory, configuration.node.stateDirectory)
        }
        let state = configuration.node.stateDirectory
        if !isGiven("listen.control") { configuration.listen.control = FilePath.join(state, "control/control.sock") }
        if !isGiven("audit.directory") { configuration.audit.directory = FilePath.join(state, "audit") }
        if !isGiven("audit.key") { configuration.audit.key = FilePath.join(state, "audit.key") }
        if !isGiven("directory.store") { configuration.directory.store = FilePath.join(state, "directory.sqlite") }
        if let problem = Configuration.Address.socketPathProblem(configuration.listen.control) {
            report(.badValue, "listen.control", problem, hint: "set listen.control to a shorter path, below /run")
        }
    }

    /// A node that joins, has joined, or is the CA and issues its own certificate, needs no place for its files to be named.
    private mutating func resolveIdentity() {
        let identity = configuration.identity
        let directory = FilePath.join(configuration.node.stateDirectory, "identity")
        let hasJoined = SafeFile.exists(FilePath.join(directory, "node.crt"))
        guard identity.join.tokenFile != nil || configuration.ca.isServed || hasJoined, identity.pkcs12 == nil else {
            return
        }
        if identity.certificate == nil, identity.key == nil {
            configuration.identity.certificate = FilePath.join(directory, "node.crt")
            configuration.identity.key = FilePath.join(directory, "node.key")
        }
        if !["trust.ca", "trust.servers", "trust.clients"].contains(where: isGiven) {
            configuration.trust.ca = [FilePath.join(directory, "ca.crt")]
        }
    }

    private mutating func checkCA() {
        if !isGiven("ca.store") {
            configuration.ca.store = FilePath.join(configuration.node.stateDirectory, "ca.sqlite")
        }
        if configuration.ca.advertise == nil, let listen = configuration.ca.listen, !listen.isWildcard, listen.port != 0
        {
            configuration.ca.advertise = listen
        }
        var checks = CAChecks(configuration, origins: origins)
        checks.run()
        issues += checks.issues
        warnings += checks.warnings
    }

    private mutating func resolveTrust() {
        let ca = configuration.trust.ca
        if isGiven("trust.servers"), isGiven("trust.clients"), isGiven("trust.ca") {
            warn(
                .conflict, "trust.ca", "has no effect, as trust.servers and trust.clients are both given",
                hint: "remove one of them")
        }
        if !isGiven("trust.servers") {
            configuration.trust.servers = ca
            origins["trust.servers"] = origins["trust.ca"]
        }
        if !isGiven("trust.clients") {
            configuration.trust.clients = ca
            origins["trust.clients"] = origins["trust.ca"]
        }
        for key in ["trust.servers", "trust.clients"] {
            let files = key == "trust.servers" ? configuration.trust.servers : configuration.trust.clients
            let isRefused = refused.contains { $0.hasPrefix(key) || $0.hasPrefix("trust.ca") }
            if files.isEmpty, !isRefused, !(key == "trust.clients" && configuration.listen.mesh == nil) {
                report(
                    .missingKey, key, "no CA certificates are given",
                    hint: "set trust.ca to the CA's certificate, for example certs/ca.crt")
            }
        }
    }

    // MARK: Checks

    private mutating func checkIdentity() {
        let identity = configuration.identity
        let hasCertificate = isSet("identity.certificate", identity.certificate)
        let hasKey = isSet("identity.key", identity.key)
        let hasPKCS12 = isSet("identity.pkcs12", identity.pkcs12)
        if hasPKCS12 {
            for (key, isSet) in [("identity.certificate", hasCertificate), ("identity.key", hasKey)] where isSet {
                report(
                    .conflict, key, "excludes identity.pkcs12\(place("identity.pkcs12")), which has it inside",
                    hint: "give either the two PEM files or the PKCS#12 file")
            }
        } else if hasCertificate != hasKey {
            let (given, missing) =
                hasCertificate
                ? ("identity.certificate", "identity.key") : ("identity.key", "identity.certificate")
            report(.conflict, given, "needs \(missing) as well", hint: "set \(missing), or use identity.pkcs12")
        } else if !hasCertificate {
            report(
                .missingKey, "identity.certificate", "the node has no certificate",
                hint:
                    "join with a token of the CA's node (mesh ca token create --node NODE): identity.join.tokenFile; or name files "
                    + "that somebody made: identity.certificate and identity.key")
        }
        if let check = PassphraseCheck(
            identity.passphrase, "identity.", hasKey: hasKey || hasPKCS12, keyName: "identity.key")
        {
            report(.conflict, check.key, check.message, hint: check.hint)
        }
    }

    private mutating func checkTLS() {
        var checks = TLSChecks(configuration, origins: origins, refused: refused)
        checks.run()
        configuration = checks.configuration
        issues += checks.issues
        warnings += checks.warnings
    }

    private mutating func checkListeners() {
        let listen = configuration.listen
        if let metrics = listen.metrics, !metrics.isLoopback {
            report(
                .notLoopback, "listen.metrics", "\(metrics) can be reached by other hosts; metrics are not protected",
                hint: "use 127.0.0.1:\(metrics.port ?? 9090)")
        }
        guard configuration.node.advertise.isEmpty, let mesh = listen.mesh else { return }
        configuration.node.advertise = Configuration.advertised(at: mesh)
        if !configuration.node.advertise.isEmpty {
            origins["node.advertise"] = origins["listen.mesh"]
        } else if !isGiven("node.advertise"), mesh.isWildcard {
            warn(
                .missingKey, "listen.mesh", "\(mesh) does not say at which address other nodes reach this one",
                hint: "set node.advertise, for example [\"192.0.2.10:\(mesh.port ?? 7400)\"]")
        }
    }

    private mutating func checkPeersAndDirectory() {
        var firstPlaces: [String: String] = [:]
        for (index, peer) in configuration.peers.enumerated() where !peer.node.isEmpty {
            let key = "peers[\(index)].node"
            if peer.node == configuration.node.name {
                report(.conflict, key, "\"\(peer.node)\" is this node itself", hint: "remove this peer")
            }
            if let first = firstPlaces[peer.node] {
                report(
                    .duplicate, key, "there is another peer \"\(peer.node)\"\(place(first))", hint: "remove one of them"
                )
            } else {
                firstPlaces[peer.node] = key
            }
        }
        checkDirectory()
    }

    private mutating func checkDirectory() {
        let directory = configuration.directory
        if directory.serve {
            if let node = directory.node, node != configuration.node.name {
                report(
                    .conflict, "directory.node",
                    "this node serves the directory itself\(place("directory.serve")) and cannot use that of \"\(node)\"",
                    hint: "remove directory.node, or set directory.serve to false")
            }
            if directory.address != nil {
                report(
                    .conflict, "directory.address",
                    "this node serves the directory itself\(place("directory.serve")) and does not dial it",
                    hint: "remove directory.address")
            }
            if configuration.listen.mesh == nil, !refused.contains("listen.mesh") {
                warn(
                    .conflict, "directory.serve", "no other node can reach this directory, as listen.mesh is not set",
                    hint: "set listen.mesh")
            }
        } else if let node = directory.node {
            if node == configuration.node.name {
                report(
                    .conflict, "directory.node", "\"\(node)\" is this node, which does not serve the directory",
                    hint: "set directory.serve to true")
            } else if directory.address == nil, !refused.contains("directory.address") {
                guard let index = configuration.peers.firstIndex(where: { $0.node == node }) else {
                    report(
                        .missingKey, "directory.node", "directory.address is missing: where is \"\(node)\" dialled?",
                        hint: "set directory.address, or add \"\(node)\" to peers")
                    return
                }
                configuration.directory.address = configuration.peers[index].address
                origins["directory.address"] = origins["peers[\(index)].address"]
            }
        } else if directory.address != nil {
            report(
                .missingKey, "directory.address", "directory.node is missing: which node must answer there?",
                hint: "set directory.node to the name in that node's certificate")
        } else if !refused.contains(where: { $0.hasPrefix("directory") }) {
            warn(
                .missingKey, "directory.serve", "there is no directory, so no service of another node will be found",
                hint: "set directory.serve to true on one node, directory.node and directory.address on the others")
        }
        if isGiven("directory.store"), !directory.serve {
            warn(.conflict, "directory.store", "has no effect, as this node does not serve the directory")
        }
        if directory.renewInterval * 2 > directory.leaseGrace {
            report(
                .conflict, isGiven("directory.renewInterval") ? "directory.renewInterval" : "directory.leaseGrace",
                "directory.renewInterval (\(DurationText.format(directory.renewInterval))) must be at most half of "
                    + "directory.leaseGrace (\(DurationText.format(directory.leaseGrace))), or leases end by chance")
        }
    }

    private mutating func checkServices() {
        var firstPlaces: [String: String] = [:]
        if configuration.services.count > ModelLimits.services {
            report(
                .outOfRange, "services",
                "\(configuration.services.count) services are more than a directory takes of one node (\(ModelLimits.services))",
                hint: "spread them over several nodes")
        }
        for (index, service) in configuration.services.enumerated() {
            let key = "services[\(index)]"
            if NameRule.isReserved(service.name) {
                report(
                    .badValue, "\(key).name",
                    "\"\(service.name)\" is reserved: the mesh's own services begin with mesh.",
                    hint: "choose another name")
            }
            if !service.name.isEmpty {
                if let first = firstPlaces[service.name] {
                    report(
                        .duplicate, "\(key).name", "there is another service \"\(service.name)\"\(place(first))",
                        hint: "a node has one instance of a service; choose another name or remove one of them")
                } else {
                    firstPlaces[service.name] = "\(key).name"
                }
            }
            if service.target != .unset, !service.target.isTLS, !service.target.address.isLoopback,
                !service.allowNonLoopback
            {
                report(
                    .notLoopback, "\(key).target", "\(service.target) is on another host or can be",
                    hint: "run the agent on that host, let it speak TLS (tls://…), or set allowNonLoopback to true")
            }
            checkTargetTLS(service, key)
            if service.target != .unset, service.target.address == configuration.listen.mesh {
                report(.conflict, "\(key).target", "is this agent's own mesh listener", hint: "name the service's port")
            }
            if service.check.timeout > service.check.interval {
                report(
                    .conflict,
                    isGiven("\(key).check.timeout") ? "\(key).check.timeout" : "\(key).check.interval",
                    "check.timeout (\(DurationText.format(service.check.timeout))) must not be longer than check.interval "
                        + "(\(DurationText.format(service.check.interval)))")
            }
        }
    }

    private mutating func checkTargetTLS(_ service: Configuration.Service, _ key: String) {
        let keys = ["ca", "serverName", "certificate", "key", "pins", "revocation.files", "revocation.mode", "staple"]
        let given = keys.map { "\(key).tls.\($0)" }.filter { origins[$0] != nil }
        if let first = given.first, service.target != .unset, !service.target.isTLS {
            report(
                .conflict, first, "has no effect, as no TLS is spoken to \(service.target)",
                hint: "write the target as https://\(service.target), wss://… or tls://…, or remove it")
        }
        if let check = PassphraseCheck(
            service.tls.passphrase, "\(key).tls.", hasKey: service.tls.key != nil, keyName: "tls.key")
        {
            report(.conflict, check.key, check.message, hint: check.hint)
        }
        let hasCertificate = isSet("\(key).tls.certificate", service.tls.certificate)
        guard hasCertificate != isSet("\(key).tls.key", service.tls.key) else { return }
        let (present, missing) = hasCertificate ? ("certificate", "key") : ("key", "certificate")
        report(
            .conflict, "\(key).tls.\(present)", "needs tls.\(missing) as well",
            hint: "set tls.\(missing), or remove tls.\(present)")
    }

    /// Finds listeners whose address an earlier one has; those of the edge among themselves are held together there.
    private mutating func checkAddresses() {
        var firstPlaces: [Configuration.Address: String] = [:]
        let (listen, ca) = (configuration.listen, configuration.ca)
        var listeners = [("listen.mesh", listen.mesh), ("listen.metrics", listen.metrics)]
        if ca.isServed { listeners.append(("ca.listen", ca.listen)) }
        for (index, upstream) in configuration.upstreams.enumerated() where upstream.listen != .unset {
            listeners.append(("upstreams[\(index)].listen", upstream.listen))
        }
        for case (let key, let address?) in listeners {
            checkAddress(address, key, firstPlaces)
            if firstPlaces[address] == nil { firstPlaces[address] = key }
        }
        for (index, listener) in configuration.edge.listeners.enumerated() where listener.address != .unset {
            checkAddress(listener.address, "edge.listeners[\(index)].address", firstPlaces)
        }
    }

    private mutating func checkAddress(
        _ address: Configuration.Address, _ key: String, _ firstPlaces: [Configuration.Address: String]
    ) {
        guard let first = firstPlaces[address], address.port != 0 else { return }
        report(
            .duplicate, key, "\(address) is taken by \(first)\(place(first))",
            hint: address.port == nil ? "give each listener its own path" : "give each listener its own port")
    }

    private mutating func checkUpstreams() {
        for (index, upstream) in configuration.upstreams.enumerated() where upstream.listen != .unset {
            let key = "upstreams[\(index)]"
            if !upstream.listen.isLoopback, !upstream.allowNonLoopback {
                report(
                    .notLoopback, "\(key).listen", "other hosts could connect to \(upstream.listen) unauthenticated",
                    hint: "use 127.0.0.1, or set allowNonLoopback to true")
            }
            if let service = configuration.services.firstIndex(where: { $0.target.address == upstream.listen }) {
                report(
                    .conflict, "\(key).listen",
                    "is the target of services[\(service)]\(place("services[\(service)].target")): a loop",
                    hint: "give the upstream a port of its own")
            }
            checkPins(upstream, key)
        }
    }

    private mutating func checkPins(_ upstream: Configuration.Upstream, _ key: String) {
        guard let instance = upstream.instance else { return }
        let parts = instance.split(separator: "/").map(String.init)
        if let node = upstream.node, parts.first != node {
            report(
                .conflict, "\(key).instance", "is not on node \"\(node)\"\(place("\(key).node"))",
                hint: "remove \"node\" or \"instance\"")
        }
        if !upstream.service.isEmpty, parts.last != upstream.service {
            report(
                .conflict, "\(key).instance", "is no instance of \"\(upstream.service)\"\(place("\(key).service"))",
                hint: "write NODE/\(upstream.service)")
        }
    }

    private mutating func checkEdge() {
        var checks = EdgeChecks(configuration.edge, origins: origins, refused: refused)
        checks.run()
        issues += checks.issues
        warnings += checks.warnings
    }

    private mutating func checkPolicy() {
        if configuration.policy.file != nil, configuration.policy.inline != nil {
            report(
                .conflict, "policy.inline", "excludes policy.file\(place("policy.file"))", hint: "remove one of them")
        } else if configuration.policy == Configuration.Policy(),
            !refused.contains(where: { $0.hasPrefix("policy") })
        {
            warn(
                .missingKey, "policy.file", "there is no policy, so everything is denied",
                hint: "set policy.file, for example to policy.json")
        }
    }

    private mutating func checkQuantities() {
        let (links, streams) = (configuration.links, configuration.streams)
        func given(_ first: String, _ second: String) -> String { isGiven(first) ? first : second }
        if links.idleTimeout < links.pingInterval * 2 {
            report(
                .conflict, given("links.idleTimeout", "links.pingInterval"),
                "links.idleTimeout (\(DurationText.format(links.idleTimeout))) must be at least twice links.pingInterval "
                    + "(\(DurationText.format(links.pingInterval))), or quiet links break")
        }
        for (name, maximum) in [
            ("links.reconnectMax", links.reconnectMax), ("links.reconnectMaxPermanent", links.reconnectMaxPermanent),
        ] where maximum < links.reconnectMin {
            report(
                .conflict, given(name, "links.reconnectMin"),
                "\(name) (\(DurationText.format(maximum))) must not be shorter than links.reconnectMin "
                    + "(\(DurationText.format(links.reconnectMin)))")
        }
        if streams.initialCredit > streams.window {
            report(
                .conflict, given("streams.initialCredit", "streams.window"),
                "streams.initialCredit (\(Quantity.text(bytes: streams.initialCredit))) must not be larger than "
                    + "streams.window (\(Quantity.text(bytes: streams.window)))")
        }
        let retention = SessionConfiguration().retentionLimit
        if streams.window > retention {
            warn(
                .conflict, "streams.window",
                "a session keeps \(Quantity.text(bytes: retention)) for acknowledgement at most, so a larger window is never filled"
            )
        }
        if configuration.limits.receiveBudget < streams.window {
            report(
                .conflict, given("limits.receiveBudget", "streams.window"),
                "limits.receiveBudget (\(Quantity.text(bytes: configuration.limits.receiveBudget))) must hold at least "
                    + "one streams.window (\(Quantity.text(bytes: streams.window)))")
        }
    }
}
