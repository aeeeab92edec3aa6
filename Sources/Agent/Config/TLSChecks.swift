import PKI
import TLS

/// Resolves what profiles decide where nothing is given, and finds where a configuration falls short of the profile that it
/// names.
struct TLSChecks {
    private(set) var configuration: Configuration
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []
    private let origins: [String: ConfigurationOrigin]
    /// Keys whose own value was refused: what follows from them is not reported again.
    private let refused: Set<String>

    /// Checks for `configuration`, whose values came from `origins`.
    init(_ configuration: Configuration, origins: [String: ConfigurationOrigin], refused: Set<String>) {
        self.configuration = configuration
        self.origins = origins
        self.refused = refused
    }

    mutating func run() {
        checkLinks()
        for index in configuration.edge.listeners.indices { checkListener(index) }
        let outward = configuration.tls.profile.towardsOthers
        for index in configuration.services.indices { configuration.services[index].tls.profile = outward }
        configuration.edge.authentication.fetchProfile = outward
        configuration.ocsp.fetchProfile = outward
        configuration.audit.fetchProfile = outward
        checkCleartext()
        checkTransparency()
        checkPins()
        checkRevocation()
        checkOCSP()
        if configuration.tls.profile == .hipaa, !configuration.audit.enabled {
            report(
                .conflict, "audit.enabled", "the profile hipaa wants the audit log", hint: "remove audit.enabled: false"
            )
        }
    }

    private func isGiven(_ key: String) -> Bool { origins[key] != nil && !refused.contains(key) }

    private mutating func report(
        _ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil
    ) {
        issues.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }

    // MARK: - Links

    private mutating func checkLinks() {
        var tls = configuration.tls
        // Who asked for TLS 1.2 before there were profiles meant the one that has it.
        if !isGiven("tls.profile"), isGiven("tls.minimumVersion"), tls.minimumVersion == .tls12 {
            tls.profile = .intermediate
        }
        let profile = tls.profile
        if !isGiven("tls.minimumVersion") { tls.minimumVersion = .init(lowestOf: profile) }
        if profile == .fips { tls.acceleration = .off }
        configuration.tls = tls
        checkVersion(tls.minimumVersion, profile, "tls.minimumVersion")
        checkChoice(profile, tls.cipherSuites, tls.groups, tls.minimumVersion, "tls")
        if profile.isRegulated, tls.legacyCertificates {
            report(
                .conflict, "tls.legacyCertificates",
                "the profile \(profile) lets no certificate off its checks, and this lets those without extended key usage "
                    + "and names pass",
                hint: "make these certificates anew (\(NewCertificate.commands())) and remove it")
        }
    }

    private mutating func checkVersion(_ version: Configuration.TLSVersion, _ profile: TLSProfile, _ key: String) {
        guard isGiven(key), TLSVersion(version) < profile.minimumVersion else { return }
        report(
            .conflict, key, "falls short of the profile \(profile), which begins with \(profile.minimumVersion)",
            hint: profile == .modern ? "leave it out, or choose the profile intermediate" : "leave it out")
    }

    private mutating func checkChoice(
        _ profile: TLSProfile, _ suites: [String], _ groups: [String], _ minimum: Configuration.TLSVersion,
        _ key: String
    ) {
        do throws(TLSError) {
            // Of a version that the profile does not have nothing is left when that is mended.
            let minimum = max(TLSVersion(minimum), profile.minimumVersion)
            _ = try profile.parameters.choosing(suites: suites, groups: [], minimum: minimum)
        } catch {
            report(.badValue, "\(key).cipherSuites", "\(error.message) (\(profile))", hint: error.hint)
        }
        do throws(TLSError) {
            _ = try profile.parameters.choosing(suites: [], groups: groups, minimum: .tls12)
        } catch {
            report(.badValue, "\(key).groups", "\(error.message) (\(profile))", hint: error.hint)
        }
    }

    // MARK: - The edge

