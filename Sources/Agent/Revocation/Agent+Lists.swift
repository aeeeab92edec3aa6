import Documents
import EventLoop
import JSON
import PKI
import TLS

/// CRLs in a running agent: what another one changes, and what can be said of them without an agent.
extension Agent {
    /// Ends the links of peers whose certificates an identity's CRLs and pins do not let pass any more.
    func recheckPeers(_ identity: NodeIdentity) {
        for worker in shared.workers {
            worker.submit { [contexts = identity.contexts] in $0.recheckPeers(contexts, now: Clock.unixSeconds()) }
        }
    }

    /// A CRL was fetched: it holds for new links, and for those that are there. The identity's files are not looked at for it:
    /// whoever is about to change them does not hold a revocation up, and they are taken over as a whole by their own watch.
    ///
    /// - Returns: false where it could not be put in force.
    func listsChanged() -> Bool {
        applyLists(.urls) { (identity) throws(CertificateError) in try identity.usingFetchedLists() }
    }

    /// A file of policy or CRLs has changed. Everything is read again; where something else is wrong, what was revoked counts all
    /// the same.
    func policyFilesChanged(_ files: [String]) -> FileSetWatcher.Outcome {
        // The process that takes over has read them; where it fails, they are read then.
        guard !isFrozen else { return .notNow }
        // What was wrong with them before tells nothing of what they hold now.
        if !Set(files).isDisjoint(with: configuration.trust.revocationFiles) { unapplied.changed(.files) }
        guard case .failed(let lines) = reload(by: "a changed file of policy or CRLs") else {
            return .applied(isDifferent: true)
        }
        guard !isDraining, !Set(files).isDisjoint(with: configuration.trust.revocationFiles) else {
            return .refused(lines)
        }
        if applyListFiles() {
            log.info(
                "crl_applied", "changed CRLs are in force, though not everything could be read again",
                [("files", .init(files))])
        }
        return .refused(lines)
    }

    /// CRLs of files that could not be put in force get another chance: what was wrong may have been the disk, or the time.
    func retryListFiles() {
        guard !isFrozen, !isDraining, applyListFiles() else { return }
        log.info(
            "crl_applied", "CRLs that could not be put in force before are in force now",
            [("files", .init(configuration.trust.revocationFiles))])
        // What changed with them, and was refused for their sake, may be good by now.
        _ = reload(by: "CRLs that can be put in force again")
    }

    private func applyListFiles() -> Bool {
        applyLists(.files) { (identity) throws(CertificateError) in try identity.usingListFiles() }
    }

    private func applyLists(
        _ source: UnappliedLists.Source, _ make: (NodeIdentity) throws(CertificateError) -> NodeIdentity
    ) -> Bool {
        do throws(CertificateError) {
            let next = try make(identity)
            updateOCSP(next, edge.runtime)
            _ = use(next)
            recheckPeers(next)
            unapplied.applied(source)
            return true
        } catch {
            guard unapplied.failed(source, error) else { return false }
            log.error(
                "crl_unusable", "a new CRL cannot be put in force; the ones before stay, and it is tried again",
                [
                    ("source", .string(source.rawValue)), ("reason", .string(error.code)),
                    ("detail", .string(Self.lines(of: error).joined(separator: "; "))),
                ])
            return false
        }
    }

    /// What a start would go by: a line for each CRL, and what is missing under `hard`. Nothing is fetched.
    public nonisolated static func listsInForce(
        _ configuration: Configuration
    ) -> (lines: [String], warnings: [String]) {
        guard let identity = try? NodeIdentity.load(configuration),
            let revocation = identity.contexts.server.configuration.revocation
        else { return ([], []) }
        let lines = revocation.lists.map { list in
            let end = list.nextUpdate.map { ", the next one is due \(UTCTime.text($0))" } ?? ""
            return "\(list.issuer): \(list.count) entries, of \(UTCTime.text(list.thisUpdate))\(end)"
        }
        guard revocation.mode == .hard else { return (lines, []) }
        let isFetched = !configuration.trust.revocationURLs.isEmpty
        return (
            lines,
            revocation.withoutFreshList(identity.authorities, at: Clock.unixSeconds()).map { authority in
                "trust.revocation.mode is hard, and there is no CRL in its time of \(authority.subject): what it has issued is "
                    + "refused" + (isFetched ? " until one is fetched" : "; put its newest CRL in place")
            }
        )
    }
}
