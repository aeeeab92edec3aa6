import PKI
import TLS
import Testing

/// A certificate that is not as it must be, and what each end is to know about it.
struct BadLeaf: Sendable, CustomTestStringConvertible {
    let name: String
    let reason: CertificateReason
    let alert: TLSAlert
    /// Days from now at which the handshake takes place.
    var day: Int64 = 0
    /// Only bad when shown by this end.
    var only: TLSContext.Role?
    let make: @Sendable (Authority) throws -> Leaf

    var testDescription: String { name }

    static let table: [BadLeaf] = [
        BadLeaf(name: "expired", reason: .expired, alert: .certificateExpired, day: 91) { try $0.leaf("Node") },
        BadLeaf(name: "not valid yet", reason: .notYetValid, alert: .certificateExpired, day: -2) {
            try $0.leaf("Node")
        },
        BadLeaf(name: "unknown CA", reason: .unknownCA, alert: .unknownCA) { _ in
            try Authority(name: "Somebody Else").leaf("Node")
        },
        BadLeaf(name: "unknown CA that sends its root", reason: .unknownCA, alert: .unknownCA) { _ in
            let other = try Authority(name: "Somebody Else")
            return try other.leaf("Node").sending(also: [other.certificateFile])
        },
        BadLeaf(name: "foreign CA with our CA's name", reason: .unknownCA, alert: .unknownCA) {
            try Authority(name: $0.name).leaf("Node")
        },
        BadLeaf(name: "foreign CA with our CA's name that sends its root", reason: .unknownCA, alert: .unknownCA) {
            let foreign = try Authority(name: $0.name)
            return try foreign.leaf("Node").sending(also: [foreign.certificateFile])
        },
        BadLeaf(name: "foreign CA with our CA's name, no key identifiers", reason: .badSignature, alert: .decryptError)
        {
            try Authority(name: $0.name).leaf("Node", authorityKey: false)
        },
        BadLeaf(name: "self-signed", reason: .selfSigned, alert: .unknownCA) { _ in
            let own = try Authority(
                name: "Node", constraints: "critical,CA:FALSE", usage: "digitalSignature",
                extra: ["extendedKeyUsage=serverAuth,clientAuth", "subjectAltName=URI:spiffe://mesh.test/node/Node"])
            return Leaf(certificateFiles: [own.certificateFile], keyFile: own.keyFile)
        },
        BadLeaf(name: "for servers only", reason: .wrongUsage, alert: .unsupportedCertificate, only: .client) {
            try $0.leaf("Node", usage: "serverAuth")
        },
        BadLeaf(name: "for clients only", reason: .wrongUsage, alert: .unsupportedCertificate, only: .server) {
            try $0.leaf("Node", usage: "clientAuth")
        },
        BadLeaf(name: "for signing code", reason: .wrongUsage, alert: .unsupportedCertificate) {
            try $0.leaf("Node", usage: "codeSigning")
        },
        BadLeaf(name: "without extended key usage", reason: .wrongUsage, alert: .unsupportedCertificate) {
            try $0.leaf("Node", usage: nil)
        },
        BadLeaf(name: "a CA as leaf", reason: .caAsLeaf, alert: .unsupportedCertificate) {
            try $0.leaf("Node", constraints: "critical,CA:TRUE")
        },
        BadLeaf(name: "two SPIFFE URIs", reason: .multipleSPIFFEURIs, alert: .badCertificate) {
            try $0.leaf("Node", names: "URI:spiffe://mesh.test/node/Node,URI:spiffe://mesh.test/node/Other")
        },
        BadLeaf(name: "a CN that contradicts the URI", reason: .cnContradictsURI, alert: .badCertificate) {
            try $0.leaf("Node", subject: "/CN=Admin")
        },
        BadLeaf(name: "a malformed SPIFFE URI", reason: .badSPIFFEID, alert: .badCertificate) {
            try $0.leaf("Node", names: "URI:spiffe://mesh.test/node/../Node")
        },
        BadLeaf(name: "a foreign trust domain", reason: .untrustedDomain, alert: .badCertificate) {
            try $0.leaf("Node", names: "URI:spiffe://elsewhere.test/node/Node")
        },
        BadLeaf(name: "serial 0", reason: .badSerial, alert: .badCertificate) {
            try $0.leaf("Node", options: ["-set_serial", "0"])
        },
        BadLeaf(name: "a negative serial", reason: .badSerial, alert: .badCertificate) {
            try $0.leaf("Node", options: ["-set_serial", "-7"])
        },
        BadLeaf(name: "the name of another node", reason: .wrongName, alert: .badCertificate, only: .server) {
            try $0.leaf("Other")
        },
        BadLeaf(name: "a foreign CA behind the good certificate", reason: .unrelatedCertificate, alert: .badCertificate)
        {
            try $0.leaf("Node").sending(also: [try Authority(name: "Somebody Else").certificateFile])
        },
        BadLeaf(name: "a forgery of our CA behind the good certificate", reason: .badSignature, alert: .decryptError) {
            try $0.leaf("Node").sending(also: [try Authority(name: $0.name).certificateFile])
        },
        BadLeaf(name: "a forged leaf behind the good one", reason: .badSignature, alert: .decryptError) {
            try $0.leaf("Node").sending(also: try Authority(name: $0.name).leaf("Admin").certificateFiles)
        },
        BadLeaf(
            name: "another good certificate behind the good one", reason: .unrelatedCertificate, alert: .badCertificate
        ) {
            try $0.leaf("Node").sending(also: try $0.leaf("Admin").certificateFiles)
        },
        BadLeaf(name: "an intermediate that is not sent", reason: .unknownCA, alert: .unknownCA) {
            try Authority(name: "Branch", under: $0).leaf("Node", sending: [])
        },
        BadLeaf(
            name: "a wildcard over a name that an intermediate excludes", reason: .wildcardConstraint,
            alert: .badCertificate
        ) {
            try Authority(
                name: "Branch", under: $0, extra: ["nameConstraints=critical,excluded;DNS:secret.example.com"]
            ).leaf("Node", names: "URI:spiffe://mesh.test/node/Node,DNS:*.example.com")
        },
        BadLeaf(name: "issued by a leaf", reason: .notACA, alert: .unknownCA) {
            let leaf = try $0.leaf("Deputy")
            return try Authority(signingAs: "Deputy", leaf).leaf("Node", sending: []).sending(
                also: leaf.certificateFiles)
        },
    ]
}

