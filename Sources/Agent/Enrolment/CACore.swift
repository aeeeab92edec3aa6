import Bytes
import Documents
import Enrolment
import EventLoop
import HTTP
import JSON
import PKI
import TLS

/// The CA on its thread: accepts connections, answers requests, counts.
final class CACore: AcceptHandler {
    /// What the CA is made from.
    struct Settings: Sendable {
        /// Seconds for which a certificate can be renewed after its end.
        let renewExpiredFor: Int64
        /// The checks of nodes' certificates.
        let checks: StrictChecks
    }

    /// Connections at a time: each costs a handshake, a signature and a write to the disk, and lasts for milliseconds. Whoever
    /// comes when there are so many takes the place of the one that has kept its request back longest.
    private static let maximumConnections = 256
    /// Connections of one source at a time: a network behind one address has dozens of nodes that renew at once.
    private static let maximumOfSource = 32
    /// Validity of the service's own certificate in seconds; it is made anew at half of it and lives in memory only.
    private static let serviceValidity: Int64 = 86_400

    let issuer: CAIssuer
    /// The CRLs that the agent's links go by; none of their certificates renews anything either.
    var revocationLists: RevocationLists? { didSet { context = nil } }
    /// What may be negotiated.
    var terms: TLSTerms { didSet { if terms != oldValue { context = nil } } }
    private let settings: Settings
    private let log: Log
    private var parts: ChannelLoop?
    private var listener: Listener?
    private var context: (TLSContext, renewAt: Int64)?
    private var limiter = RefusalLimiter()
    /// The connections in the order in which they came.
    private var connections: [UInt64: CAConnection] = [:]
    private var next: UInt64 = 0
    private(set) var counts: [String: UInt64] = [:]

    init(issuer: CAIssuer, settings: Settings, terms: TLSTerms, log: Log) {
        self.issuer = issuer
        self.terms = terms
        self.settings = settings
        self.log = log
    }

    /// Serves a socket that listens.
    func start(_ socket: consuming FileDescriptor, loop: EventLoop) throws(SystemError) {
        parts = ChannelLoop(loop)
        listener = try Listener(socket, loop: loop, handler: self)
    }

    /// Accepts no more.
    func stop() {
        listener?.close()
        listener = nil
    }

    // MARK: - Connections

    func accepted(
        _ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop
    ) {
        guard let parts else { return }
        makeRoom(for: Self.source(peer))
        do {
            let session = try TLSSession(context: try serverContext(Clock.unixSeconds()), expecting: .anyIdentity)
            next += 1
            let connection = CAConnection(
                descriptor, session, number: next, from: Self.source(peer), core: self, parts: parts)
            connections[next] = connection
            try connection.start()
        } catch {
            count("connect", EnrolmentError.Reason.caFailed.rawValue)
            log.error(
                "ca_unusable", "the CA cannot serve a connection",
                [("from", .string(Self.source(peer))), ("detail", .string("\(error)"))])
        }
    }

