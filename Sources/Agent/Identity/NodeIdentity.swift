import Documents
import EventLoop
import PKI
import Policy
import TLS

/// The node's own identity and what it trusts: as loaded from files, and as the mesh's list of roots extends them.
struct NodeIdentity: Sendable {
    /// Certificates and key.
    let credentials: Credentials
    /// The node's name.
    let node: String
    /// The trust domain of its own certificate or configuration.
    let trustDomain: String?
    /// What the policy takes the node for.
    let subject: Subject
    /// Who vouches for nodes that this node dials.
    let servers: TrustBundle
    /// Who vouches for nodes that dial this one.
    let clients: TrustBundle
    /// The list of roots that it goes by; nil where the mesh has none.
    let rootList: RootList?
    /// TLS contexts made of them. They also trust roots that are retired as long as nodes below those may come back
    /// (`RootList.admittedLate`): what such a node may do is decided after the handshake.
    let contexts: TLSContexts
    /// What the files hold.
    private let files: IdentityParts

    /// The CAs of the mesh that this node knows: those of its own chain, and those that it trusts.
    var authorities: [Certificate] {
        let trusted = servers.merging(contexts.server.configuration.trust ?? servers).roots
        return trusted + credentials.chain.dropFirst().filter { !trusted.contains($0) }
    }

    /// Loads everything that `configuration` names, and checks it against each other.
    ///
    /// - Parameters:
    ///   - roots: the list of roots to go by.
    ///   - lists: the CRLs to check peers against.
    static func load(
        _ configuration: Configuration, roots: RootSource = .stored, lists: ListSource = .stored,
        checks: StrictChecks = checksInForce
    ) throws(CertificateError) -> Self {
        let identity = configuration.identity
        let passphrase = try identity.passphrase.load()
        let credentials: Credentials
        if let file = identity.pkcs12 {
            credentials = try Credentials.load(pkcs12File: file, passphrase: passphrase)
        } else {
            guard let certificate = identity.certificate, let key = identity.key else {
                throw CertificateError(
                    .noIdentity, "no certificate and key are configured",
                    hint: "set identity.certificate and identity.key, or identity.pkcs12")
            }
            credentials = try Credentials.load(certificateFile: certificate, keyFile: key, passphrase: passphrase)
        }
        let servers = try trust(configuration.trust.servers)
        let clients = try trust(configuration.trust.clients)
        let leaf = credentials.leaf
        let spiffe = leaf.spiffeURIs.first
        let domain = configuration.trust.domain ?? spiffe.flatMap { try? SPIFFEID(parsing: $0) }?.trustDomain
        guard let node = configuration.node.name ?? leaf.commonName else {
            throw CertificateError(
                .noIdentity, "the certificate names no node",
                hint: "set node.name, or make one that does: \(NewCertificate.commands())")
        }
        // Without a URI it is the policy that maps the common name to a node.
        if let proven = spiffe.flatMap({ try? SPIFFEID(parsing: $0) })?.nodeName, proven != node {
            throw CertificateError(
                .wrongName, "the certificate is of node \(proven), and node.name says \(node)",
                hint: wrongNameHint(node, configuration))
        }
        var parts = IdentityParts(
            configuration: configuration, credentials: credentials, node: node, trustDomain: domain, servers: servers,
            clients: clients, pins: try PinPolicy(configuration.tls.pins),
            transparency: try TransparencyPolicy.load(configuration.tls.transparency), checks: checks)
        let list =
            switch roots {
            case .stored: parts.storedRoots
            case .inForce(let list): list
            }
        switch lists {
        case .stored:
            parts.listFiles = try RevocationLists.read(configuration.trust.revocationFiles)
            parts.fetchedLists = ListKeeper.stored(configuration)
        case .changed:
            parts.listFiles = try parts.changedLists(list)
            parts.fetchedLists = try ListKeeper.readable(configuration)
        case .inForce(let identity):
            parts.listFiles = identity.files.listFiles
            parts.fetchedLists = identity.files.fetchedLists
        }
        return try make(parts, list)
    }

    /// The same files under another list of roots.
    ///
    /// Errors: those of validation and TLS: peers would refuse this node under the list.
    func using(_ list: RootList?) throws(CertificateError) -> Self { try Self.make(files, list) }

    /// The same identity with the CRLs that have been fetched by now.
    ///
    /// Errors: as ``using(_:)``; `unreadable_file` for one that cannot be read at the moment.
    func usingFetchedLists() throws(CertificateError) -> Self {
        var parts = files
        parts.fetchedLists = try ListKeeper.readable(parts.configuration)
        return try Self.make(parts, rootList)
    }

