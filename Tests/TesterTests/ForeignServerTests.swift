import Foundation
import JSON
import Testing

/// Servers that are no nodes: `openssl s_server`, a plain port, nothing at all.
@Suite(.serialized)
struct ForeignServerTests {
    /// An `openssl s_server`, with the certificate of the node Directory where nothing else is said.
    private struct Server {
        let url: String
        let program: BackgroundProgram

        init(_ options: [String], certificate: String = "Directory") throws {
            let home = try TestAuthority.shared.get()
            let port = try freePort(on: "127.0.3.1")
            url = "wss://127.0.3.1:\(port)/mesh"
            program = try BackgroundProgram(
                Programs.openssl,
                [
                    "s_server", "-accept", "127.0.3.1:\(port)", "-cert", "\(certificate).crt", "-key",
                    "\(certificate).key",
                    "-CAfile", "ca.crt",
                ] + options, in: home.directory, readyAfter: "ACCEPT")
        }
    }

    private static let made = [
        "no_client_certificate", "foreign_ca", "foreign_ca_chain", "self_signed", "forged_chain",
    ]
    private static let issued = [
        "expired", "not_yet_valid", "wrong_usage", "no_usage", "two_spiffe_uris", "malformed_spiffe_id",
        "cn_contradicts_uri", "ambiguous_name", "foreign_trust_domain", "ca_as_leaf", "negative_serial", "weak_key",
    ]

    @Test func withoutClientVerificationEveryCertificateIsLetIn() throws {
        let server = try Server([])
        let run = try TesterRun.json(server.url, node: "Directory", caKey: true, ["--timeout", "2s"])
        #expect(run.code == 1)
        let failed = run.ids("failed")
        #expect(failed.isSuperset(of: Self.made + Self.issued), "\(run.output)")
        #expect(failed.contains("no_session_tickets"))
        #expect(run.verdict("server_chain") == "ok")
        #expect(run.verdict("tls13_offered") == "ok")
    }

    @Test func anHTTPServerThatAsksForNoCertificateIsFound() throws {
        let server = try Server(["-www"])
        let run = try TesterRun.json(server.url, node: "Directory", ["--timeout", "2s"])
        #expect(run.ids("failed").isSuperset(of: Self.made), "\(run.output)")
        #expect(run.answer("self_signed")?.contains("HTTP status") == true)
    }

    @Test func withOpenSSLsVerificationOnlyOurOwnChecksFail() throws {
        let server = try Server(["-Verify", "3", "-verify_return_error"])
        let run = try TesterRun.json(server.url, node: "Directory", caKey: true, ["--timeout", "2s"])
        #expect(run.code == 1)
        for id in [
            "no_client_certificate", "foreign_ca", "foreign_ca_chain", "self_signed", "expired", "not_yet_valid",
        ] {
            #expect(run.verdict(id) == "ok", "\(id): \(run.detail(id))")
        }
        // What OpenSSL does not look at.
        for id in [
            "forged_chain", "no_usage", "two_spiffe_uris", "cn_contradicts_uri", "negative_serial", "ca_as_leaf",
        ] {
            #expect(run.verdict(id) == "failed", "\(id): \(run.detail(id))")
        }
        #expect(run.verdict("good_certificate") == "ok")
        #expect(run.verdict("websocket_upgrade") == "failed")
    }

    @Test func tls12AloneIsFound() throws {
        let server = try Server(["-Verify", "3", "-verify_return_error", "-tls1_2"])
        let run = try TesterRun.json(server.url, node: "Directory", ["--timeout", "1s"])
        #expect(run.verdict("tls13_offered") == "failed")
        #expect(run.verdict("tls12_weak_suites_refused") == "failed")
        #expect(run.detail("tls12_weak_suites_refused").contains("CBC"))
        #expect(run.answer("no_client_certificate") == "alert handshake_failure")
        #expect(run.verdict("self_signed") == "ok")
    }

    @Test func oldVersionsAreFound() throws {
        let server = try Server(["-tls1", "-cipher", "ALL:@SECLEVEL=0"])
        let run = try TesterRun.json(server.url, as: nil, ["--timeout", "1s"])
        #expect(run.verdict("tls10_refused") == "failed", "\(run.output)")
        #expect(run.verdict("tls11_refused") == "ok")
        #expect(run.verdict("tls13_offered") == "failed")
    }

    @Test func anotherCAIsFound() throws {
        let server = try Server([])
        let home = try TestAuthority.shared.get()
        let other = try Process.run(
            Programs.openssl,
            arguments: [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                home.path("other.key"), "-out", home.path("other.crt"), "-subj", "/O=Tests/CN=test CA", "-addext",
                "keyUsage=critical,keyCertSign",
            ])
        other.waitUntilExit()
        let run = try TesterRun([server.url, "--ca", "other.crt", "--json", "--timeout", "2s"])
        #expect(run.verdict("server_chain") == "failed")
        #expect(run.verdict("server_name") == "skipped")
    }

    @Test func aPlainPortIsNamedAsSuch() throws {
        let home = try TestAuthority.shared.get()
        let port = try freePort(on: "127.0.3.1")
        let server = try BackgroundProgram(
            URL(fileURLWithPath: "/usr/bin/env"),
            ["python3", "-u", "-m", "http.server", "\(port)", "--bind", "127.0.3.1"], in: home.directory,
            readyAfter: "Serving")
        let run = try TesterRun.json("wss://127.0.3.1:\(port)/mesh")
        withExtendedLifetime(server) {}
        #expect(run.code == 1)
        #expect(run.ids("failed") == ["speaks_tls"])
        #expect(run.detail("speaks_tls").contains("plain text"))
    }

    /// 7443 for 7400: whoever tests the CA's port hears that, and not that it lets in everybody.
    @Test func theCAIsNotTakenForANode() throws {
        let server = try Server([], certificate: "service")
        let run = try TesterRun.json(server.url, ["--timeout", "2s"])
        #expect(run.code == 1)
        #expect(run.verdict("server_name") == "failed", "\(run.output)")
        #expect(run.detail("server_name").contains("ca.listen"))
        #expect(run.verdict("no_client_certificate") == "skipped")
    }

    @Test func nothingThere() throws {
        let port = try freePort(on: "127.0.3.1")
        let run = try TesterRun.json("wss://127.0.3.1:\(port)/mesh")
        #expect(run.code == 5)
        #expect(run.ids("failed") == ["tcp_reachable"])
        #expect(run.summary?["passed"]?.bool == false)
    }

    @Test func aNameWithoutAddress() throws {
        let run = try TesterRun.json("wss://no-such-host.invalid:7400/mesh", ["--timeout", "2s"])
        #expect(run.code == 5)
    }
}
