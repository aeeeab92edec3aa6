import EventLoop
import PKI
import Policy
import TLS

/// The node's own identity and what it trusts, as loaded from files.
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
    /// TLS contexts made of them.
    let contexts: TLSContexts

    /// The CAs of the mesh that this node knows: those of its own chain, and those that it trusts.
    var authorities: [Certificate] {
        let trusted = servers.merging(contexts.server.configuration.trust ?? servers).roots
        return trusted + credentials.chain.dropFirst().filter { !trusted.contains($0) }
    }

    /// Loads everything that `configuration` names, and checks it against each other.
    static func load(_ configuration: Configuration, checks: StrictChecks = checksInForce) throws(CertificateError)
        -> Self
    {
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
        let domains = Set([domain].compactMap { $0 })
        // A node that its peers would refuse must not start: the same checks, as they would do them.
        _ = try credentials.validate(
            trust: servers.merging(clients), trustDomains: domains,
            legacyCertificates: configuration.tls.legacyCertificates, now: Clock.unixSeconds())
        guard let node = configuration.node.name ?? leaf.commonName else {
            throw CertificateError(
                .noIdentity, "the certificate names no node",
                hint: "set node.name, or issue one with mesh ca issue NODE")
        }
        // Without a URI it is the policy that maps the common name to a node.
        if let proven = spiffe.flatMap({ try? SPIFFEID(parsing: $0) })?.nodeName, proven != node {
            throw CertificateError(
                .wrongName, "the certificate is of node \(proven), and node.name says \(node)",
                hint: wrongNameHint(node, configuration))
        }
        let pins = try PinPolicy(configuration.tls.pins)
        let transparency = try TransparencyPolicy.load(configuration.tls.transparency)
        let revocation = try RevocationLists.load(
            configuration.trust.revocationFiles + ListKeeper.files(configuration), configuration.trust.revocationMode,
            areWanted: !configuration.trust.revocationURLs.isEmpty)
        do throws(TLSError) {
            let minimum = TLSVersion(configuration.tls.minimumVersion)
            let parameters = try configuration.tls.profile.parameters.choosing(
                suites: configuration.tls.cipherSuites, groups: configuration.tls.groups, minimum: minimum)
            func context(_ role: TLSContext.Role, _ trust: TrustBundle) throws(TLSError) -> TLSContext {
                var settings = TLSContext.Configuration(
                    role: role, credentials: credentials, trust: trust, minimumVersion: minimum,
                    alpn: ["http/1.1"], legacyCertificates: configuration.tls.legacyCertificates,
                    trustDomains: domains, checks: checks, acceleration: configuration.tls.acceleration == .auto)
                settings.pins = pins
                settings.transparency = transparency
                settings.revocation = revocation
                settings.parameters = parameters
                return try TLSContext(settings)
            }
            return NodeIdentity(
                credentials: credentials, node: node, trustDomain: domain,
                subject: .node(commonName: leaf.commonName, spiffe: spiffe), servers: servers,
                contexts: TLSContexts(
                    client: try context(.client, servers), server: try context(.server, clients)))
        } catch {
            if let certificate = error.certificate { throw certificate }
            throw CertificateError(.noIdentity, error.message, hint: error.hint)
        }
    }

    /// What to do about the identity of another name: one that was joined for lies in the way of the next.
    private static func wrongNameHint(_ node: String, _ configuration: Configuration) -> String {
        let joined = FilePath.join(configuration.node.stateDirectory, "identity")
        guard let file = configuration.identity.certificate, StateDirectory.parent(of: file) == joined else {
            return "issue one with mesh ca issue \(node), or correct node.name"
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

    private static func trust(_ files: [String]) throws(CertificateError) -> TrustBundle {
        var roots: [Certificate] = []
        for file in files { roots += try TrustBundle.load(file: file).roots }
        return try TrustBundle(roots: roots)
    }
}
