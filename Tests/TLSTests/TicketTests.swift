import Foundation
import PKI
import TLS
import Testing

extension TLSTests {
    /// Sessions that are resumed by ticket at the edge. The `openssl` program is the client, as our own keeps no sessions.
    @Suite("Session tickets")
    struct TicketTests {
        private static let lifetime: Int64 = 600

        private static func configuration(
            _ keys: TicketKeys?, client: TLSContext.PeerCertificate = .none, name: String = "Beta",
            trust: TrustBundle? = nil
        ) throws -> TLSContext.Configuration {
            let leaf = try Fixture.authority.leaf(name, subject: "/CN=\(name).test", names: "DNS:\(name).test")
            var configuration = TLSContext.Configuration.edge(
                try leaf.credentials(), clientCertificates: client,
                clientTrust: client == .none ? nil : try trust ?? Fixture.trust())
            configuration.tickets = keys
            return configuration
        }

        /// What a connection of the program came to, seen from the server.
        private struct Seen {
            let isResumed: Bool
            let ticket: TicketOutcome?
            let node: String?
            let error: TLSError?
            let text: String
        }

        /// Connects once: a session goes in from a file, or comes out into it.
        private static func connect(
            _ contexts: TLSServerContexts, version: TLSVersion = .tls13, from session: String? = nil,
            into file: String? = nil, leaf: Leaf? = nil, serverName: String? = nil, now: Int64? = nil,
            options: [String] = []
        ) throws -> Seen {
            let listener = try Listener()
            var arguments = [
                "s_client", "-connect", "127.0.0.1:\(listener.port)", version == .tls13 ? "-tls1_3" : "-tls1_2",
            ]
            if let session { arguments += ["-sess_in", session] }
            if let file { arguments += ["-sess_out", file] }
            if let leaf {
                arguments += ["-cert", leaf.certificateFiles[0], "-key", leaf.keyFile]
                if leaf.certificateFiles.count > 1 { arguments += ["-cert_chain", leaf.certificateFiles[1]] }
            }
            arguments += serverName.map { ["-servername", $0] } ?? ["-noservername"]
            let program = try OpenSSLProgram(arguments + options)
            let server = Loopback(
                try TLSSession(contexts: contexts, now: now), socket: try listener.accept())
            let error = server.connect()
            if error == nil {
                _ = server.send(Array("hello\n".utf8))
                _ = program.said(until: "hello")
                server.session.shutdown()
                server.flush()
            }
            program.endInput()
            let text = program.lastWords()
            return Seen(
                isResumed: server.session.ticket == .resumed, ticket: server.session.ticket,
                node: server.session.peerIdentity?.nodeName ?? server.session.peerIdentity?.description, error: error,
                text: text)
        }

        private static func file() -> String { Authority.file(".session") }

