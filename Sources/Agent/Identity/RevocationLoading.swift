import JSON
import Link
import PKI
import TLS

extension RevocationLists {
    /// Reads the CRLs that a configuration names; nil where it names none.
    ///
    /// - Parameter areWanted: there are to be some, though none may have been fetched yet.
    static func load(
        _ files: [String], _ mode: Configuration.RevocationMode, areWanted: Bool = false
    ) throws(CertificateError) -> RevocationLists? {
        guard !files.isEmpty || areWanted else { return nil }
        var lists: [CertificateRevocationList] = []
        for file in files { lists += try CertificateRevocationList.load(file: file) }
        return RevocationLists(lists, mode: mode == .soft ? .soft : .hard)
    }
}

extension WorkerCore {
    /// Ends the links of peers whose certificates are on a CRL by now.
    func endRevoked(_ contexts: TLSContexts, now: Int64) {
        guard contexts.client.configuration.revocation != nil else { return }
        for link in Array(links.values) + Array(retiring.values) {
            let configuration = (link.isDialler ? contexts.client : contexts.server).configuration
            guard let trust = configuration.trust, let revocation = configuration.revocation else { continue }
            let verifier = ChainVerifier(trust: trust, checks: configuration.checks, revocation: revocation)
            do throws(CertificateError) {
                _ = try verifier.buildChain(
                    link.tls.peerChain, role: link.isDialler ? .serverOfLink : .clientOfLink, now: now)
            } catch {
                guard error.reason == .revoked || error.reason == .revocationUnknown else { continue }
                shared.log.warning(
                    "identity_revoked", "a link ends because the peer's certificate is revoked",
                    [
                        ("node", .string(link.node)), ("reason", .string(error.code)),
                        ("detail", .string(error.message)), ("hint", .string(error.hint)),
                    ])
                link.close(.identityRevoked, error.code)
            }
        }
    }
}