    private mutating func checkListener(_ index: Int) {
        let key = "edge.listeners[\(index)]"
        let agent = configuration.tls.profile
        var listener = configuration.edge.listeners[index]
        if let own = listener.profile, agent.isRegulated, own != agent {
            report(
                .conflict, "\(key).profile", "tls.profile is \(agent), which holds for every listener",
                hint: "leave it out")
        }
        // What is wrong besides is said of the profile that will hold.
        let profile = agent.isRegulated ? agent : listener.profile ?? .intermediate
        listener.profile = profile
        if !isGiven("\(key).minimumVersion") { listener.minimumVersion = .init(lowestOf: profile) }
        configuration.edge.listeners[index] = listener
        checkVersion(listener.minimumVersion, profile, "\(key).minimumVersion")
        checkChoice(profile, listener.cipherSuites, listener.groups, listener.minimumVersion, key)
        checkSessions(listener, profile, "\(key).sessions.lifetime")
        switch listener.tls {
        case .application, .auto:
            if profile.requiresClientCertificates, listener.clientCertificates != .required {
                report(
                    .missingKey, "\(key).clientCertificates.mode",
                    "the profile \(profile) lets no client in without a certificate",
                    hint: "set it to \"required\", and clientCertificates.ca to the CA of the clients")
            }
        case .disabled where profile.isRegulated && !listener.address.isLoopback:
            report(
                .conflict, "\(key).tls", "the profile \(profile) lets nothing in without TLS from other hosts",
                hint: "use 127.0.0.1, or speak TLS")
        case .behindProxy where profile.isRegulated:
            warnings.append(
                ConfigurationIssue(
                    .conflict, origins["\(key).tls"], "\(key).tls",
                    "a proxy ends TLS here: that it keeps to the profile \(profile) cannot be seen from here"))
        case .disabled, .behindProxy: break
        }
    }

    // MARK: - In the clear

    /// Who answers to somebody else's rules sends nothing to other hosts without TLS, and takes nothing from them.
    private mutating func checkCleartext() {
        let profile = configuration.tls.profile
        guard profile.isRegulated else { return }
        for (index, service) in configuration.services.enumerated()
        where service.allowNonLoopback && service.target != .unset && !service.target.isTLS
            && !service.target.address.isLoopback
        {
            report(
                .conflict, "services[\(index)].target",
                "the profile \(profile) lets nothing go to other hosts without TLS, and \(service.target) is or can be on one",
                hint: "let it speak TLS (tls://…, https://…), or run the agent on its host")
        }
        for (index, upstream) in configuration.upstreams.enumerated()
        where upstream.allowNonLoopback && upstream.listen != .unset && !upstream.listen.isLoopback {
            report(
                .conflict, "upstreams[\(index)].listen",
                "the profile \(profile) lets nothing in without TLS from other hosts",
                hint: "listen on a loopback address or a Unix socket, or let them come by an edge listener")
        }
    }

    // MARK: - Certificate Transparency

    /// Where SCTs are looked at, there must be logs to compare them with.
    private mutating func checkTransparency() {
        let settings = configuration.tls.transparency
        var demanding: [String] = settings.mode == .off ? [] : ["tls.ct.mode"]
        for (index, entry) in settings.nodes.enumerated() where entry.mode != .off {
            demanding.append("tls.ct.nodes[\(index)].mode")
        }
        for index in configuration.services.indices {
            if configuration.services[index].tls.transparency != .off { demanding.append("services[\(index)].tls.ct") }
            configuration.services[index].tls.transparencyLogs = settings.logs
            configuration.services[index].tls.transparencyMinimum = settings.minimum
        }
        guard settings.logs == nil, !refused.contains("tls.ct.logs"), let key = demanding.first else { return }
        report(
            .missingKey, key, "no list of logs is given, so no certificate could be found in one",
            hint: "set tls.ct.logs, see docs/transparency.md")
    }

    private mutating func checkSessions(_ listener: Configuration.EdgeListener, _ profile: TLSProfile, _ key: String) {
        var listener = listener
        // Whoever mends what was refused by itself shall know this bound, too.
        if refused.contains(key) { listener.sessionLifetime = .seconds(TicketKeys.maximumLifetime) }
        guard let problem = Self.sessionProblem(listener, profile) else { return }
        report(.conflict, key, problem.message, hint: problem.hint)
    }

