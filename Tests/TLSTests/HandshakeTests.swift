import PKI
import SeededRandom
import TLS
import Testing

extension TLSTests {
    @Suite("Handshakes")
    struct HandshakeTests {
        @Test("server name and application protocol reach the other end")
        func names() throws {
            for version in [TLSVersion.tls12, .tls13] {
                let client = try Fixture.context(.client, version: version, alpn: ["h2", "http/1.1"])
                let server = try Fixture.context(.server, version: version, alpn: ["conduit", "http/1.1"])
                let pair = Pair(
                    try TLSSession(context: client, serverName: "db.internal", expecting: .anyIdentity),
                    try TLSSession(context: server, expecting: .anyIdentity))
                let (one, other) = pair.connect()
                #expect(one.error == nil)
                #expect(other.error == nil)
                #expect(pair.server.serverName == "db.internal")
                #expect(pair.client.serverName == "db.internal")
                #expect(pair.client.alpn == "http/1.1")
                #expect(pair.server.alpn == "http/1.1")
                #expect(pair.client.protocolVersion == version)
                #expect(pair.server.protocolVersion == version)
                #expect(
                    pair.client.cipherName
                        == (version == .tls13 ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256"))
                #expect(pair.client.groupName == "X25519" || pair.client.groupName == "x25519")
                #expect(pair.server.groupName == pair.client.groupName)
            }
        }

        @Test("the server's order of protocols decides, and a client that offers none has none")
        func protocolOrder() throws {
            let server = try Fixture.context(.server, alpn: ["a", "b"])
            let pair = try Fixture.connected(try Fixture.context(.client, alpn: ["b", "a"]), server)
            #expect(pair.client.alpn == "a")
            let silent = try Fixture.connected(try Fixture.context(.client), server)
            #expect(silent.server.alpn == nil)
            #expect(silent.server.serverName == nil)
        }

        @Test("without a common protocol both ends know why it failed", arguments: [TLSVersion.tls12, .tls13])
        func noCommonProtocol(version: TLSVersion) throws {
            let pair = try Fixture.unconnected(
                try Fixture.context(.client, version: version, alpn: ["h2"]),
                try Fixture.context(.server, version: version, alpn: ["http/1.1"]))
            let (client, server) = pair.connect()
            #expect(server.error?.code == .noSharedProtocol)
            #expect(server.error?.alert == .noApplicationProtocol)
            #expect(client.error?.code == .noSharedProtocol)
            #expect(client.error?.alert == .noApplicationProtocol)
            #expect(pair.client.alertReceived == .noApplicationProtocol)
            #expect(pair.server.alertSent == .noApplicationProtocol)
        }

        @Test("without a common version both ends know why it failed")
        func noCommonVersion() throws {
            for (client, server) in [(TLSVersion.tls12, TLSVersion.tls13), (.tls13, .tls12)] {
                let pair = try Fixture.unconnected(
                    try Fixture.context(.client, version: client), try Fixture.context(.server, version: server))
                let (one, other) = pair.connect()
                #expect(one.error?.code == .noSharedVersion)
                #expect(other.error?.code == .noSharedVersion)
                #expect(one.error?.alert == .protocolVersion)
                #expect(other.error?.alert == .protocolVersion)
            }
        }

        @Test("a probe finds that old versions and weak suites are refused")
        func probes() throws {
            var configuration = TLSContext.Configuration(role: .server, credentials: try Fixture.credentials())
            configuration.trust = try Fixture.trust()
            configuration.minimumVersion = .tls12
            let server = try TLSContext(configuration)
            func probe(_ version: TLSVersion, _ probe: TLSContext.Probe) throws -> (Outcome, Outcome) {
                var wanted = TLSContext.Configuration(role: .client, credentials: try Fixture.credentials())
                wanted.peerCertificate = .none
                wanted.minimumVersion = version
                wanted.maximumVersion = version
                wanted.probe = probe
                return try Fixture.unconnected(try TLSContext(wanted), server).connect()
            }
            for version in [TLSVersion.tls10, .tls11] {
                let (client, server) = try probe(version, .init())
                #expect(client.error?.code == .noSharedVersion)
                #expect(server.error?.code == .noSharedVersion)
            }
            for weak in [
                "AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "aNULL",
            ] {
                let (client, server) = try probe(.tls12, .init(cipherList: "\(weak):@SECLEVEL=0"))
                #expect(client.error?.code == .noSharedCipher, "\(weak)")
                #expect(server.error?.code == .noSharedCipher, "\(weak)")
            }
            let (ccm, _) = try probe(.tls13, .init(cipherSuites: "TLS_AES_128_CCM_SHA256"))
            #expect(ccm.error?.code == .noSharedCipher)
            let (good, _) = try probe(.tls12, .init())
            #expect(good.error == nil)
            let (modern, _) = try probe(.tls13, .init())
            #expect(modern.error == nil)
        }

        @Test("plain text on a TLS port is named as such, with what it said")
        func plainText() throws {
            for text in [
                "GET / HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "PUT /x",
                "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
            ] {
                let server = try TLSSession(context: Fixture.context(.server), expecting: .anyIdentity)
                feed(Array(text.utf8), to: server) { session in
                    guard case .failed(let error) = session.handshake() else {
                        Issue.record("\(text) is not TLS")
                        return
                    }
                    #expect(error.code == .notTLS, "\(text)")
                    let shown = text.prefix { $0.isASCII && $0 > " " }
                    #expect(error.message.contains(shown), "\(error.message)")
                    #expect(!error.hint.isEmpty)
                }
            }
            let client = try TLSSession(context: Fixture.context(.client), expecting: .anyIdentity)
            _ = client.handshake()
            feed(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), to: client) { session in
                guard case .failed(let error) = session.handshake() else {
                    Issue.record("plain HTTP is not TLS")
                    return
                }
                #expect(error.code == .notTLS)
                #expect(error.message.contains("HTTP/1.1 400"))
            }
        }

