import Foundation
import Testing

/// `mesh connect --edge` against somebody else's edge.
@Suite struct ConnectEdgeTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
        #expect(try mesh(["cert", "dev"], in: workspace).status == 0)
        try workspace.write("tok.en.x\n", to: "token", mode: 0o600)
        try workspace.write("cmk_key\n", to: "key", mode: 0o600)
    }

    private func connect(
        _ edge: FakeEdge, _ service: String, _ more: [String] = ["--token-file", "token"], input: Data? = Data(),
        url: String? = nil, ca: String = "certs/localhost-ca.crt"
    ) throws -> Finished {
        try mesh(
            ["connect", "--edge", url ?? "https://localhost:\(edge.port)", "--ca-file", ca] + more + [service],
            input: input, in: workspace)
    }

    @Test func bytesGoBothWaysAndEachDirectionEnds() throws {
        let edge = try FakeEdge(workspace)
        let echoed = try connect(edge, "echo", input: Data("hello\n".utf8))
        #expect(echoed.status == 0 && echoed.text == "hello\n", "\(echoed.errors)")
        let bulk = Data((0..<(5 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) })
        let back = try connect(edge, "echo", input: bulk)
        #expect(back.status == 0 && back.output == bulk, "\(back.output.count) of \(bulk.count) bytes; \(back.errors)")
        // The answer comes after the end of our input.
        let counted = try connect(edge, "count", input: bulk)
        #expect(counted.status == 0 && counted.text == "\(bulk.count)\n", "\(counted.errors)")
        // By address: the certificate has it as an IP name.
        let address = try connect(edge, "echo", input: Data("x".utf8), url: "wss://127.0.0.1:\(edge.port)/")
        #expect(address.status == 0 && address.text == "x", "\(address.errors)")
        let plain = try FakeEdge(workspace, mode: .plain)
        let open = try connect(plain, "echo", input: Data("y".utf8), url: "http://127.0.0.1:\(plain.port)")
        #expect(open.status == 0 && open.text == "y", "\(open.errors)")
    }

    @Test func whoAsksStandsInTheRequest() throws {
        let edge = try FakeEdge(workspace)
        let bearer = try connect(edge, "who", url: "https://localhost:\(edge.port)/behind/a/path/")
        #expect(bearer.status == 0, "\(bearer.errors)")
        #expect(
            bearer.lines == [
                "/behind/a/path/v1/connect/who", "host=localhost:\(edge.port)", "authorization=Bearer tok.en.x",
            ])
        #expect(try connect(edge, "who", ["--token", "token"]).text.contains("Bearer tok.en.x"))
        #expect(try connect(edge, "who", ["--api-key-file", "key"]).lines.last == "x-api-key=cmk_key")
        #expect(try connect(edge, "who", []).lines.count == 2)
        let typed = try connect(edge, "who", ["--token-file", "-"], input: Data("fr.om.in\n".utf8))
        #expect(typed.lines.last == "authorization=Bearer fr.om.in")
        // Only the first line is the token; the rest is for the service.
        let rest = try connect(edge, "echo", ["--token-file", "-"], input: Data("fr.om.in\nrest".utf8))
        #expect(rest.text == "rest", "\(rest.errors)")
    }

    @Test func aProofIsMadeAndTheEdgesNonceAnswered() throws {
        #expect(try mesh(["token", "dpop", "--new", "--key", "dpop.key"], in: workspace).status == 0)
        let edge = try FakeEdge(workspace)
        let bound = ["--token-file", "token", "--dpop", "dpop.key"]
        let result = try connect(edge, "nonce", bound)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.text.contains("authorization=DPoP tok.en.x"))
        #expect(result.text.contains("\"htu\":\"https://localhost:\(edge.port)/v1/connect/nonce\""))
        #expect(result.text.contains("\"htm\":\"GET\"") && result.text.contains("\"ath\":"))
        // Without a key there is nothing to answer it with.
        let without = try connect(edge, "nonce")
        #expect(without.status == 3 && without.errors.contains("use_dpop_nonce"), "\(without.errors)")
    }

    @Test(arguments: [
        ("status-401", Int32(3), "the words of reason_401 (reason_401)", "mesh token inspect"),
        ("status-403", 3, "reason_403", "--as-node"), ("status-404", 4, "reason_404", "check the service's name"),
        ("status-429", 1, "reason_429", "try again in 7 seconds"), ("status-503", 5, "reason_503", "try again later"),
        ("status-426", 1, "reason_426", "proxy in between"),
        ("html", 5, "answered 502 and does not say why", "try again later"),
        ("silent-close", 5, "closed the connection without an answer", "log"),
        ("close-4401-token_expired", 3, "the token has expired or was revoked (token_expired)", "new token"),
        ("close-4403-access_withdrawn", 3, "the right to it was withdrawn (access_withdrawn)", "policy"),
        ("close-4429-rate_limited", 3, "there are too many (rate_limited)", "later"),
        ("close-1011-application_reset", 5, "broken off (application_reset)", "logs"),
        ("close-1001", 5, "the edge shuts down", "again"), ("cut", 5, "broken off", "logs"),
        ("text", 1, "it sent text", "version"),
    ]) func refusalsAndEndings(_ service: String, _ status: Int32, _ what: String, _ hint: String) throws {
        let edge = try FakeEdge(workspace)
        let result = try connect(edge, service)
        #expect(result.status == status, "\(result.errors)")
        #expect(result.errors.contains(what), "\(result.errors)")
        #expect(result.errors.contains("hint: ") && result.errors.contains(hint), "\(result.errors)")
        // What came before the end is not lost.
        if service.hasPrefix("close-") { #expect(result.text == "some") }
    }

    @Test func anOrderlyCloseOfTheEdgeIsTheEnd() throws {
        let edge = try FakeEdge(workspace)
        let result = try connect(edge, "close-1000")
        #expect(result.status == 0 && result.text == "some", "\(result.errors)")
    }

    @Test func certificatesAreRefusedWithWords() throws {
        let edge = try FakeEdge(workspace)
        #expect(try mesh(["cert", "dev", "--name", "other.test", "--dns", "other.test"], in: workspace).status == 0)
        let stranger = try connect(edge, "echo", ca: "certs/other.test-ca.crt")
        #expect(stranger.status == 6 && stranger.errors.contains("(unknown_ca)"), "\(stranger.errors)")
        #expect(stranger.errors.contains("--ca-file FILE"))
        let other = try FakeEdge(workspace, certificate: "certs/other.test")
        let wrong = try connect(other, "echo", ca: "certs/other.test-ca.crt")
        #expect(wrong.status == 6, "\(wrong.errors)")
        #expect(wrong.errors.contains("dialled the host \"localhost\", but the certificate is for other.test"))
        #expect(wrong.errors.contains("openssl s_client -connect localhost:PORT"))
        // A TLS 1.3 server tells only after the handshake that it wants a certificate.
        let strict = try FakeEdge(workspace, clientCA: "certs/localhost-ca.crt")
        let bare = try connect(strict, "echo")
        #expect(bare.status == 6 && bare.errors.contains("certificate_required"), "\(bare.errors)")
        #expect(bare.errors.contains("--certificate-file FILE --private-key-file FILE"))
    }

    @Test func aPortThatSpeaksPlainIsCalledThat() throws {
        for mode in [FakeEdge.Mode.plain, .greeting] {
            let edge = try FakeEdge(workspace, mode: mode)
            let result = try connect(edge, "echo", url: "wss://localhost:\(edge.port)")
            #expect(result.status == 5, "\(result.errors)")
            let words =
                mode == .greeting ? "speaks plain text on a port that was meant for TLS" : "localhost:\(edge.port)"
            #expect(result.errors.contains(words), "\(result.errors)")
        }
        // The other way round.
        let edge = try FakeEdge(workspace)
        let result = try connect(edge, "echo", url: "http://localhost:\(edge.port)")
        #expect(result.status != 0 && result.errors.contains("hint: "), "\(result.errors)")
        let listener = try FakeEdge(workspace, mode: .plain)
        let told = try connect(listener, "refuse-tls_required", url: "http://127.0.0.1:\(listener.port)/behind/")
        #expect(told.errors.contains("\nhint: write https://127.0.0.1:\(listener.port)/behind\n"), "\(told.errors)")
        let nobody = try mesh(
            ["connect", "--edge", "https://127.0.0.1:9", "--ca-file", "certs/localhost-ca.crt", "x"], in: workspace)
        #expect(nobody.status == 5 && nobody.errors.contains("cannot reach the edge"), "\(nobody.errors)")
    }

    @Test(arguments: [
        (["--edge", "edge.example", "x"], "write https://edge.example"),
        (["--edge", "ftp://edge.example", "x"], "no scheme of an edge"),
        (["--edge", "http://edge.example", "x"], "not encrypted"),
        (["--edge", "https://edge.example?x", "x"], "no URL of an edge"),
        (["--edge", "https://", "x"], "no URL of an edge"),
        (["--edge", "https://edge.example", "--as", "web", "x"], "--as"),
        (["--edge", "https://edge.example", "--node", "n", "x"], "--node"),
        (["--edge", "https://edge.example", "--token", "t", "--token-file", "t", "x"], "--token"),
        (["--edge", "https://edge.example", "--token", "token", "--api-key-file", "key", "x"], "--api-key-file"),
        (["--edge", "https://edge.example", "--dpop", "k", "x"], "needs a token"),
        (["--edge", "https://edge.example", "--api-key-file", "key", "--dpop", "k", "x"], "--dpop is for tokens"),
        (["--edge", "https://edge.example", "--certificate-file", "c", "x"], "belong together"),
        (["--token-file", "token", "x"], "--edge https://HOST"), (["--edge", "https://edge.example", "a b"], "name"),
    ]) func whatMakesNoSenseIsRefused(_ arguments: [String], _ part: String) throws {
        let result = try mesh(["connect"] + arguments, in: workspace)
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.errors.contains(part), "\(result.errors)")
    }

    @Test func filesThatAreWrong() throws {
        let edge = try FakeEdge(workspace)
        try workspace.write("cmk_key\n", to: "loose", mode: 0o644)
        try workspace.write("\n", to: "empty")
        // The first word of whatever file is no credential, and stays here.
        try workspace.write("ef3b68aa\n", to: "passphrase", mode: 0o600)
        for more in [["--token-file", "passphrase"], ["--api-key-file", "passphrase"]] {
            let result = try connect(edge, "who", more)
            #expect(result.status == 6 && result.errors.contains("nothing was sent"), "\(result.errors)")
            #expect(!result.errors.contains("ef3b68aa") && result.lines.isEmpty, "\(result.errors)")
        }
        for (more, part) in [
            (["--token-file", "nowhere"], "no such file"), (["--token-file", "empty"], "holds no token"),
            (["--api-key-file", "loose"], "chmod 600"),
            (["--token-file", "token", "--dpop", "nowhere"], "mesh token dpop --new"),
        ] {
            let result = try connect(edge, "echo", more)
            #expect(result.status != 0 && result.errors.contains(part), "\(result.errors)")
        }
        let ca = try connect(edge, "echo", ca: "nowhere")
        #expect(ca.status == 4 && ca.errors.contains("nowhere"), "\(ca.errors)")
    }
}
