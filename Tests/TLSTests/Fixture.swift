import Foundation
import PKI
import TLS

/// Ordinary credentials and contexts, made once.
enum Fixture {
    /// The CA that everybody trusts.
    static var authority: Authority { get throws { try Authority.mesh.get() } }

    private static let clientLeaf = Result { try authority.leaf("Alpha") }
    private static let serverLeaf = Result { try authority.leaf("Beta") }

    /// The files of the ordinary certificate of an end: node Alpha dials, node Beta listens.
    static func leaf(_ role: TLSContext.Role) throws -> Leaf {
        try (role == .client ? clientLeaf : serverLeaf).get()
    }

    static func trust() throws -> TrustBundle { try authority.trust() }

    static func credentials() throws -> Credentials { try leaf(.server).credentials() }

    /// A configuration as links have it.
    static func configuration(
        _ role: TLSContext.Role, leaf: Leaf? = nil, version: TLSVersion = .tls13
    ) throws -> TLSContext.Configuration {
        let leaf = try leaf ?? self.leaf(role)
        return TLSContext.Configuration(
            role: role, credentials: try leaf.credentials(), trust: try trust(), minimumVersion: version,
            maximumVersion: version, trustDomains: ["mesh.test"],
            appendedCertificates: try certificates(in: leaf.appendedFiles))
    }

    static func context(
        _ role: TLSContext.Role, leaf: Leaf? = nil, version: TLSVersion = .tls13, alpn: [String] = []
    ) throws -> TLSContext {
        var configuration = try configuration(role, leaf: leaf, version: version)
        configuration.alpn = alpn
        return try TLSContext(configuration)
    }

    static func unconnected(
        _ client: TLSContext, _ server: TLSContext, expecting: ExpectedPeer = .node("Beta"), now: Int64? = nil
    ) throws -> Pair {
        Pair(
            try TLSSession(context: client, expecting: expecting, now: now),
            try TLSSession(context: server, expecting: .anyIdentity, now: now))
    }

    static func connected(_ client: TLSContext, _ server: TLSContext) throws -> Pair {
        let pair = try unconnected(client, server)
        let (client, server) = pair.connect()
        if let error = client.error ?? server.error { throw error }
        return pair
    }

    static func connected(version: TLSVersion = .tls13) throws -> Pair {
        try connected(try context(.client, version: version), try context(.server, version: version))
    }
}