        @Test("plain text too short for a record is still seen for what it is")
        func shortPlainText() throws {
            let client = try TLSSession(context: Fixture.context(.client), expecting: .anyIdentity)
            _ = client.handshake()
            feed(Array("220".utf8), to: client) { _ = $0.handshake() }
            client.receivedEOF()
            guard case .failed(let error) = client.handshake() else {
                Issue.record("three bytes of text are not TLS")
                return
            }
            #expect(error.code == .notTLS)
            #expect(error.message.contains("\"220\""))
        }

        @Test("a peer that goes away in the handshake is named as such")
        func goneEarly() throws {
            let client = try TLSSession(context: Fixture.context(.client), expecting: .anyIdentity)
            _ = client.handshake()
            client.receivedEOF()
            guard case .failed(let silent) = client.handshake() else {
                Issue.record("the peer is gone")
                return
            }
            #expect(silent.code == .closedDuringHandshake)
            #expect(silent.message.contains("without a word"))

            let pair = try Fixture.unconnected(try Fixture.context(.client), try Fixture.context(.server))
            _ = pair.client.handshake()
            pair.deliver(from: pair.client, to: pair.server) { _ = $0.handshake() }
            let flight = take(pair.server)
            feed(Array(flight.prefix(flight.count / 2)), to: pair.client) { session in
                guard case .wantsInput = session.handshake() else {
                    Issue.record("half a flight is not a handshake")
                    return
                }
                #expect(session.unreadInput == 0)
            }
            #expect(!pair.client.isConnected)
            #expect(write([1], to: pair.client)?.code == .notConnected)
            pair.client.receivedEOF()
            guard case .failed(let half) = pair.client.handshake() else {
                Issue.record("the peer is gone")
                return
            }
            #expect(half.code == .closedDuringHandshake)
            #expect(half.message.contains("during the handshake"))
        }

