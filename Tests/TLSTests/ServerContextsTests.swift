import PKI
import TLS
import Testing

extension TLSTests {
    /// Several certificates on one listener.
    @Suite("Certificates by SNI")
    struct ServerContextsTests {
        private static let leaves = Result {
            try ["www.example.test", "*.apps.example.test", "deep.apps.example.test", "fallback.test"].map { name in
                try Fixture.authority.leaf("x", subject: "/CN=\(name)", names: "DNS:\(name)")
            }
        }

        private static func context(
            _ number: Int, minimum: TLSVersion = .tls12, client: TLSContext.PeerCertificate = .none
        ) throws -> TLSContext {
            try TLSContext(
                .edge(
                    leaves.get()[number].credentials(), minimumVersion: minimum, clientCertificates: client,
                    clientTrust: client == .none ? nil : try Fixture.trust()))
        }

        private static func contexts(
            unknownName: TLSServerContexts.UnknownName = .first
        ) throws -> TLSServerContexts {
            try TLSServerContexts(
                [3, 0, 1, 2].map { TLSServerContexts.Entry(try context($0)) }, unknownName: unknownName)
        }

        private static func name(_ context: TLSContext?) -> String? {
            context?.configuration.credentials?.leaf.dnsNames.first
        }

        @Test(
            "exact before wildcard before the first",
            arguments: [
                ("www.example.test", "www.example.test"), ("WWW.Example.TEST", "www.example.test"),
                ("www.example.test.", "www.example.test"), ("a.apps.example.test", "*.apps.example.test"),
                ("deep.apps.example.test", "deep.apps.example.test"), ("a.b.apps.example.test", "fallback.test"),
                ("apps.example.test", "fallback.test"), (".apps.example.test", "fallback.test"),
                ("*.apps.example.test", "*.apps.example.test"), ("unknown.test", "fallback.test"),
                ("", "fallback.test"),
            ]) func choice(_ asked: String, _ expected: String) throws
        {
            #expect(try Self.name(Self.contexts().context(for: asked)) == expected)
        }

        @Test("an unknown name may be refused; nobody's name never is")
        func refusal() throws {
            let contexts = try Self.contexts(unknownName: .refuse)
            #expect(contexts.context(for: "unknown.test") == nil)
            #expect(Self.name(contexts.context(for: nil)) == "fallback.test")
            #expect(Self.name(contexts.context(for: "www.example.test")) == "www.example.test")
        }

        @Test("names of the configuration stand instead of the certificate's")
        func givenNames() throws {
            let contexts = try TLSServerContexts([
                .init(try Self.context(3)), .init(try Self.context(0), names: ["other.test", "*.other.test"]),
            ])
            #expect(Self.name(contexts.context(for: "other.test")) == "www.example.test")
            #expect(Self.name(contexts.context(for: "x.other.test")) == "www.example.test")
            #expect(Self.name(contexts.context(for: "www.example.test")) == "fallback.test")
            for bad in ["", "*", "a.*.test", "*.*.test"] {
                let error = #expect(throws: TLSError.self) {
                    try TLSServerContexts([.init(try Self.context(0), names: [bad])])
                }
                #expect(error?.code == .badConfiguration, "\(bad)")
            }
            #expect(throws: TLSError.self) { try TLSServerContexts([]) }
            #expect(throws: TLSError.self) { try TLSServerContexts(try Fixture.context(.client)) }
        }

        @Test("the program gets the certificate that it asks for", arguments: [TLSVersion.tls12, .tls13])
        func served(version: TLSVersion) throws {
            for (asked, expected) in [
                ("www.example.test", "www.example.test"), ("a.apps.example.test", "*.apps.example.test"),
                ("unknown.test", "fallback.test"), (nil, "fallback.test"),
            ] as [(String?, String)] {
                let (words, link, error) = try Self.serve(
                    try Self.contexts(),
                    (asked.map { ["-servername", $0] } ?? ["-noservername"]) + [
                        version == .tls12 ? "-tls1_2" : "-tls1_3"
                    ])
                #expect(error == nil)
                #expect(words.contains("subject=CN = \(expected)"), "\(words)")
                #expect(link.session.serverName == asked)
                #expect(Self.name(link.session.context) == expected)
                #expect(link.session.protocolVersion == version)
                #expect(link.session.alpn == "http/1.1")
                #expect(!words.contains("Post-Handshake New Session Ticket") && !words.contains("TLS session ticket:"))
            }
        }

        @Test("unrecognized_name is told where it is wanted")
        func unrecognized() throws {
            let (words, link, error) = try Self.serve(
                try Self.contexts(unknownName: .refuse), ["-servername", "unknown.test"])
            #expect(words.contains("alert number 112"), "\(words)")
            #expect(error != nil)
            #expect(link.session.alertSent == .unrecognizedName)
        }

