import Foundation
import PKI
import TLS
import TestPrograms
import Testing

/// Stapled OCSP responses in handshakes.
@Suite struct StapleTests {
    private let register: OCSPRegister

    init() throws {
        register = try OCSPRegister(in: Authority.directory, name: "Stapling CA")
    }

    private func server(_ name: String, mustStaple: Bool = false) throws -> (OCSPRegister.Issued, Credentials) {
        let issued = try register.issue(
            name, extensions: ["subjectAltName=DNS:server.test"] + (mustStaple ? ["tlsfeature=status_request"] : []))
        try register.set(issued.certificate, .good)
        let key = try PrivateKey(pem: [UInt8](Data(contentsOf: URL(fileURLWithPath: issued.key))))
        return (issued, try Credentials(chain: try certificates(in: [issued.certificate]), key: key))
    }

    private func response(_ credentials: Credentials) throws -> [UInt8] {
        let issuer = try certificates(in: [register.authority.certificate])[0]
        return try register.respond(to: try OCSPSubject(credentials.leaf, issuer: issuer).request())
    }

    /// Both ends of a handshake with a staple.
    private func handshake(
        _ credentials: Credentials, staple: [UInt8]?, version: TLSVersion = .tls13
    ) throws -> (pair: Pair, client: Outcome, server: Outcome) {
        let trust = try TrustBundle(roots: try certificates(in: [register.authority.certificate]))
        var dialling = TLSContext.Configuration.foreignServer(trust: trust)
        dialling.maximumVersion = version
        let context = try TLSContext(.edge(credentials))
        context.staple.bytes = staple
        let pair = Pair(
            try TLSSession(context: try TLSContext(dialling), expecting: .foreignServer(host: "server.test")),
            try TLSSession(contexts: try TLSServerContexts(context)))
        let (client, server) = pair.connect()
        return (pair, client, server)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func goodStaples(_ version: TLSVersion) throws {
        for mustStaple in [false, true] {
            let (_, credentials) = try server("good", mustStaple: mustStaple)
            let staple = try response(credentials)
            let (pair, client, server) = try handshake(credentials, staple: staple, version: version)
            #expect(client.error == nil && server.error == nil)
            #expect(pair.client.protocolVersion == version)
            #expect(pair.client.staple?.answer?.der == staple)
            #expect(pair.server.staple == nil)
        }
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func noStaple(_ version: TLSVersion) throws {
        let (_, plain) = try server("plain")
        let (pair, client, _) = try handshake(plain, staple: nil, version: version)
        #expect(client.error == nil && pair.client.staple == .absent)
        let (_, demanding) = try server("demanding", mustStaple: true)
        let (refused, error, told) = try handshake(demanding, staple: nil, version: version)
        #expect(error.error?.certificate?.reason == .stapleMissing)
        #expect(told.error?.alert == .badCertificateStatusResponse)
        #expect(refused.client.peerIdentity == nil && refused.client.peerChain.isEmpty)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func badStaples(_ version: TLSVersion) throws {
        let (_, plain) = try server("plain")
        let (pair, client, _) = try handshake(plain, staple: [0x30, 0x00], version: version)
        #expect(client.error == nil && pair.client.staple?.code == "malformed")
        let (_, demanding) = try server("demanding", mustStaple: true)
        #expect(
            try handshake(demanding, staple: [0x30, 0x00], version: version).client.error?.certificate?.reason
                == .badStaple)
        #expect(
            try handshake(demanding, staple: try response(plain), version: version).client.error?.certificate?.reason
                == .badStaple)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func revokedServers(_ version: TLSVersion) throws {
        let (issued, credentials) = try server("gone")
        try register.set(issued.certificate, .revoked("keyCompromise"))
        let (_, client, server) = try handshake(credentials, staple: try response(credentials), version: version)
        #expect(client.error?.certificate?.reason == .revoked)
        #expect(client.error?.certificate?.message.contains("keyCompromise") == true)
        #expect(server.error?.alert == .badCertificateStatusResponse)
    }

    /// The staple belongs to the certificate that the client's name chooses.
    @Test func staplesOfSeveralCertificates() throws {
        let (_, first) = try server("first")
        let (_, second) = try server("second")
        let contexts = try [first, second].map { try TLSContext(.edge($0)) }
        contexts[0].staple.bytes = try response(first)
        contexts[1].staple.bytes = try response(second)
        let listener = try TLSServerContexts([
            .init(contexts[0], names: ["first.test"]), .init(contexts[1], names: ["server.test"]),
        ])
        let trust = try TrustBundle(roots: try certificates(in: [register.authority.certificate]))
        let pair = Pair(
            try TLSSession(
                context: try TLSContext(.foreignServer(trust: trust)), serverName: "server.test",
                expecting: .foreignServer(host: "server.test")), try TLSSession(contexts: listener))
        #expect(pair.connect().client.error == nil)
        #expect(pair.client.staple?.answer?.der == contexts[1].staple.bytes)
    }

    /// A client that demands no certificate does not ask; a server's session of a mesh link does not either.
    @Test func whoDoesNotAsk() throws {
        let (_, demanding) = try server("demanding", mustStaple: true)
        let context = try TLSContext(.edge(demanding))
        let trust = try TrustBundle(roots: try certificates(in: [register.authority.certificate]))
        var probing = TLSContext.Configuration.foreignServer(trust: trust)
        probing.peerCertificate = .none
        let pair = Pair(
            try TLSSession(context: try TLSContext(probing), expecting: .foreignServer(host: "server.test")),
            try TLSSession(contexts: try TLSServerContexts(context)))
        #expect(pair.connect().client.error == nil && pair.client.staple == nil)
    }
}
