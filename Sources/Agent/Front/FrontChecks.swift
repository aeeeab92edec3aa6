import Arguments
import TLS

/// What is wrong between the values of a front.
struct FrontChecks {
    private let front: FrontConfiguration
    private let origins: [String: ConfigurationOrigin]
    /// Keys whose own value was refused: what follows from them is not reported again.
    private let refused: Set<String>
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []

    init(_ front: FrontConfiguration, origins: [String: ConfigurationOrigin], refused: Set<String>) {
        self.front = front
        self.origins = origins
        self.refused = refused
    }

    mutating func run() {
        var edge = EdgeChecks(front.configuration.edge, origins: origins, refused: refused)
        edge.run()
        issues += edge.issues
        warnings += edge.warnings
        for (index, target) in front.targets.enumerated() where target.url != .unset {
            check(target, "targets[\(index)]", index)
        }
        for (index, route) in front.configuration.edge.routes.enumerated() { check(route, "edge.routes[\(index)]") }
        checkMetrics()
        checkSessions()
        checkAudit()
        warnOfDevelopment()
    }

    private mutating func checkSessions() {
        for (index, listener) in front.configuration.edge.listeners.enumerated() {
            let key = "edge.listeners[\(index)].sessions.lifetime"
            guard !refused.contains(key),
                let problem = TLSChecks.sessionProblem(listener, listener.profile ?? .intermediate)
            else { continue }
            report(.conflict, key, problem.message, hint: problem.hint)
        }
    }

    /// Without a directory there is no audit log, and nothing for what belongs to it.
    private mutating func checkAudit() {
        let audit = front.configuration.audit
        if audit.directory.isEmpty, !refused.contains("audit.directory"), audit.webhook != nil || audit.syslog != nil {
            report(
                .missingKey, "audit.directory", "events go elsewhere besides the audit log only",
                hint: "set it to a directory of this user's, /var/lib/mesh-front/audit for example")
        }
        if audit.webhook != nil, audit.webhookSecretFile == nil, !refused.contains("audit.webhook.secretFile") {
            report(
                .missingKey, "audit.webhook.secretFile", "events are sent with a signature only",
                hint: "write a secret: openssl rand -hex 32 > webhook.secret; chmod 600 webhook.secret")
        }
    }

    private mutating func checkMetrics() {
        guard let metrics = front.configuration.listen.metrics, !refused.contains("listen.metrics") else { return }
        if !metrics.isLoopback {
            report(
                .notLoopback, "listen.metrics", "\(metrics) can be reached by other hosts; metrics are not protected",
                hint: "use 127.0.0.1:\(metrics.port ?? 9090)")
        }
        if metrics.port != 0, front.configuration.edge.listeners.contains(where: { $0.address == metrics }) {
            report(
                .duplicate, "listen.metrics", "is the address for clients, too", hint: "give each listener its own port"
            )
        }
    }

    private mutating func check(_ target: FrontTarget, _ key: String, _ index: Int) {
        if front.targets[..<index].contains(where: { $0.name == target.name }) {
            report(.duplicate, "\(key).name", "there is another target \"\(target.name)\"", hint: "rename one of them")
        }
        for listener in front.configuration.edge.listeners
        where listener.address == target.url.address && listener.address.port != 0 {
            report(
                .conflict, "\(key).url", "is the front's own address: a loop",
                hint: "let the server listen on another port of 127.0.0.1")
        }
        guard target.url.isSecure else { return checkPlain(target, key) }
        if (target.certificate == nil) != (target.key == nil), !refused.contains(where: { $0.hasPrefix(key) }) {
            let (given, missing) =
                target.certificate != nil ? ("certificate", "private key") : ("key", "certificate")
            report(
                .conflict, "\(key).\(given)", "needs its \(missing) as well",
                hint: "give both: --certificate-file and --private-key-file")
        }
        if let check = PassphraseCheck(target.passphrase, "\(key).", hasKey: target.key != nil, keyName: "key") {
            report(.conflict, check.key, check.message, hint: check.hint)
        }
        guard target.insecure else { return }
        warn(
            .insecure, "\(key).insecure",
            "the certificate of \(target.url) is not checked: anybody in between can read and change everything",
            hint: "give the CA's certificate instead: --ca-file ca.crt")
        if !target.ca.isEmpty {
            warn(.conflict, "\(key).ca", "has no effect, as the certificate is not checked", hint: "remove insecure")
        }
    }

    /// TLS settings of a server that does not speak it.
    private mutating func checkPlain(_ target: FrontTarget, _ key: String) {
        let given: [(String, Bool)] = [
            ("ca", !target.ca.isEmpty), ("certificate", target.certificate != nil), ("key", target.key != nil),
            ("serverName", target.serverName != nil), ("insecure", target.insecure),
        ]
        for (name, isGiven) in given where isGiven {
            report(
                .conflict, "\(key).\(name)", "there is no TLS towards \(target.url)",
                hint: "write its URL with wss:// or https://, or leave this out")
        }
        if case .host = target.url.address, !target.url.address.isLoopback {
            warn(
                .notLoopback, "\(key).url", "\(target.url) is plain text, and may be on another host",
                hint: "run the front on that host, or let the server speak TLS too")
        }
    }

    private mutating func check(_ route: Configuration.EdgeRoute, _ key: String) {
        let names = front.targets.map(\.name)
        guard !route.service.isEmpty, !names.contains(route.service), !refused.contains("\(key).service") else {
            return
        }
        report(
            .badValue, "\(key).service", "there is no target \"\(route.service)\"",
            hint: Suggestion.closest(to: route.service, among: names).map { "did you mean \"\($0)\"?" }
                ?? "targets: \(names.joined(separator: ", "))")
    }

    private mutating func warnOfDevelopment() {
        for (index, listener) in front.configuration.edge.listeners.enumerated()
        where !listener.developmentNames.isEmpty || !listener.developmentAddresses.isEmpty {
            warn(
                .insecure, "edge.listeners[\(index)].developmentCertificate.names",
                "a certificate for development is made at start: nobody outside has reason to trust it",
                hint: "in production give --certificate-file and --private-key-file")
        }
    }

    private mutating func report(
        _ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil
    ) {
        issues.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }

    private mutating func warn(_ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil) {
        warnings.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }
}
