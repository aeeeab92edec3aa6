import Directory
import Enrolment
import EventLoop
import JSON
import PKI

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

    let facts: Facts
    private let core: Handover<CACore>
    private let thread: LoopThread
    private let listening = Locked<ListeningDescriptor?>(nil)

    /// Reads the CA's files and opens its database; serves nothing yet. Nil where this node is no CA.
    static func open(_ configuration: Configuration, log: Log) throws -> CAService? {
        let ca = configuration.ca
        guard let certificate = ca.certificate, let key = ca.key, let address = ca.advertise ?? ca.listen else {
            return nil
        }
        let authority = try load(certificate, key, try ca.passphrase.load())
        try StateDirectory.prepare(StateDirectory.parent(of: ca.store))
        let issuer = CAIssuer(
            authority: authority, ledger: try CALedger(path: ca.store), validity: ca.ttl.components.seconds)
        let core = CACore(
            issuer: issuer,
            settings: CACore.Settings(
                renewExpiredFor: ca.renewExpiredFor.components.seconds, checks: NodeIdentity.checksInForce),
            log: log)
        let facts = Facts(
            address: address.description, fingerprint: authority.root.fingerprintSHA256,
            trustDomain: authority.trustDomain, notAfter: authority.certificate.notAfter,
            chain: [authority.certificate] + authority.parents)
        return try CAService(facts: facts, core: core)
    }

    /// What is wrong with the CA's files, a line each.
    static func check(_ ca: Configuration.CA) -> [String] {
        guard let certificate = ca.certificate, let key = ca.key else { return [] }
        do {
            _ = try load(certificate, key, try ca.passphrase.load())
            return []
        } catch {
            return Agent.lines(of: error)
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

    private init(facts: Facts, core: CACore) throws(SystemError) {
        self.facts = facts
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
        thread.handle.post { [core] in core.value.issuer.mesh = mesh }
    }

    /// The CRLs in force from now on.
    func use(_ lists: RevocationLists?) {
        thread.handle.post { [core] in core.value.revocationLists = lists }
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
