import Directory
import Enrolment
import EventLoop
import JSON
import PKI
import TLS

/// The mesh's CA in this agent: a thread of its own, on which handshakes, signatures and the disk hold up nobody else.
final class CAService: Sendable {
    /// What stands in every join token.
    struct Facts: Sendable {
        /// Where nodes reach the CA.
        let address: String
        /// SHA-256 of the root's certificate, lower-case hex.
        let fingerprint: String
        /// The trust domain.
        let trustDomain: String
        /// When the CA's own certificate ends, unix seconds.
        let notAfter: Int64
        /// The CA's own certificate, then those above it.
        let chain: [Certificate]
        /// The names of the CA that issues and of its root.
        let subjects: (issuer: String, root: String)
        /// SHA-256 of the root's key, base64.
        let rootKey: String

        init(_ authority: CertificateAuthority, address: String) {
            self.address = address
            fingerprint = authority.root.fingerprintSHA256
            trustDomain = authority.trustDomain
            notAfter = authority.certificate.notAfter
            subjects = (authority.certificate.subject, authority.root.subject)
            rootKey = authority.root.spkiSHA256
            chain = [authority.certificate] + authority.parents
        }
    }

    /// What the CA shows of itself.
    struct Report: Sendable {
        /// Requests by kind and result, as "join issued".
        let counts: [String: UInt64]
        /// Nodes that it has admitted.
        let nodes: Int
        /// Tokens that can still be used.
        let openTokens: Int
    }

    private let currentFacts: Locked<Facts>
    private let core: Handover<CACore>
    private let thread: LoopThread
    private let listening = Locked<ListeningDescriptor?>(nil)

    /// Reads the CA's files and opens its database; serves nothing yet. Nil where this node is no CA.
    static func open(_ configuration: Configuration, log: Log) throws -> CAService? {
        let ca = configuration.ca
        guard let certificate = ca.certificate, let key = ca.key, let address = ca.advertise ?? ca.listen else {
            return nil
        }
        try CredentialFiles(certificate: certificate, key: key).finishReplacing()
        let authority = try load(certificate, key, try ca.passphrase.load())
        try StateDirectory.prepare(StateDirectory.parent(of: ca.store))
        let issuer = CAIssuer(
            authority: authority, ledger: try CALedger(path: ca.store), validity: ca.ttl.components.seconds)
        let core = CACore(
            issuer: issuer,
            settings: CACore.Settings(
                renewExpiredFor: ca.renewExpiredFor.components.seconds, checks: NodeIdentity.checksInForce),
            terms: try configuration.tls.enrolmentTerms, log: log)
        return try CAService(facts: Facts(authority, address: address.description), core: core)
    }

    /// What is wrong with the CA's files beside missing ones, a line each.
    static func check(_ ca: Configuration.CA, beside missing: MissingFiles) -> [String] {
        guard let certificate = ca.certificate, let key = ca.key else { return [] }
        do {
            _ = try load(certificate, key, try ca.passphrase.load())
            return []
        } catch {
            return missing.lines(of: error)
        }
    }

    private static func load(
        _ certificate: String, _ key: String, _ passphrase: Passphrase?
    ) throws(CertificateError) -> CertificateAuthority {
        let authority = try CertificateAuthority.load(
            certificateFile: certificate, keyFile: key, passphrase: passphrase)
        guard authority.root.isSelfSigned else {
            throw CertificateError(
                .missingIntermediate, "the chain of the CA ends with \(authority.root.subject), which is no root",
                hint: "append the root's certificate: cat intermediate.crt ca.crt > chain.crt", file: certificate)
        }
        return authority
    }

    /// What stands in join tokens now.
    var facts: Facts { currentFacts.withLock { $0 } }

    /// Reads the CA's files again, and issues with what they hold.
    ///
    /// - Parameter roots: those that the mesh trusts: with another one the CA would make certificates that every node refuses.
    ///
    /// Errors: those of the files; `unknown_ca`, `untrusted_domain`.
    func reload(_ ca: Configuration.CA, trusting roots: [Certificate]) async throws -> Facts {
        guard let files = ca.files else { return facts }
        try files.finishReplacing()
        let authority = try judge(files, try ca.passphrase.load(), roots)
        let next = Facts(authority, address: facts.address)
        try await ask { core in core.use(authority) }
        currentFacts.withLock { $0 = next }
        return next
    }