        @Test("garbage never connects, whatever it looks like")
        func garbage() throws {
            var random = SeededRandom(1)
            let contexts = [try Fixture.context(.client), try Fixture.context(.server)]
            for seed in 0..<400 {
                let session = try TLSSession(context: contexts[seed / 2 % 2], expecting: .anyIdentity)
                _ = session.handshake()
                var bytes = (0..<Int.random(in: 1...2000, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                if seed % 2 == 0 {  // a record's header, so that the rest is looked at
                    let head: [UInt8] = [
                        22, 3, 3, UInt8((bytes.count >> 8) & 0xff), UInt8(bytes.count & 0xff),
                        UInt8.random(in: 0...24, using: &random),
                    ]
                    bytes = head + bytes
                }
                feed(bytes, to: session) { session in
                    if case .complete = session.handshake() { Issue.record("connected with garbage") }
                }
                session.receivedEOF()
                guard case .failed = session.handshake() else {
                    Issue.record("garbage and the end is a failure")
                    return
                }
                #expect(session.peerIdentity == nil)
            }
        }

        @Test("a handshake with one bit changed on the way never connects at both ends")
        func mutatedHandshake() throws {
            var random = SeededRandom(2)
            let client = try Fixture.context(.client)
            let server = try Fixture.context(.server)
            for _ in 0..<300 {
                let pair = try Fixture.unconnected(client, server)
                let victim = Int.random(in: 0...2, using: &random)
                var change = ""
                for flight in 0...2 {
                    let (from, to) = flight % 2 == 0 ? (pair.client, pair.server) : (pair.server, pair.client)
                    _ = from.handshake()
                    var wire = take(from)
                    if wire.isEmpty { break }
                    if flight == victim {
                        let index = Int.random(in: 0..<wire.count, using: &random)
                        let bit = UInt8.random(in: 0...7, using: &random)
                        wire[index] ^= 1 << bit
                        change = "bit \(bit) of byte \(index) in flight \(flight)"
                    }
                    feed(wire, to: to) { _ = $0.handshake() }
                }
                // A record header's version is not protected and means nothing (RFC 8446, section 5.1); nor does a
                // compatibility change_cipher_spec. Such a change may go unnoticed, and then nothing has changed.
                if pair.client.isConnected, pair.server.isConnected {
                    #expect(change.contains("byte 1 ") || change.contains("byte 2 "), "\(change)")
                }
            }
        }

        @Test("configurations that cannot work are refused with a reason")
        func badConfigurations() throws {
            func code(_ change: (inout TLSContext.Configuration) throws -> Void) throws -> TLSError.Code? {
                var configuration = TLSContext.Configuration(
                    role: .server, credentials: try Fixture.credentials(), trust: try Fixture.trust())
                try change(&configuration)
                do throws(TLSError) {
                    _ = try TLSContext(configuration)
                    return nil
                } catch {
                    #expect(!error.hint.isEmpty)
                    return error.code
                }
            }
            #expect(try code { _ in } == nil)
            #expect(try code { $0.credentials = nil } == .badConfiguration)
            #expect(try code { $0.trust = nil } == .badConfiguration)
            #expect(try code { $0.minimumVersion = .tls11 } == .badConfiguration)
            #expect(try code { $0.maximumVersion = .tls12 } == .badConfiguration)
            #expect(try code { $0.alpn = [""] } == .badConfiguration)
            #expect(try code { $0.alpn = [String(repeating: "x", count: 256)] } == .badConfiguration)
            #expect(try code { $0.alpn = [String(repeating: "x", count: 255)] } == nil)
            #expect(try code { $0.probe = .init(cipherList: "nonsense") } == .badConfiguration)
            let client = try Fixture.context(.client)
            for name in ["", "two words", "na\u{0}ul", "ümlaut", String(repeating: "x", count: 256)] {
                #expect(throws: TLSError.self) {
                    try TLSSession(context: client, serverName: name, expecting: .anyIdentity)
                }
            }
        }
    }
}