    func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop) {
        log.error("accept_failed", "a connection to the CA could not be accepted", [("detail", .string("\(error)"))])
    }

    /// Where all places are taken, those of a source or all together, the oldest connection has to go: none lives on once
    /// its request is complete, so it is one that kept its request back. Who comes with a request is not kept out by it.
    private func makeRoom(for source: String) {
        let same = connections.values.filter { $0.source == source }
        if same.count >= Self.maximumOfSource {
            count("connect", "too_many_of_source")
            same.min { $0.number < $1.number }?.giveUp()
        } else if connections.count >= Self.maximumConnections {
            count("connect", "overloaded")
            connections.values.min { $0.number < $1.number }?.giveUp()
        }
    }

    /// The connection is over.
    func ended(_ connection: CAConnection) { connections[connection.number] = nil }

    /// The handshake failed, by the client's certificate for instance.
    func handshakeFailed(_ error: ChannelError, from source: String) {
        count("connect", error.reason)
        guard case .tls = error else { return }
        refused("connect", error.reason, error.description, node: nil, from: source, party: source)
    }

    /// By whom connections and refusals are counted.
    private static func source(_ peer: SocketAddress) -> String {
        switch peer {
        case .ipv4(let address, _): RefusalLimiter.source(address: address.bytes)
        case .ipv6(let address, _, _): RefusalLimiter.source(address: address.bytes)
        case .unix: "a local socket"
        }
    }

    /// What the CA's node knows of its mesh from now on.
    func use(_ mesh: CAIssuer.Mesh) {
        if mesh.rootList != issuer.mesh.rootList || mesh.roots != issuer.mesh.roots { context = nil }
        issuer.mesh = mesh
    }

    /// Issues with another CA from now on.
    func use(_ authority: CertificateAuthority) {
        issuer.authority = authority
        context = nil
    }

    /// Who vouches for nodes that renew: every root of the mesh, and those that are retired as long as their nodes may come back.
    private func roots(_ now: Int64) throws(CertificateError) -> TrustBundle {
        let late = issuer.mesh.rootList?.admittedLate(at: now) ?? []
        return try TrustBundle(roots: [issuer.authority.root]).adding(issuer.mesh.roots).adding(late)
    }

    /// What is sent behind the service's chain. Who joins knows a root by its fingerprint only, that of a token made before a
    /// rotation the one before, as long as that is trusted; who renews after a long absence knows it from his files. Certificates by which the other roots
    /// vouch for this one come first: verifiers take the first that fits.
    private func appended(_ now: Int64) -> [Certificate] {
        let own = issuer.authority.root
        guard let list = issuer.mesh.rootList else { return [own] }
        let crossSigned = list.crossSigned(for: own, at: now)
        let above = list.trusted.filter { root in crossSigned.contains { $0.isBelow(root) } }
        return crossSigned + [own] + above
    }

    private func serverContext(_ now: Int64) throws -> TLSContext {
        if let context, now < context.renewAt { return context.0 }
        let authority = issuer.authority
        let credentials = try authority.issueServiceCredentials(validity: Self.serviceValidity, now: now)
        var configuration = TLSContext.Configuration(
            role: .server, credentials: credentials, trust: try roots(now),
            peerCertificate: .optional, alpn: ["http/1.1"], trustDomains: [authority.trustDomain],
            checks: settings.checks,
            appendedCertificates: appended(now))
        configuration.terms = terms
        configuration.expiredFor = settings.renewExpiredFor
        configuration.revocation = revocationLists
        let made = try TLSContext(configuration)
        let half = now + (credentials.leaf.notAfter - now) / 2
        context = (made, min(half, issuer.mesh.rootList?.nextEnd(after: now) ?? half))
        return made
    }

    // MARK: - Requests

    /// Answers a request.
    func answer(_ head: HTTPRequestHead, _ body: [UInt8], _ session: TLSSession, from source: String) -> HTTPResponse {
        let kind: String
        switch (head.method, head.path) {
        case (.post, JoinRequest.path): kind = "join"
        case (.post, RenewRequest.path): kind = "renew"
        default: return Problem("not_found", status: 404, detail: "a CA has no \(head.path)").response()
        }
        let now = Clock.unixSeconds()
        let name = session.peerIdentity?.nodeName
        // Who has proven to be a node of this mesh is counted as that node: strangers at the same address cannot starve it. By
        // its certificate, too: neither can who has a revoked one of it.
        let serial = session.peerChain.first?.serialHex ?? ""
        let party = kind == "renew" ? name.map { "node \($0) with certificate \(serial)" } ?? source : source
        guard limiter.admits(party, now: Self.milliseconds) else {
            count(kind, EnrolmentError.Reason.rateLimited.rawValue)
            return response(
                EnrolmentError(
                    .rateLimited, "too many refusals (\(party))",
                    hint: "mend what was refused before (see the CA's log), and try again in some seconds"))
        }
        do throws(EnrolmentError) {
            let issued: IssuedIdentity
            if kind == "join" {
                let request = try JoinRequest(parsing: body)
                issued = try issuer.join(request, exporter: try exporter(session), now: now)
            } else {
                issued = try issuer.renew(
                    RenewRequest(parsing: body), by: session.peerIdentity, chain: session.peerChain, now: now)
            }
            count(kind, "issued")
            noteIssued(kind, issued, session, from: source)
            return HTTPResponse.json(String(decoding: issued.body, as: UTF8.self))
        } catch {
            count(kind, error.code)
            refused(kind, error.code, error.message, node: name, from: source, party: party)
            return response(error)
        }
    }

    private func exporter(_ session: TLSSession) throws(EnrolmentError) -> [UInt8] {
        do {
            return try session.exporter(label: EnrolmentProof.exporterLabel, count: EnrolmentProof.exporterBytes)
        } catch {
            throw EnrolmentError(.caFailed, "\(error)", hint: "look at the CA's log")
        }
    }

    private func response(_ error: EnrolmentError) -> HTTPResponse {
        Problem(error.code, status: error.status, detail: error.message, hint: error.hint).response()
    }

    // MARK: - What is told

    private func noteIssued(_ kind: String, _ issued: IssuedIdentity, _ session: TLSSession, from source: String) {
        let leaf = issued.chain[0]
        log.info(
            "certificate_issued", "the CA issued a certificate to \(issued.grant.node)",
            [
                ("kind", .string(kind)), ("node", .string(issued.grant.node)), ("serial", .string(leaf.serialHex)),
                ("ends", .string(UTCTime.text(leaf.notAfter))), ("from", .string(source)),
                ("dns", .init(issued.grant.dnsNames)), ("ip", .init(issued.grant.ipAddresses)),
            ])
    }

    private func refused(
        _ kind: String, _ reason: String, _ message: String, node: String?, from source: String, party: String
    ) {
        // Who is not heard any more is counted, and fills no log.
        let isHeard = limiter.admits(party, now: Self.milliseconds)
        limiter.refused(party, now: Self.milliseconds)
        guard isHeard else { return }
        let fields: [Log.Field] = [
            ("kind", .string(kind)), ("reason", .string(reason)), ("detail", .string(message)),
            ("node", node.map { .string($0) } ?? .null), ("from", .string(source)),
        ]
        log.warning("enrolment_refused", "the CA refused a request", fields)
        if !limiter.admits(party, now: Self.milliseconds) {
            log.warning(
                "enrolment_rate_limited", "somebody is refused so often that he is not heard for a while",
                [("who", .string(party)), ("from", .string(source))])
        }
    }

    private func count(_ kind: String, _ result: String) { counts["\(kind) \(result)", default: 0] += 1 }

    private static var milliseconds: Int64 { Int64(Clock.monotonicNanoseconds() / Clock.millisecond) }
}