        @Test("each context has its own versions and asks for client certificates by itself")
        func ownRules() throws {
            let contexts = try TLSServerContexts([
                .init(try Self.context(3)), .init(try Self.context(0, minimum: .tls13)),
                .init(try Self.context(2, client: .required)), .init(try Self.context(1, client: .optional)),
            ])
            var (words, link, error) = try Self.serve(contexts, ["-servername", "www.example.test", "-tls1_2"])
            #expect(error?.code == .noSharedVersion, "\(words)")
            (words, link, error) = try Self.serve(contexts, ["-servername", "fallback.test", "-tls1_2"])
            #expect(error == nil, "\(words)")
            for version in ["-tls1_2", "-tls1_3"] {
                (words, link, error) = try Self.serve(contexts, ["-servername", "deep.apps.example.test", version])
                #expect(error?.certificate?.reason == .missingClientCertificate, "\(words)")
                (words, link, error) = try Self.serve(contexts, ["-servername", "a.apps.example.test", version])
                #expect(error == nil && link.session.peerIdentity == nil, "\(words)")
                let own = try Fixture.leaf(.client)
                let files = ["-cert", own.certificateFiles[0], "-key", own.keyFile, version]
                for name in ["deep.apps.example.test", "a.apps.example.test"] {
                    (words, link, error) = try Self.serve(contexts, ["-servername", name] + files)
                    #expect(error == nil && link.session.peerIdentity?.commonName == "Alpha", "\(words)")
                }
                // Not asked for: not looked at.
                (words, link, error) = try Self.serve(contexts, ["-servername", "fallback.test"] + files)
                #expect(error == nil && link.session.peerIdentity == nil, "\(words)")
                // One that is shown must be good.
                let foreign = try Authority(name: "Somebody").leaf("Alpha")
                let others = ["-cert", foreign.certificateFiles[0], "-key", foreign.keyFile, version]
                (words, link, error) = try Self.serve(contexts, ["-servername", "a.apps.example.test"] + others)
                #expect(error?.certificate?.reason == .unknownCA, "\(words)")
            }
        }

        @Test("a client's certificate without usage and URI passes at the edge")
        func plainClientCertificate() throws {
            let leaf = try Fixture.authority.leaf("x", subject: "/CN=laptop", usage: nil, names: nil)
            let contexts = try TLSServerContexts(try Self.context(0, client: .required))
            let (words, link, error) = try Self.serve(
                contexts, ["-cert", leaf.certificateFiles[0], "-key", leaf.keyFile])
            #expect(error == nil, "\(words)")
            #expect(link.session.peerIdentity?.commonName == "laptop")
            #expect(link.session.peerChain.count == 2)
        }

        @Test("new certificates do not touch a session that is open")
        func rotation() throws {
            let client = try TLSContext(.foreignServer(trust: try Fixture.trust()))
            var contexts = try TLSServerContexts(try Self.context(0))
            let pair = Pair(
                try TLSSession(
                    context: client, serverName: "www.example.test",
                    expecting: .foreignServer(host: "www.example.test")), try TLSSession(contexts: contexts))
            let first = pair.connect()
            #expect(first.client.error == nil && first.server.error == nil)
            contexts = try TLSServerContexts(try Self.context(3))
            let next = Pair(
                try TLSSession(
                    context: client, serverName: "fallback.test", expecting: .foreignServer(host: "fallback.test")),
                try TLSSession(contexts: contexts))
            let second = next.connect()
            #expect(second.client.error == nil && second.server.error == nil)
            #expect(write(Array("still here".utf8), to: pair.client) == nil)
            #expect(transfer(from: pair.client, to: pair.server).bytes == Array("still here".utf8))
            #expect(Self.name(pair.server.context) == "www.example.test")
            #expect(Self.name(next.server.context) == "fallback.test")
        }

        @Test("a foreign server must have the name, and its reason and hint fit")
        func foreignServer() throws {
            let client = try TLSContext(.foreignServer(trust: try Fixture.trust()))
            func outcome(_ host: String, _ contexts: TLSServerContexts, _ context: TLSContext? = nil) throws
                -> TLSError?
            {
                Pair(
                    try TLSSession(context: context ?? client, expecting: .foreignServer(host: host)),
                    try TLSSession(contexts: contexts)
                ).connect().client.error
            }
            let contexts = try TLSServerContexts(try Self.context(1))
            #expect(try outcome("a.apps.example.test", contexts) == nil)
            let wrong = try outcome("www.example.test", contexts)
            #expect(wrong?.certificate?.reason == .wrongName)
            #expect(wrong?.hint.contains("openssl s_client -connect www.example.test:PORT") == true)
            // Self-signed as `openssl req -x509` makes it, trusted by itself: a CA's certificate and no node's.
            let own = try Authority(
                name: "plain", usage: "keyCertSign,digitalSignature", extra: ["subjectAltName=DNS:plain.test"])
            let leaf = Leaf(certificateFiles: [own.certificateFile], keyFile: own.keyFile)
            let plain = try TLSServerContexts(try TLSContext(.edge(try leaf.credentials())))
            let trusting = try TLSContext(.foreignServer(trust: try own.trust()))
            #expect(try outcome("plain.test", plain, trusting) == nil)
            #expect(try outcome("other.test", plain, trusting)?.certificate?.reason == .wrongName)
            #expect(try outcome("plain.test", plain)?.certificate?.reason == .selfSigned)
        }

        /// One connection of `openssl s_client`: what it said, our end, our error.
        private static func serve(
            _ contexts: TLSServerContexts, _ options: [String]
        ) throws -> (String, Loopback, TLSError?) {
            let listener = try Listener()
            let program = try OpenSSLProgram(
                ["s_client", "-connect", "127.0.0.1:\(listener.port)", "-alpn", "h2,http/1.1"] + options)
            let link = Loopback(try TLSSession(contexts: contexts), socket: try listener.accept())
            let error = link.connect()
            if error == nil {
                _ = link.send(Array("welcome\n".utf8))
                link.session.shutdown()
            }
            link.flush()
            program.endInput()
            return (program.lastWords(), link, error)
        }
    }
}
