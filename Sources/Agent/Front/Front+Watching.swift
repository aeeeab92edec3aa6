import EventLoop
import JSON
import PKI
import TLS

/// Certificates and CAs for a front's servers that are written while it runs; the listeners' are the edge's affair.
extension Front {
    /// Looks after these files; not yet begun.
    func makeTargetWatcher() -> FileSetWatcher {
        FileSetWatcher(
            FileSetWatcher.Subject(
                name: "target_certificates", text: "certificates or CAs of targets",
                files: { [unowned self] in self.effective.front.targetFiles },
                pollInterval: { Configuration().identity.renew.pollInterval.nanoseconds },
                take: { [unowned self] in self.takeTargets() }),
            log: log)
    }

    private func takeTargets() -> FileSetWatcher.Outcome {
        guard !isDraining else { return .applied(isDifferent: false) }
        do {
            let front = effective.front
            let next = try FrontTargets.load(front, log: log)
            for target in front.targets {
                guard let leaf = next[target.name]?.certificate, leaf != targets[target.name]?.certificate,
                    let file = target.certificate
                else { continue }
                try leaf.checkUse(asClientAt: Clock.unixSeconds(), file: file)
            }
            use(next)
            log.info(
                "target_certificates_applied",
                "changed certificates or CAs of targets are in force for new connections",
                [("targets", .init(next.keys.sorted()))])
            return .applied(isDifferent: true)
        } catch {
            return .refused(Agent.lines(of: error))
        }
    }
}

extension DirectTarget {
    /// The certificate that is shown to it.
    fileprivate var certificate: Certificate? { security?.context.configuration.credentials?.leaf }
}

extension FrontConfiguration {
    /// The files that TLS to the servers is made of.
    var targetFiles: [String] {
        targets.flatMap { ($0.insecure ? [] : $0.ca) + [$0.certificate, $0.key, $0.passphrase.file].compactMap { $0 } }
    }
}