        @Test("a session goes on, in both versions, and brings a new ticket", arguments: [TLSVersion.tls12, .tls13])
        func resumed(version: TLSVersion) throws {
            let contexts = try TLSServerContexts(
                TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime))))
            let (first, second) = (Self.file(), Self.file())
            let full = try Self.connect(contexts, version: version, into: first)
            #expect(full.error == nil && full.ticket == nil, "\(full)")
            let resumed = try Self.connect(contexts, version: version, from: first, into: second)
            #expect(resumed.isResumed, "\(resumed)")
            // Under TLS 1.2 the program does not write a ticket that came with a resumed session.
            guard version == .tls13 else { return }
            #expect(try Self.connect(contexts, version: version, from: second).isResumed)
        }

        @Test("without keys there are no tickets", arguments: [TLSVersion.tls12, .tls13])
        func none(version: TLSVersion) throws {
            let contexts = try TLSServerContexts(TLSContext(Self.configuration(nil)))
            let file = Self.file()
            _ = try Self.connect(contexts, version: version, into: file)
            if FileManager.default.fileExists(atPath: file) {
                let again = try Self.connect(contexts, version: version, from: file)
                #expect(again.error == nil && !again.isResumed, "\(again)")
            }
        }

        @Test("early data is never taken")
        func earlyData() throws {
            let contexts = try TLSServerContexts(
                TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime))))
            let (file, data) = (Self.file(), Authority.file(".early"))
            try Data("early".utf8).write(to: URL(fileURLWithPath: data))
            let first = try Self.connect(contexts, into: file)
            #expect(first.text.contains("Max Early Data: 0"), "\(first.text)")
            let seen = try Self.connect(contexts, from: file, options: ["-early_data", data])
            #expect(seen.isResumed, "\(seen)")
            #expect(!seen.text.contains("Early data was accepted"), "\(seen.text)")
        }

        @Test(
            "keys change: one lifetime in use, one more to open, then they are gone",
            arguments: [TLSVersion.tls12, .tls13])
        func rotation(version: TLSVersion) throws {
            let contexts = try TLSServerContexts(
                TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime))))
            let now = unixTime()
            let file = Self.file()
            _ = try Self.connect(contexts, version: version, into: file, now: now)
            // Under the key of now, under the one before, and when there is a third.
            #expect(try Self.connect(contexts, version: version, from: file, now: now + Self.lifetime - 2).isResumed)
            let late = try Self.connect(contexts, version: version, from: file, now: now + Self.lifetime + 1)
            #expect(late.ticket == .tooOld && late.error == nil, "\(late)")
            let gone = try Self.connect(contexts, version: version, from: file, now: now + 3 * Self.lifetime)
            #expect(gone.ticket == .unknownKey && gone.error == nil, "\(gone)")
        }

        @Test("a name that nobody asks for keeps no keys")
        func quietName() throws {
            let keys = try TicketKeys(lifetime: Self.lifetime)
            #expect(keys.isWiped && keys.expire(now: 0) == 0)
            let contexts = try TLSServerContexts(TLSContext(Self.configuration(keys)))
            let now = unixTime()
            let file = Self.file()
            _ = try Self.connect(contexts, into: file, now: now)
            #expect(keys.expire(now: now + Self.lifetime - 1) == 1 && !keys.isWiped)
            // It seals no more, and opens for one lifetime more.
            #expect(keys.expire(now: now + Self.lifetime) == 1 && !keys.isWiped)
            #expect(keys.expire(now: now + 2 * Self.lifetime - 1) == 1)
            #expect(keys.expire(now: now + 2 * Self.lifetime) == 0 && keys.isWiped)
            let gone = try Self.connect(contexts, from: file, now: now + 2 * Self.lifetime)
            #expect(gone.ticket == .unknownKey && gone.error == nil, "\(gone)")
            #expect(keys.expire(now: now + 2 * Self.lifetime) == 1)
        }

        @Test("the key before does not stay for the sake of the one of now")
        func previousKey() throws {
            let keys = try TicketKeys(lifetime: Self.lifetime)
            let contexts = try TLSServerContexts(TLSContext(Self.configuration(keys)))
            let now = unixTime()
            _ = try Self.connect(contexts, into: Self.file(), now: now)
            let late = now + 2 * Self.lifetime - 1
            _ = try Self.connect(contexts, into: Self.file(), now: late)
            #expect(keys.expire(now: late) == 2)
            #expect(keys.expire(now: now + 2 * Self.lifetime) == 1)
        }

        @Test("a resumed session does not begin its lifetime anew")
        func noChain() throws {
            let contexts = try TLSServerContexts(
                TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime))))
            let now = unixTime()
            var file = Self.file()
            _ = try Self.connect(contexts, into: file, now: now)
            for step in 1...3 {
                let next = Self.file()
                let seen = try Self.connect(
                    contexts, from: file, into: next, now: now + Int64(step) * Self.lifetime / 4)
                #expect(seen.isResumed, "step \(step)")
                file = next
            }
            let seen = try Self.connect(contexts, from: file, now: now + Self.lifetime)
            #expect(seen.ticket == .tooOld, "\(seen)")
        }

        @Test("another name's, another listener's and a forged ticket lead to a handshake in full")
        func otherKeys() throws {
            func contexts() throws -> TLSServerContexts {
                try TLSServerContexts([
                    .init(try TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime), name: "one"))),
                    .init(try TLSContext(Self.configuration(try TicketKeys(lifetime: Self.lifetime), name: "two"))),
                ])
            }
            let (here, elsewhere) = (try contexts(), try contexts())
            let file = Self.file()
            _ = try Self.connect(here, into: file, serverName: "two.test")
            #expect(try Self.connect(here, from: file, serverName: "two.test").isResumed)
            for seen in [
                try Self.connect(here, from: file, serverName: "one.test"),
                try Self.connect(elsewhere, from: file, serverName: "two.test"),
            ] {
                #expect(seen.error == nil && seen.ticket == .unknownKey, "\(seen)")
            }
        }

        // MARK: - With client certificates

        @Test("who the client is comes from its certificate, looked at again", arguments: [TLSVersion.tls12, .tls13])
        func identity(version: TLSVersion) throws {
            let keys = try TicketKeys(lifetime: Self.lifetime)
            let intermediate = try Authority(name: "Below", under: Fixture.authority)
            let leaf = try intermediate.leaf("Alpha")
            let contexts = try TLSServerContexts(TLSContext(Self.configuration(keys, client: .required)))
            let file = Self.file()
            let full = try Self.connect(contexts, version: version, into: file, leaf: leaf)
            #expect(full.node == "Alpha", "\(full)")
            // The chain is not sent again: what is between leaf and root comes out of the ticket.
            let resumed = try Self.connect(contexts, version: version, from: file, leaf: leaf)
            #expect(resumed.isResumed && resumed.node == "Alpha", "\(resumed)")
        }

        /// What makes a certificate bad after its session was begun.
        enum Change: CaseIterable {
            case expired, untrusted, revoked, pinned, notAsked, demanded
        }

        @Test("a certificate that is not good any more is shown again and refused", arguments: Change.allCases)
        func changed(_ change: Change) throws {
            let keys = try TicketKeys(lifetime: Self.lifetime)
            let leaf = try Fixture.authority.leaf(
                "Alpha", options: change == .expired ? ["-days", "1"] : [])
            // Behind it: it is valid from the second in which openssl has made it.
            let now = unixTime()
            let before = try Self.configuration(keys, client: .optional)
            let file = Self.file()
            // Its certificate has a minute left.
            let start = change == .expired ? now + 86_400 - 60 : now
            let full = try Self.connect(
                TLSServerContexts(TLSContext(before)), into: file, leaf: change == .demanded ? nil : leaf, now: start)
            #expect(full.error == nil, "\(full)")
            var after = before
            var later = start
            let expected: TicketOutcome
            switch change {
            case .expired:
                later = start + 120
                expected = .refused(.expired)
            case .untrusted:
                after.trust = try Authority(name: "Another CA").trust()
                expected = .refused(.unknownCA)
            case .revoked:
                after.revocation = try Self.revocation(of: leaf)
                later = unixTime()
                expected = .refused(.revoked)
            case .pinned:
                after.pins = PinPolicy(rules: [
                    .init(pins: [try CertificatePin(parsing: "spki-sha256:" + String(repeating: "A", count: 43) + "=")])
                ])
                expected = .refused(.pinMismatch)
            case .notAsked:
                after.peerCertificate = .none
                expected = .otherCertificates
            case .demanded:
                after.peerCertificate = .required
                expected = .otherCertificates
            }
            let contexts = try TLSServerContexts(TLSContext(after))
            let seen = try Self.connect(contexts, from: file, leaf: change == .demanded ? nil : leaf, now: later)
            #expect(seen.ticket == expected, "\(seen)")
            // The handshake in full that follows says why, or serves without a name.
            #expect((seen.error == nil) == (change == .notAsked), "\(seen)")
            #expect(seen.node == nil, "\(seen)")
        }

        private static func revocation(of leaf: Leaf) throws -> RevocationLists {
            let directory = Authority.file(".crl")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            for name in ["index.txt", "index.txt.attr"] {
                _ = FileManager.default.createFile(atPath: "\(directory)/\(name)", contents: nil)
            }
            let settings = "\(directory)/ca.cnf"
            try Data(
                "[ca]\ndefault_ca = own\n[own]\ndatabase = \(directory)/index.txt\ndefault_md = sha256\ndefault_crl_days = 7\n"
                    .utf8
            ).write(to: URL(fileURLWithPath: settings))
            let authority = try Fixture.authority
            let common = ["ca", "-config", settings, "-cert", authority.certificateFile, "-keyfile", authority.keyFile]
            try openssl(common + ["-revoke", leaf.certificateFiles[0]])
            try openssl(common + ["-gencrl", "-out", "\(directory)/ca.crl"])
            return RevocationLists(try CertificateRevocationList.load(file: "\(directory)/ca.crl"), mode: .hard)
        }

        @Test("lifetimes, and contexts that cannot have tickets")
        func configuration() throws {
            #expect(throws: Never.self) { try TicketKeys(lifetime: TicketKeys.maximumLifetime) }
            var client = TLSContext.Configuration.foreignServer(trust: try Fixture.trust())
            client.tickets = try TicketKeys(lifetime: 60)
            #expect(throws: TLSError.self) { try TLSContext(client) }
            var lenient = try Self.configuration(try TicketKeys(lifetime: 60), client: .required)
            lenient.expiredFor = 60
            #expect(throws: TLSError.self) { try TLSContext(lenient) }
        }
    }
}