    /// The same identity with the CRLs that its files hold by now.
    ///
    /// Errors: as ``using(_:)``, and those of `RevocationLists.readChanged`.
    func usingListFiles() throws(CertificateError) -> Self {
        var parts = files
        parts.listFiles = try parts.changedLists(rootList)
        return try Self.make(parts, rootList)
    }

    private static func make(_ parts: IdentityParts, _ list: RootList?) throws(CertificateError) -> Self {
        let (configuration, credentials, checks) = (parts.configuration, parts.credentials, parts.checks)
        let leaf = credentials.leaf
        let domains = Set([parts.trustDomain].compactMap { $0 })
        let now = Clock.unixSeconds()
        let late = list?.admittedLate(at: now) ?? []
        let (servers, clients) = (try parts.servers.applying(list), try parts.clients.applying(list))
        do throws(CertificateError) {
            // A node that its peers would refuse must not start: the same checks, as they would do them.
            _ = try credentials.validate(
                trust: TrustBundle(roots: servers.merging(clients).roots + late), trustDomains: domains,
                legacyCertificates: configuration.tls.legacyCertificates, now: now)
        } catch {
            throw (list?.explain(error, of: credentials) ?? error).inFile(
                configuration.identity.certificate ?? configuration.identity.pkcs12)
        }
        let (chain, appended) = try RootList.presented(credentials, list, at: now)
        let (pins, revocation) = (parts.pins, parts.revocation)
        do throws(TLSError) {
            let minimum = TLSVersion(configuration.tls.minimumVersion)
            let parameters = try configuration.tls.profile.parameters.choosing(
                suites: configuration.tls.cipherSuites, groups: configuration.tls.groups, minimum: minimum)
            func context(_ role: TLSContext.Role, _ trust: TrustBundle) throws(TLSError) -> TLSContext {
                var settings = TLSContext.Configuration(
                    role: role, credentials: chain, trust: trust, minimumVersion: minimum,
                    alpn: ["http/1.1"], legacyCertificates: configuration.tls.legacyCertificates,
                    trustDomains: domains, checks: checks, appendedCertificates: appended,
                    acceleration: configuration.tls.acceleration == .auto)
                settings.pins = pins
                settings.transparency = parts.transparency
                settings.revocation = revocation
                settings.parameters = parameters
                return try TLSContext(settings)
            }
            return NodeIdentity(
                credentials: credentials, node: parts.node, trustDomain: parts.trustDomain,
                subject: .node(commonName: leaf.commonName, spiffe: leaf.spiffeURIs.first), servers: servers,
                clients: clients, rootList: list,
                contexts: TLSContexts(
                    client: try context(.client, servers.adding(late)),
                    server: try context(.server, clients.adding(late))),
                files: parts)
        } catch {
            if let certificate = error.certificate { throw certificate }
            throw CertificateError(.noIdentity, error.message, hint: error.hint)
        }
    }

    /// What to do about the identity of another name: one that was joined for lies in the way of the next.
    private static func wrongNameHint(_ node: String, _ configuration: Configuration) -> String {
        let joined = FilePath.join(configuration.node.stateDirectory, "identity")
        guard let file = configuration.identity.certificate, StateDirectory.parent(of: file) == joined else {
            return "make one for it (\(NewCertificate.commands(node))), or correct node.name"
        }
        return "correct node.name, or remove the directory \(joined) and join as \(node) with a token for it: "
            + "mesh ca token create --node \(node)"
    }

    /// The checks of peers' certificates: all of them, but in builds that plant faults.
    static var checksInForce: StrictChecks {
        #if MESH_FAULTS
            PlantedFault.checks
        #else
            .all
        #endif
    }

    /// The roots of this node's mesh that the files name: those of its trust domain, and the one that issued the node's own
    /// certificates. They may name operators; roots of others that are trusted for their nodes may not.
    var fileRoots: [Certificate] { files.roots }

    /// The mesh's root below which the node's own certificate is; nil for a certificate from elsewhere.
    ///
    /// - Parameter list: the list of roots in force, whether this identity could go by it or not.
    func ownRoot(under list: RootList?) -> Certificate? {
        let known = files.roots + (list?.entries.map(\.certificate) ?? [])
        let last = credentials.chain[credentials.chain.count - 1]
        return known.first { $0 == last } ?? known.first { last.isBelow($0) }
    }

    private static func trust(_ files: [String]) throws(CertificateError) -> TrustBundle {
        var roots: [Certificate] = []
        for file in files { roots += try TrustBundle.load(file: file).roots }
        return try TrustBundle(roots: roots)
    }
}
