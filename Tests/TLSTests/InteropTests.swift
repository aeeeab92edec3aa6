import PKI
import TLS
import Testing

extension TLSTests {
    /// Against the `openssl` program, which shares the library but none of our code.
    @Suite("With the openssl program")
    struct InteropTests {
        private static func files(_ leaf: Leaf) throws -> [String] {
            ["-cert", leaf.certificateFiles[0], "-key", leaf.keyFile, "-CAfile", try Fixture.authority.certificateFile]
        }

        /// Starts s_server and returns it with its port.
        private static func server(_ options: [String], leaf: Leaf? = nil) throws -> (OpenSSLProgram, UInt16) {
            let program = try OpenSSLProgram(
                ["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"] + files(try leaf ?? Fixture.leaf(.server))
                    + options)
            let line = program.said(until: "ACCEPT 127.0.0.1:")
            let rest = line.contains("\n") ? line : line + program.said(until: "\n")
            let digits = rest.split(separator: "ACCEPT 127.0.0.1:").last?.prefix { $0.isNumber } ?? ""
            guard let port = UInt16(digits) else { throw PreparationFailed(description: "no port in \(line)") }
            return (program, port)
        }

        @Test("a client of ours and s_server that demands certificates", arguments: [TLSVersion.tls12, .tls13])
        func client(version: TLSVersion) throws {
            let (program, port) = try Self.server(["-Verify", "3", "-verify_return_error", "-rev", "-alpn", "conduit"])
            let context = try Fixture.context(.client, version: version, alpn: ["conduit"])
            let link = Loopback(
                try TLSSession(
                    context: context, serverName: "beta.internal",
                    expecting: .nodeAtHost(node: "Beta", host: "beta.internal")),
                socket: try dial(port))
            #expect(link.connect() == nil)
            #expect(link.session.protocolVersion == version)
            #expect(link.session.alpn == "conduit")
            #expect(link.session.peerIdentity?.nodeName == "Beta")
            for _ in 0..<3 {
                #expect(link.send(Array("drawer\n".utf8)) == nil)
                #expect(link.read(7).bytes == Array("reward\n".utf8))
                _ = link.session.requestKeyUpdate()
            }
            link.session.shutdown()
            link.flush()
            withExtendedLifetime(program) {}
        }

        @Test(
            "tickets of a foreign server are swallowed, megabytes arrive whole, padded or not",
            arguments: [[], ["-record_padding", "4000"]])
        func bulk(padding: [String]) throws {
            let (program, port) = try Self.server(["-num_tickets", "5"] + padding)
            let link = Loopback(
                try TLSSession(context: Fixture.context(.client), expecting: .node("Beta")), socket: try dial(port))
            #expect(link.connect() == nil)
            let line = String(repeating: "0123456789abcde\n", count: 4096)
            for _ in 0..<16 {
                program.type(line)
                #expect(link.read(line.utf8.count).bytes == Array(line.utf8))
            }
        }

        @Test("s_server without our CA refuses us, and we know with what words")
        func refusedByServer() throws {
            let foreign = try Authority(name: "Somebody Else")
            let (program, port) = try Self.server(["-Verify", "3", "-verify_return_error", "-rev"])
            var configuration = try Fixture.configuration(.client, leaf: try foreign.leaf("Alpha"))
            configuration.alpn = []
            let link = Loopback(
                try TLSSession(context: try TLSContext(configuration), expecting: .node("Beta")), socket: try dial(port)
            )
            _ = link.connect()
            let error = link.read(1).error
            #expect(error?.code == .refusedByPeer)
            #expect(error?.alert == .unknownCA)
            withExtendedLifetime(program) {}
        }