extension TLSTests {
    @Suite("Verification of the peer")
    struct VerificationTests {
        @Test(
            "a bad certificate is refused inside the handshake, with its reason here and its alert there",
            arguments: BadLeaf.table)
        func refused(bad: BadLeaf) throws {
            let authority = try Fixture.authority
            let leaf = try bad.make(authority)
            let now = unixTime() + bad.day * 86_400
            for role in [TLSContext.Role.client, .server] where bad.only == nil || bad.only == role {
                for version in [TLSVersion.tls12, .tls13] {
                    let isClient = role == .client
                    var good = try Fixture.configuration(isClient ? .server : .client, version: version)
                    good.peerCertificate = .required
                    let shown = try TLSContext(try Fixture.configuration(role, leaf: leaf, version: version))
                    let judge = try TLSContext(good)
                    let judging = try TLSSession(
                        context: judge, expecting: isClient ? .anyIdentity : .node("Node"), now: now)
                    let showing = try TLSSession(context: shown, expecting: .anyIdentity, now: unixTime())
                    let pair = isClient ? Pair(showing, judging) : Pair(judging, showing)
                    let outcome = pair.connect()
                    let (refuser, refusedOne) =
                        isClient ? (outcome.server, outcome.client) : (outcome.client, outcome.server)

                    #expect(refuser.error?.code == .certificateRefused)
                    #expect(refuser.error?.certificate?.reason == bad.reason, "\(String(describing: refuser.error))")
                    #expect(refuser.error?.reason == bad.reason.rawValue)
                    #expect(refuser.error?.alert == bad.alert)
                    #expect(refuser.error?.hint.isEmpty == false)
                    #expect(judging.certificateError?.reason == bad.reason)
                    #expect(judging.peerIdentity == nil)
                    #expect(judging.peerChain.isEmpty)
                    #expect(refusedOne.error?.code == .refusedByPeer)
                    #expect(refusedOne.error?.alert == bad.alert)
                    #expect(refusedOne.error?.message.contains("refused our certificate: alert \(bad.alert)") == true)
                    #expect(refusedOne.error?.hint.isEmpty == false)
                }
            }
        }

        @Test("both times are named when time is the reason")
        func times() throws {
            let pair = try Fixture.unconnected(
                try Fixture.context(.client), try Fixture.context(.server), now: unixTime() + 200 * 86_400)
            let message = try #require(pair.connect().client.error?.message)
            let years = message.matches(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/)
            #expect(years.count == 2, "\(message)")
        }

