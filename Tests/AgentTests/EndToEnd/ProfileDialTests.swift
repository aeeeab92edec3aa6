import Foundation
import JSON
import PKI
import Testing

extension EndToEnd.Profiles {
    /// A server that an agent dials, and whether a profile goes on with it.
    struct Dialled {
        let options: [String]
        var certificate = OddCertificates.Kind.p256
        let passes: Bool
    }

    /// What servers have, line by line as docs/tls-profiles.md has it.
    private static func servers(_ expected: Expectation) -> [Dialled] {
        let weak = ":@SECLEVEL=0"
        return [
            Dialled(options: [], passes: true),
            // Versions.
            Dialled(options: ["-tls1_3"], passes: true),
            Dialled(options: ["-tls1_2"], passes: expected.hasTLS12),
            Dialled(options: ["-tls1_1", "-cipher", "ALL" + weak], passes: false),
            // Suites.
            Dialled(options: ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], passes: true),
            Dialled(options: ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], passes: false),
            Dialled(options: ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], passes: false),
            Dialled(
                options: ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], passes: expected.hasChaCha),
            Dialled(
                options: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM8" + weak],
                passes: false),
            Dialled(options: ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA" + weak], passes: false),
            Dialled(
                options: ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
                passes: expected.hasTLS12 && expected.hasChaCha),
            Dialled(
                options: ["-tls1_2", "-cipher", "AES128-GCM-SHA256" + weak], certificate: .rsa2048, passes: false),
            Dialled(
                options: ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256" + weak], certificate: .rsa2048,
                passes: false),
            Dialled(options: ["-tls1_2", "-cipher", "aNULL" + weak], passes: false),
            // Groups.
            Dialled(options: ["-groups", "P-384"], passes: true),
            Dialled(options: ["-groups", "X25519"], passes: expected.hasX25519),
            Dialled(options: ["-groups", "P-521"], passes: false),
            Dialled(options: ["-groups", "X448"], passes: false),
            Dialled(options: ["-tls1_3", "-groups", "ffdhe2048"], passes: false),
            // Signatures, of the handshake and of certificates.
            Dialled(options: ["-tls1_2", "-sigalgs", "ECDSA+SHA1", "-cipher", "ECDHE" + weak], passes: false),
            Dialled(options: ["-cipher", "DEFAULT" + weak], certificate: .sha1, passes: false),
            // Keys.
            Dialled(options: [], certificate: .p384, passes: true),
            Dialled(options: [], certificate: .rsa2048, passes: true),
            Dialled(options: ["-cipher", "DEFAULT" + weak], certificate: .rsa1024, passes: false),
            Dialled(options: [], certificate: .ed25519, passes: expected.hasEd25519),
            // The profiles without Ed25519 are those without P-521.
            Dialled(options: ["-tls1_3"], certificate: .p521, passes: expected.hasEd25519),
        ]
    }

    /// The end that dials goes on with no less than its profile either.
    @Test(arguments: table)
    func serversThatOfferLess(_ expected: Expectation) throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            node.set("tls.profile", .string(expected.profile))
            for key in ["reconnectMin", "reconnectMax", "reconnectMaxPermanent"] { node.set("links.\(key)", "60s") }
            let odd = OddCertificates(mesh: mesh)
            let address = "\(mesh.network).2"
            let servers = Self.servers(expected)
            for (index, server) in servers.enumerated() {
                let name = "Peer\(index)"
                let files = try odd.make(server.certificate, name, address: address)
                let running = try OpenSSLServer(mesh, at: "\(address):\(7500 + index)", files: files, server.options)
                node.peers.append(["node": .string(name), "address": .string(running.address)])
            }
            try mesh.start()
            for (index, server) in servers.enumerated() {
                let told = try node.waitFor("dial_failed") { $0["node"] == "Peer\(index)" }
                // Behind a handshake that succeeded the page of `openssl s_server` is no answer of an agent.
                try demandEqual(
                    told["reason"] == "upgrade_refused", server.passes,
                    "\(expected.profile), \(server.certificate) \(server.options): \(told["reason"] ?? "") \(told["detail"] ?? "")"
                )
                if [.rsa1024, .sha1].contains(server.certificate) { try demandEqual(told["reason"], "weak_key") }
            }
        }
    }

    /// Servers of others are held to the profiles that answer to somebody else's rules: targets, and where keys and lists are fetched.
    @Test(arguments: [("modern", true), ("intermediate", true), ("hipaa", false), ("pci-dss", true)])
    func serversOfOthers(_ profile: String, hasTLS12: Bool) throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            node.set("tls.profile", .string(profile))
            let (address, odd) = ("\(mesh.network).2", OddCertificates(mesh: mesh))
            let files = try odd.make(.p256, "Server", address: address)
            let (old, new) = (
                try OpenSSLServer(mesh, at: "\(address):7501", files: files, ["-tls1_2"]),
                try OpenSSLServer(mesh, at: "\(address):7502", files: files, ["-tls1_3"])
            )
            let chacha = try OpenSSLServer(
                mesh, at: "\(address):7503", files: files,
                ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"])
            let check: JSONValue = ["kind": "tcp", "interval": "10s", "timeout": "10s", "failures": 1]
            func service(_ name: String, _ server: OpenSSLServer) -> JSONValue {
                [
                    "name": .string(name), "target": .string("tls://\(server.address)"), "check": check,
                    "tls": ["ca": .string(mesh.directory + "/ca.crt")],
                ]
            }
            node.services = [service("old", old), service("new", new), service("chacha", chacha)]
            let secret = mesh.directory + "/webhook.secret"
            try String(repeating: "0123456789abcdef", count: 4).write(toFile: secret, atomically: true, encoding: .utf8)
            chmod(secret, 0o600)
            node.set("audit.webhook.url", .string("https://\(old.address)/"))
            node.set("audit.webhook.secretFile", .string(secret))
            node.set("audit.webhook.ca", .string(mesh.directory + "/ca.crt"))
            node.set("trust.revocation.urls", .string("https://\(old.address)/list.crl"))
            node.set(
                "edge.listeners",
                [["address": .string("\(node.host):8080"), "tls": "disabled"]])
            node.set("edge.routes", [["path": "/", "service": "new"]])
            node.set(
                "edge.authentication.issuers",
                [
                    [
                        "issuer": "https://issuer.test", "audiences": ["a"],
                        "jwks": [
                            "url": .string("https://\(old.address)/keys"), "ca": .string(mesh.directory + "/ca.crt"),
                        ],
                    ]
                ])
            node.environment["SSL_CERT_FILE"] = mesh.directory + "/ca.crt"
            try mesh.start()
            // The page of `openssl s_server` is neither keys nor a list: only the handshake counts here.
            for event in ["edge_keys_failed", "crl_fetch_failed"] {
                let told = try node.waitFor(event)
                try demandEqual(
                    told["detail"]?.contains("TLS version") == true, !hasTLS12,
                    "\(event) under \(profile): \(told["detail"] ?? "")")
            }
            let unhealthy = Set((hasTLS12 ? [] : ["old"]) + (profile == "hipaa" ? ["chacha"] : []))
            for name in unhealthy { try node.waitFor("service_unhealthy") { $0["service"] == name } }
            try Deadline.until("everything was checked") {
                try node.metric("mesh_service_healthy{service=\"new\"}") ?? 1 == 1
            }
            try demandEqual(node.count("service_unhealthy") { $0["service"] == "new" }, 0)
            for name in Set(["old", "chacha"]).subtracting(unhealthy) {
                try demandEqual(node.count("service_unhealthy") { $0["service"] == name }, 0, name)
            }
        }
    }

    /// A CA that speaks a group which `hipaa` does not have: who is held to that does not get through, by agent or command.
    @Test func whoJoinsIsHeldToItsProfile() throws {
        try withMesh { mesh in
            let ca = try mesh.node("Directory", directory: true) {
                try $0.serveCA()
                $0.set("tls.groups", ["X25519"])
            }
            let late = try mesh.node("Late") {
                $0.joinsByToken()
                $0.set("tls.profile", "hipaa")
                $0.set("identity.join.patience", "1s")
            }
            try ca.start()
            try ca.waitReady()
            try ca.createToken(for: "Late", in: late.tokenFile)
            let (out, file) = (mesh.directory + "/joined", late.tokenFile)
            let refused = try ca.mesh(["join", "--token-file", file, "--out", out, "--profile", "hipaa"])
            try demand(refused.status != 0 && refused.output.contains("tls.groups"), refused.output)
            try late.start()
            late.expectEnd()
            try demandEqual(try late.running().wait(), 5, "the exit status: \(late.process?.output ?? "")")
            try late.waitFor("join_delayed") { $0["detail"]?.contains("nothing acceptable") == true }
            // The token was not used up by that.
            try demandEqual(try ca.join(file, out: out).status, 0)
            // Renewal goes the same way: with another profile after a reload of the CA everything is well.
            ca.set("tls.groups", .null)
            try demandEqual(try ca.reload().status, 200)
            try ca.createToken(for: "Late", in: late.tokenFile)
            try late.launch()
            try late.waitReady()
        }
    }
}