        @Test("a server of ours and s_client", arguments: [TLSVersion.tls12, .tls13])
        func server(version: TLSVersion) throws {
            let listener = try Listener()
            let program = try OpenSSLProgram(
                [
                    "s_client", "-connect", "127.0.0.1:\(listener.port)", "-servername", "db.internal", "-alpn",
                    "http/1.1",
                    "-verify_return_error", "-ign_eof",
                ] + Self.files(try Fixture.leaf(.client)))
            let context = try Fixture.context(.server, version: version, alpn: ["http/1.1"])
            let link = Loopback(
                try TLSSession(context: context, expecting: .anyIdentity), socket: try listener.accept())
            #expect(link.connect() == nil)
            #expect(link.session.serverName == "db.internal")
            #expect(link.session.alpn == "http/1.1")
            #expect(link.session.peerIdentity?.nodeName == "Alpha")
            program.type("hello\n")
            #expect(link.read(6).bytes == Array("hello\n".utf8))
            // s_client answers a request of key update, and may ask for one itself ("K").
            #expect(link.send(Array("well done\n".utf8)) == nil)
            #expect(program.said(until: "well done").contains("well done"))
            link.session.shutdown()
            link.flush()
            #expect(link.read(1).isClean)
            let words = program.lastWords()
            #expect(!words.contains("New, TLSv1.3, Cipher is (NONE)"))
            #expect(!words.contains("Post-Handshake New Session Ticket"), "no tickets")
        }

        @Test("s_client may update its key and ask for ours")
        func peerUpdatesKeys() throws {
            let listener = try Listener()
            let program = try OpenSSLProgram(
                ["s_client", "-connect", "127.0.0.1:\(listener.port)"] + Self.files(try Fixture.leaf(.client)))
            let link = Loopback(
                try TLSSession(context: Fixture.context(.server), expecting: .anyIdentity),
                socket: try listener.accept())
            #expect(link.connect() == nil)
            _ = program.said(until: "Verify return code")
            // A command is only one at the start of what s_client reads in one go.
            program.type("k\n")
            _ = program.said(until: "KEYUPDATE")
            program.type("one\n")
            #expect(link.read(4).bytes == Array("one\n".utf8))
            program.type("K\n")
            _ = program.said(until: "KEYUPDATE")
            program.type("two\n")
            #expect(link.read(4).bytes == Array("two\n".utf8))
            #expect(link.send(Array("three\n".utf8)) == nil)
            #expect(program.said(until: "three").contains("three"))
            program.type("Q\n")
            #expect(link.read(1).isClean)
        }

        @Test("renegotiation is refused and the session goes on or ends, but never renegotiates")
        func renegotiation() throws {
            let listener = try Listener()
            let program = try OpenSSLProgram(
                ["s_client", "-connect", "127.0.0.1:\(listener.port)"] + Self.files(try Fixture.leaf(.client)))
            let link = Loopback(
                try TLSSession(context: Fixture.context(.server, version: .tls12), expecting: .anyIdentity),
                socket: try listener.accept())
            #expect(link.connect() == nil)
            _ = program.said(until: "Verify return code")
            program.type("R\n")
            let reading = link.read(1)
            #expect(reading.bytes.isEmpty)
            #expect(reading.error != nil || reading.isClean || reading.isTruncated)
            program.endInput()
            #expect(program.lastWords().contains("no renegotiation"))
        }

        @Test("s_client without a certificate is refused with certificate_required")
        func withoutCertificate() throws {
            let listener = try Listener()
            let program = try OpenSSLProgram(["s_client", "-connect", "127.0.0.1:\(listener.port)", "-ign_eof"])
            let link = Loopback(
                try TLSSession(context: Fixture.context(.server), expecting: .anyIdentity),
                socket: try listener.accept())
            let error = link.connect()
            #expect(error?.code == .certificateRefused)
            #expect(error?.certificate?.reason == .missingClientCertificate)
            link.flush()
            #expect(program.lastWords().contains("alert number 116"))
        }

        @Test("early data, tickets and compression are not on offer")
        func offers() throws {
            let listener = try Listener()
            let session = Authority.file(".sess")
            let program = try OpenSSLProgram(
                ["s_client", "-connect", "127.0.0.1:\(listener.port)", "-sess_out", session, "-ign_eof"]
                    + Self.files(try Fixture.leaf(.client)))
            let link = Loopback(
                try TLSSession(context: Fixture.context(.server), expecting: .anyIdentity),
                socket: try listener.accept())
            #expect(link.connect() == nil)
            link.session.shutdown()
            link.flush()
            let words = program.lastWords()
            #expect(words.contains("Compression: NONE"))
            #expect(words.contains("Early data was not sent"))
            #expect(!words.contains("TLS session ticket:"))
            #expect(words.contains("Secure Renegotiation IS NOT supported"), "TLS 1.3 has none")
        }
    }
}