    /// Reads the files that wait to take the place of the CA's (`CredentialFiles.candidate`), and judges them as `reload` would;
    /// nothing changes.
    ///
    /// Errors: those of ``reload(_:trusting:)``.
    func check(_ ca: Configuration.CA, trusting roots: [Certificate]) throws(CertificateError) -> Facts {
        guard let files = ca.files else { return facts }
        return Facts(try judge(files.candidate, try ca.passphrase.load(), roots), address: facts.address)
    }

    private func judge(
        _ files: CredentialFiles, _ passphrase: Passphrase?, _ roots: [Certificate]
    ) throws(CertificateError) -> CertificateAuthority {
        let authority = try Self.load(files.certificate, files.key, passphrase)
        guard authority.trustDomain == facts.trustDomain else {
            throw CertificateError(
                .untrustedDomain,
                "the CA in \(files.certificate) is for \(authority.trustDomain), not for \(facts.trustDomain)",
                hint: "make the next root of this mesh with mesh ca rotate prepare")
        }
        guard roots.contains(authority.root) else {
            throw CertificateError(
                .unknownCA,
                "the mesh does not trust the root of the CA in \(files.certificate), \(authority.root.subject)",
                hint: "announce it first: mesh ca rotate prepare")
        }
        return authority
    }

    private init(facts: Facts, core: CACore) throws(SystemError) {
        currentFacts = Locked(facts)
        self.core = Handover(core)
        thread = try LoopThread(name: "ca")
    }

    /// Serves a socket that listens.
    func start(_ socket: consuming FileDescriptor, log: Log) {
        let raw = socket.release()
        listening.withLock { $0 = ListeningDescriptor(raw) }
        thread.handle.withLoop { [core] loop in
            do throws(SystemError) {
                try core.value.start(FileDescriptor(owning: raw), loop: loop)
            } catch {
                log.error("listen_failed", "the CA cannot accept", [("detail", .string("\(error)"))])
            }
        }
    }

    /// What the CA's node knows of its mesh from now on.
    func use(_ mesh: CAIssuer.Mesh) {
        thread.handle.post { [core] in core.value.use(mesh) }
    }

    /// The CRLs in force from now on.
    func use(_ lists: RevocationLists?) {
        thread.handle.post { [core] in core.value.revocationLists = lists }
    }

    /// What may be negotiated from now on.
    func use(_ terms: TLSTerms) {
        thread.handle.post { [core] in core.value.terms = terms }
    }

    /// Runs `job` on the CA's thread and gives its result.
    func ask<Result: Sendable>(_ job: @escaping @Sendable (CACore) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            thread.handle.post { [core] in
                continuation.resume(with: Swift.Result { try job(core.value) })
            }
        }
    }

    /// What it shows of itself; nil where its database fails.
    func report(now: Int64) async -> Report? {
        try? await ask { core in
            Report(
                counts: core.counts, nodes: try core.issuer.ledger.nodes().count,
                openTokens: try core.issuer.ledger.tokens().count { $0.used == 0 && $0.expires > now })
        }
    }

    /// A copy of the socket, for another process.
    func duplicateListener() throws(SystemError) -> Int32? { try listening.withLock { $0 }?.duplicate() }

    /// Accepts no more.
    func stopListening() async {
        listening.withLock { $0 }?.forget()
        try? await ask { $0.stop() }
    }

    /// Gives the database up for another process; requests fail meanwhile, and may be repeated.
    func suspend() async { try? await ask { $0.issuer.ledger.suspend() } }

    /// Opens the database again.
    func resume(_ log: Log) {
        thread.handle.post { [core] in
            do throws(StoreError) {
                try core.value.issuer.ledger.resume()
            } catch {
                log.error("ca_failed", "the CA cannot open its database again", [("detail", .string("\(error)"))])
            }
        }
    }

    /// Ends the thread.
    func stop() {
        listening.withLock { $0 }?.forget()
        thread.handle.post { [core] in core.value.stop() }
        thread.stopAndJoin()
    }
}

extension Configuration.CA {
    /// The files of the CA's certificate and key; nil where the node is no CA.
    var files: CredentialFiles? {
        guard let certificate, let key else { return nil }
        return CredentialFiles(certificate: certificate, key: key)
    }
}