        @Test("a client without a certificate is refused, and told so")
        func missing() throws {
            for version in [TLSVersion.tls12, .tls13] {
                var bare = try Fixture.configuration(.client, version: version)
                bare.credentials = nil
                let pair = try Fixture.unconnected(try TLSContext(bare), try Fixture.context(.server, version: version))
                let (client, server) = pair.connect()
                #expect(server.error?.code == .certificateRefused)
                #expect(server.error?.certificate?.reason == .missingClientCertificate)
                #expect(server.error?.alert == (version == .tls13 ? .certificateRequired : .handshakeFailure))
                #expect(client.error?.code == (version == .tls13 ? .refusedByPeer : .noSharedCipher))
                #expect(
                    client.error?.message.contains(
                        version == .tls13 ? "requires a client certificate" : "handshake_failure") == true)
                #expect(client.error?.hint.contains("certificate") == true)
            }
        }

        @Test("a listener for whom certificates are optional lets the silent in and refuses the bad")
        func optional() throws {
            var listening = try Fixture.configuration(.server)
            listening.peerCertificate = .optional
            var bare = try Fixture.configuration(.client)
            bare.credentials = nil
            let server = try TLSContext(listening)
            let pair = try Fixture.connected(try TLSContext(bare), server)
            #expect(pair.server.peerIdentity == nil)
            #expect(pair.server.certificateError == nil)
            let bad = try Fixture.context(.client, leaf: try Fixture.authority.leaf("Node", usage: "codeSigning"))
            #expect(try Fixture.unconnected(bad, server).connect().server.error?.certificate?.reason == .wrongUsage)
            let good = try Fixture.connected(try Fixture.context(.client), server)
            #expect(good.server.peerIdentity?.nodeName == "Alpha")
        }

        @Test("a probe that demands nothing connects and still knows what was wrong")
        func noted() throws {
            var probing = try Fixture.configuration(.client)
            probing.peerCertificate = .none
            let bad = try Fixture.context(.server, leaf: try Fixture.authority.leaf("Beta", usage: "codeSigning"))
            let pair = try Fixture.connected(try TLSContext(probing), bad)
            #expect(pair.client.certificateError?.reason == .wrongUsage)
            #expect(pair.client.peerIdentity == nil)
            let good = try Fixture.connected(try TLSContext(probing), try Fixture.context(.server))
            #expect(good.client.certificateError == nil)
            #expect(good.client.peerIdentity?.nodeName == "Beta")
        }

        @Test("both ends know who the other is, by the verified leaf", arguments: ["P-256", "P-384", "Ed25519", "RSA"])
        func identities(keyAlgorithm: String) throws {
            let authority = try Authority(name: "CA \(keyAlgorithm)", keyAlgorithm: keyAlgorithm)
            let below = try Authority(name: "Branch", under: authority)
            for issuer in [authority, below] {
                for version in [TLSVersion.tls12, .tls13] {
                    func context(_ role: TLSContext.Role, _ name: String) throws -> TLSContext {
                        var wanted = try Fixture.configuration(
                            role, leaf: try issuer.leaf(name, keyAlgorithm: keyAlgorithm), version: version)
                        wanted.trust = try authority.trust()
                        return try TLSContext(wanted)
                    }
                    let pair = try Fixture.connected(try context(.client, "Alpha"), try context(.server, "Beta"))
                    #expect(pair.server.peerIdentity?.nodeName == "Alpha")
                    #expect(pair.client.peerIdentity?.nodeName == "Beta")
                    #expect(pair.client.peerIdentity?.spiffe?.description == "spiffe://mesh.test/node/Beta")
                    #expect(pair.client.peerChain.count == (issuer === below ? 3 : 2))
                    #expect(pair.client.peerChain.first?.commonName == "Beta")
                    #expect(pair.client.protocolVersion == version)
                    write([1, 2, 3], to: pair.client)
                    #expect(transfer(from: pair.client, to: pair.server).bytes == [1, 2, 3])
                }
            }
        }