    /// What is wrong with the lifetime of a listener's sessions under a profile.
    static func sessionProblem(
        _ listener: Configuration.EdgeListener, _ profile: TLSProfile
    ) -> (message: String, hint: String)? {
        let maximum = profile.maximumSessionLifetime
        guard listener.sessionLifetime > .seconds(maximum) else { return nil }
        if maximum == 0 { return ("the profile \(profile) lets no session be resumed", "leave it out") }
        return (
            "the profile \(profile) lets sessions be resumed for \(maximum) s at most", "set it to \(maximum)s or less"
        )
    }

    // MARK: - Pins

    private mutating func checkRevocation() {
        if configuration.trust.revocationMode == .hard, configuration.trust.revocationFiles.isEmpty,
            configuration.trust.revocationURLs.isEmpty,
            !refused.contains(where: { $0.hasPrefix("trust.revocation.files") || $0.hasPrefix("trust.revocation.urls") }
            )
        {
            report(
                .missingKey, "trust.revocation.mode", "no CRL is given, so every certificate would be refused",
                hint: "set trust.revocation.files or trust.revocation.urls, or leave the mode at \"soft\"")
        }
        for (index, service) in configuration.services.enumerated()
        where service.tls.revocationMode == .hard && service.tls.revocationFiles.isEmpty {
            let key = "services[\(index)].tls.revocation"
            guard !refused.contains(where: { $0.hasPrefix(key) }) else { continue }
            report(
                .missingKey, "\(key).mode", "no CRL is given, so every certificate would be refused",
                hint: "set \(key).files, or leave the mode at \"soft\"")
        }
        for (index, listener) in configuration.edge.listeners.enumerated()
        where listener.clientRevocationMode == .hard && listener.clientRevocationFiles.isEmpty {
            let key = "edge.listeners[\(index)].clientCertificates.revocation"
            guard !refused.contains(where: { $0.hasPrefix(key) }) else { continue }
            report(
                .missingKey, "\(key).mode", "no CRL is given, so every certificate would be refused",
                hint: "set \(key).files, or leave the mode at \"soft\"")
        }
    }

    /// Under `hard`, somebody has to be there who can be asked.
    private mutating func checkOCSP() {
        let ocsp = configuration.ocsp
        let isFree = !ocsp.allowedHosts.isEmpty || refused.contains { $0.hasPrefix("ocsp.allowedHosts") }
        if ocsp.peers == .hard, ocsp.responder == nil, !isFree, !refused.contains("ocsp.responder") {
            report(
                .missingKey, "ocsp.peers", "no responder may be asked, so every node that dials would be refused",
                hint: "set ocsp.responder or ocsp.allowedHosts, or leave it at \"soft\"")
        }
        if ocsp.intermediates == .hard, ocsp.intermediatesResponder == nil, !isFree,
            !refused.contains("ocsp.intermediates.responder")
        {
            report(
                .missingKey, "ocsp.intermediates.mode",
                "no responder may be asked, so everybody below an intermediate would be refused",
                hint: "set ocsp.intermediates.responder or ocsp.allowedHosts, or leave it at \"soft\"")
        }
        for (index, listener) in configuration.edge.listeners.enumerated()
        where listener.clientOCSP == .hard && listener.clientOCSPResponder == nil && !isFree {
            let key = "edge.listeners[\(index)].clientCertificates.ocsp"
            guard !refused.contains(where: { $0.hasPrefix(key) }) else { continue }
            report(
                .missingKey, "\(key).mode", "no responder may be asked, so every certificate would be refused",
                hint: "set \(key).responder or ocsp.allowedHosts, or choose \"soft\"")
        }
    }

    private mutating func checkPins() {
        for (index, entry) in configuration.tls.pins.enumerated() {
            let key = "tls.pins[\(index)].pins"
            guard entry.pins.isEmpty, !refused.contains(where: { $0.hasPrefix(key) }) else { continue }
            report(
                .missingKey, key, "no pin is given, so no certificate could match",
                hint: "print those of a certificate: mesh cert pin FILE")
        }
    }
}
