import EventLoop
import JSON
import PKI
import TLS

/// Files of the identity and of targets that somebody else writes while the agent runs.
extension Agent {
    private static func identityFiles(_ configuration: Configuration) -> [String] {
        let identity = configuration.identity
        let own = [identity.certificate, identity.key, identity.pkcs12, identity.passphrase.file].compactMap { $0 }
        return own + configuration.trust.servers + configuration.trust.clients
    }

    /// Looks after the node's own certificate and key and the CAs that it trusts.
    func makeIdentityWatcher() -> FileSetWatcher {
        FileSetWatcher(
            FileSetWatcher.Subject(
                name: "identity", text: "files of the identity",
                files: { [unowned self] in Self.identityFiles(self.configuration) },
                pollInterval: { [unowned self] in self.configuration.identity.renew.pollInterval.nanoseconds },
                take: { [unowned self] in self.takeIdentity() }),
            log: log)
    }

    private func takeIdentity() -> FileSetWatcher.Outcome {
        guard !isDraining else { return .applied(isDifferent: false) }
        guard !isFrozen else { return .notNow }
        switch reloadIdentity(by: "changed files") {
        case .applied(let changes, _, _):
            if !changes.isEmpty { renewal.update() }
            return .applied(isDifferent: !changes.isEmpty)
        case .failed(let lines): return .refused(lines)
        }
    }

    /// Looks after what TLS to the services' targets is made of.
    func makeTargetWatcher() -> FileSetWatcher {
        FileSetWatcher(
            FileSetWatcher.Subject(
                name: "target_certificates", text: "certificates or CAs of services' targets",
                files: { [unowned self] in self.configuration.services.flatMap(\.tls.files) },
                pollInterval: { [unowned self] in self.configuration.identity.renew.pollInterval.nanoseconds },
                take: { [unowned self] in self.takeTargets() }),
            log: log)
    }

    private func takeTargets() -> FileSetWatcher.Outcome {
        guard !isDraining else { return .applied(isDifferent: false) }
        guard !isFrozen else { return .notNow }
        do throws(CertificateError) {
            let targets = try LocalRegistry.targets(of: configuration.services)
            let changed = targets.filter { registry.entries[$0.0.name]?.target != $0.1 }
            let now = Clock.unixSeconds()
            for (service, target) in changed {
                try target.tls?.checkCertificate(of: service, now: now)
                try target.tls?.checkLists(of: service, now: now)
            }
            guard !changed.isEmpty else { return .applied(isDifferent: false) }
            registry.configure(targets)
            log.info(
                "target_certificates_applied",
                "changed certificates, CAs or CRLs of targets are in force",
                [("services", .init(changed.map(\.0.name)))])
            return .applied(isDifferent: true)
        } catch {
            return .refused(Self.lines(of: error))
        }
    }
}

extension Configuration.TargetTLS {
    /// The files that it names.
    var files: [String] { ca + revocationFiles + [certificate, key, passphrase.file].compactMap { $0 } }
}

extension TargetTLS {
    /// Whether the CRLs may take the place of those in force.
    ///
    /// Errors: those of `RevocationLists.readChanged`.
    func checkLists(of service: Configuration.Service, now: Int64) throws(CertificateError) {
        _ = try RevocationLists.readChanged(
            service.tls.revocationFiles, issuers: context.configuration.trust?.roots ?? [], now: now)
    }

    /// Whether a target can be expected to take our certificate; nothing is said where there is none.
    ///
    /// Errors: those of `Certificate.checkUse`, with the service.
    fileprivate func checkCertificate(of service: Configuration.Service, now: Int64) throws(CertificateError) {
        guard let leaf = context.configuration.credentials?.leaf, let file = service.tls.certificate else { return }
        do throws(CertificateError) {
            try leaf.checkUse(asClientAt: now, file: file)
        } catch {
            var error = error
            error.message = "service \(service.name): \(error.message)"
            throw error
        }
    }
}