        @Test("the dialler verifies the node, the host, or both that it meant")
        func names() throws {
            let client = try Fixture.context(.client)
            let server = try Fixture.context(.server)
            func reason(_ expecting: ExpectedPeer) throws -> CertificateReason? {
                try Fixture.unconnected(client, server, expecting: expecting).connect().client.error?.certificate?
                    .reason
            }
            #expect(try reason(.node("Beta")) == nil)
            #expect(try reason(.node("beta")) == .wrongName, "names keep their case")
            #expect(try reason(.node("Alpha")) == .wrongName)
            #expect(try reason(.host("beta.internal")) == nil)
            #expect(try reason(.host("127.0.0.1")) == nil)
            #expect(try reason(.host("Beta")) == .wrongName, "the CN is no host name")
            #expect(try reason(.host("127.0.0.2")) == .wrongName)
            #expect(try reason(.nodeAtHost(node: "Beta", host: "beta.internal")) == nil)
            #expect(try reason(.nodeAtHost(node: "Beta", host: "other.internal")) == .wrongName)
            #expect(try reason(.nodeAtHost(node: "Other", host: "beta.internal")) == .wrongName)
            #expect(try reason(.anyIdentity) == nil)
        }

        @Test("certificates of plain openssl recipes pass where legacy is allowed, and only there")
        func legacy() throws {
            let leaf = try Fixture.authority.leaf("Alpha", usage: nil, constraints: nil, names: nil)
            let client = try Fixture.context(.client, leaf: leaf)
            for allowed in [false, true] {
                var listening = try Fixture.configuration(.server)
                listening.legacyCertificates = allowed
                let pair = try Fixture.unconnected(client, try TLSContext(listening))
                let server = pair.connect().server
                #expect((server.error == nil) == allowed, "\(String(describing: server.error))")
                if allowed {
                    #expect(pair.server.peerIdentity?.commonName == "Alpha")
                    #expect(pair.server.peerIdentity?.isLegacy == true)
                } else {
                    #expect(server.error?.certificate?.reason == .wrongUsage)
                }
            }
        }

        @Test("a key below 112 bits is refused")
        func weak() throws {
            let leaf = try Fixture.authority.leaf("Alpha", keyAlgorithm: "RSA-1024")
            var sending = try Fixture.configuration(.client, leaf: leaf)
            sending.probe = .init()
            let pair = try Fixture.unconnected(try TLSContext(sending), try Fixture.context(.server))
            let (client, server) = pair.connect()
            #expect(server.error?.certificate?.reason == .weakKey)
            #expect(client.error?.alert == .badCertificate)
            sending.probe = nil
            #expect(throws: TLSError.self) { try TLSContext(sending) }
        }

        @Test("a build that leaves a check out accepts what the check is for, and nothing else")
        func faults() throws {
            let rows: [(StrictChecks, String)] = [
                (.chain, "unknown CA"), (.validity, "expired"), (.usage, "for servers only"),
                (.usage, "without extended key usage"), (.singleSPIFFE, "two SPIFFE URIs"),
                (.presentedChain, "a foreign CA behind the good certificate"),
                (.presentedChain, "another good certificate behind the good one"), (.serial, "serial 0"),
                (.leafIsNotCA, "a CA as leaf"), (.nameAgreement, "a CN that contradicts the URI"),
            ]
            for (check, name) in rows {
                let bad = try #require(BadLeaf.table.first { $0.name == name })
                let client = try Fixture.context(.client, leaf: try bad.make(try Fixture.authority))
                for checks in [StrictChecks.all.subtracting(check), check.union([.clientCertificate, .chain])] {
                    var listening = try Fixture.configuration(.server)
                    listening.checks = checks
                    let now = unixTime() + bad.day * 86_400
                    let pair = Pair(
                        try TLSSession(context: client, expecting: .anyIdentity),
                        try TLSSession(context: try TLSContext(listening), expecting: .anyIdentity, now: now))
                    let error = pair.connect().server.error
                    #expect((error == nil) == !checks.contains(check), "\(name): \(String(describing: error))")
                }
            }
            var bare = try Fixture.configuration(.client)
            bare.credentials = nil
            var listening = try Fixture.configuration(.server)
            listening.checks.remove(.clientCertificate)
            let pair = Pair(
                try TLSSession(context: try TLSContext(bare), expecting: .node("Beta")),
                try TLSSession(context: try TLSContext(listening), expecting: .anyIdentity))
            #expect(pair.connect().server.error == nil)
            #expect(pair.server.peerIdentity == nil)
        }

        @Test("sessions keep the credentials they were made with")
        func rotation() throws {
            let server = try Fixture.context(.server)
            var session: TLSSession?
            do {
                let old = try Fixture.context(.client)
                session = try TLSSession(context: old, expecting: .node("Beta"))
            }
            let client = try #require(session)
            let pair = Pair(client, try TLSSession(context: server, expecting: .anyIdentity))
            let outcome = pair.connect()
            #expect(outcome.client.error == nil)
            #expect(outcome.server.error == nil)
        }
    }
}
