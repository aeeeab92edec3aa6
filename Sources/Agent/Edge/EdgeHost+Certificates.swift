import EventLoop
import JSON

/// Certificates, client CAs and CRLs of the edge that are written while it runs: by certbot, by the node's own renewal.
extension EdgeHost {
    /// The files that listeners' certificates and trust are made of.
    nonisolated static func certificateFiles(_ configuration: Configuration.Edge) -> [String] {
        configuration.listeners.flatMap { listener in
            listener.certificates.flatMap { [$0.certificate, $0.key, $0.passphrase.file].compactMap { $0 } }
                + listener.clientCA
                + listener.clientRevocationFiles
        } + configuration.authentication.issuers.flatMap(\.jwksCA)
    }

    /// Looks after these files; not yet begun.
    func makeCertificateWatcher() -> FileSetWatcher {
        FileSetWatcher(
            FileSetWatcher.Subject(
                name: "edge_certificates", text: "certificates, CAs or CRLs of the edge",
                files: { [unowned self] in Self.certificateFiles(self.runtime.configuration) },
                pollInterval: { [unowned self] in self.pollInterval() },
                take: { [unowned self] in self.takeCertificates() }),
            log: log)
    }

    /// Reads everything anew and switches to it as a whole.
    private func takeCertificates() -> FileSetWatcher.Outcome {
        guard !isFrozen() else { return .notNow }
        let prepared: Prepared
        do {
            prepared = try prepareAgain()
        } catch {
            return .refused(Agent.lines(of: error))
        }
        let problems = EdgeCertificates.problemsOfNew(prepared.runtime, since: runtime, now: Clock.unixSeconds())
        guard problems.isEmpty else { return .refused(problems.flatMap { Agent.lines(of: $0) }) }
        willApply(prepared.runtime)
        reload(prepared)
        log.info(
            "edge_certificates_applied", "changed certificates, CAs or CRLs of the edge are in force",
            [("fingerprints", .init(EdgeCertificates.fingerprints(of: prepared.runtime).sorted()))])
        return .applied(isDifferent: true)
    }
}
