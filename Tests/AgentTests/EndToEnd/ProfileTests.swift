import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Both listeners of an agent under each profile, seen by `sslscan` and by the `openssl` program.
    @Suite struct Profiles {
        /// What a profile lets through, line by line as docs/tls-profiles.md has it.
        struct Expectation: Sendable, CustomTestStringConvertible {
            let profile: String
            let hasTLS12: Bool
            let hasChaCha: Bool
            let hasX25519: Bool
            let hasEd25519: Bool

            var testDescription: String { profile }

            /// The same at the CA's listener, which speaks TLS 1.3 only.
            var atCA: Self {
                Self(
                    profile: profile, hasTLS12: false, hasChaCha: hasChaCha, hasX25519: hasX25519,
                    hasEd25519: hasEd25519)
            }

            /// What `sslscan` finds at a listener, `certificate` being ECDSA or RSA.
            func scan(_ certificate: String) -> Set<String> {
                var found: Set<String> = [
                    "TLSv1.3", "TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1.3 TLS_AES_256_GCM_SHA384",
                    "TLSv1.3 group secp256r1",
                    "TLSv1.3 group secp384r1",
                ]
                if hasChaCha { found.insert("TLSv1.3 TLS_CHACHA20_POLY1305_SHA256") }
                if hasX25519 { found.insert("TLSv1.3 group x25519") }
                guard hasTLS12 else { return found }
                found.insert("TLSv1.2")
                for suite in ["AES128-GCM-SHA256", "AES256-GCM-SHA384"] + (hasChaCha ? ["CHACHA20-POLY1305"] : []) {
                    found.insert("TLSv1.2 ECDHE-\(certificate)-\(suite)")
                }
                return found
            }
        }

        static let table = [
            Expectation(profile: "modern", hasTLS12: false, hasChaCha: true, hasX25519: true, hasEd25519: true),
            Expectation(profile: "intermediate", hasTLS12: true, hasChaCha: true, hasX25519: true, hasEd25519: true),
            Expectation(profile: "hipaa", hasTLS12: false, hasChaCha: false, hasX25519: false, hasEd25519: false),
            Expectation(profile: "pci-dss", hasTLS12: true, hasChaCha: true, hasX25519: true, hasEd25519: true),
        ]

        /// An attempt of the `openssl` program, and whether a profile lets it through.
        private static func attempts(_ expected: Expectation) -> [(options: [String], passes: Bool)] {
            let weak = ":@SECLEVEL=0"
            return [
                ([], true),
                (["-tls1_3"], true), (["-tls1_2"], expected.hasTLS12),
                (["-tls1_1", "-cipher", "ALL" + weak], false), (["-tls1", "-cipher", "ALL" + weak], false),
                // Authenticated encryption only, forward secrecy only.
                (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA" + weak], false),
                (["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384" + weak], false),
                (["-tls1_2", "-cipher", "AES128-GCM-SHA256" + weak], false),
                (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256" + weak], false),
                (["-tls1_2", "-cipher", "aNULL:eNULL" + weak], false),
                (["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], false),
                (["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"], false),
                (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM8" + weak], false),
                (["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], expected.hasChaCha),
                (["-tls1_2", "-cipher", "ECDHE+CHACHA20"], expected.hasTLS12 && expected.hasChaCha),
                // Groups.
                (["-groups", "P-256"], true), (["-groups", "P-384"], true),
                (["-groups", "X25519"], expected.hasX25519),
                (["-groups", "P-521"], false), (["-groups", "X448"], false),
                (["-tls1_3", "-groups", "ffdhe2048"], false),
                // SHA-1 in signatures.
                (["-tls1_2", "-sigalgs", "RSA+SHA1:ECDSA+SHA1", "-cipher", "ECDHE" + weak], false),
            ]
        }

        /// Clients' certificates beside the usual one, and whether a profile lets them through.
        private static func certificates(_ expected: Expectation) -> [(kind: OddCertificates.Kind, passes: Bool)] {
            [
                (.p384, true), (.rsa2048, true), (.rsa1024, false), (.sha1, false), (.ed25519, expected.hasEd25519),
                // The profiles without Ed25519 are those without P-521.
                (.p521, expected.hasEd25519),
            ]
        }

        @Test(arguments: table)
        func eachLineOfTheTable(_ expected: Expectation) throws {
            try withMesh { mesh in
                let node = try listeners(mesh, expected.profile) { try $0.serveCA() }
                let client = mesh.directory + "/client"
                let odd = OddCertificates(mesh: mesh)
                let others = try Self.certificates(expected).map { other in
                    (
                        files: try odd.make(other.kind, "Client", address: "\(mesh.network).1"), kind: other.kind,
                        passes: other.passes
                    )
                }
                for (port, certificate) in [(7400, "ECDSA"), (8443, "RSA"), (7443, "ECDSA")] {
                    let address = "\(node.host):\(port)"
                    let expected = port == 7443 ? expected.atCA : expected
                    try demandEqual(
                        try Self.scan(address, client), expected.scan(certificate), "\(expected.profile) at \(port)")
                    let attempts = Self.attempts(expected).map { attempt in
                        (attempt, Background { try Self.request(address, attempt.options + Self.files(client)) })
                    }
                    for ((options, passes), attempt) in attempts {
                        let said = try attempt.value()
                        try demandEqual(
                            said.contains("HTTP/1.1 4"), passes, "\(expected.profile) at \(port): \(options)")
                    }
                    // No tickets, so nothing to resume and no early data.
                    let said = try Self.request(address, Self.files(client), isQuiet: false)
                    try demand(said.contains("HTTP/1.1 4"), said)
                    try demand(!said.contains("New Session Ticket") && !said.contains("Max Early Data: 1"), said)
                    let bare = try Self.request(address, [])
                    if port == 7443 {
                        try demand(bare.contains("HTTP/1.1 4"), "who joins has no certificate yet: \(bare)")
                    } else {
                        try demand(!bare.contains("HTTP/1.1 4") && bare.contains("certificate required"), bare)
                    }
                    for other in others {
                        let weak = ["-tls1_3", "-cipher", "DEFAULT:@SECLEVEL=0"]
                        let said = try Self.request(address, weak + Self.files(other.files))
                        // Where none is required, a client whose certificate the other end does not take shows none.
                        let isHeldBack = port == 7443 && [.ed25519, .p521].contains(other.kind)
                        try demandEqual(
                            said.contains("HTTP/1.1 4"), other.passes || isHeldBack,
                            "a certificate \(other.kind) at \(port): \(said)"
                        )
                    }
                }
                try demandEqual(try node.metric("mesh_tls_profile_info{profile=\"\(expected.profile)\"}"), 1)
            }
        }

        @Test func choicesWithinAProfile() throws {
            try withMesh { mesh in
                let node = try listeners(mesh, "intermediate") { node in
                    node.set("tls.cipherSuites", ["TLS_AES_256_GCM_SHA384"])
                    node.set("tls.groups", ["P-384"])
                }
                let found = try Self.scan(node.meshAddress, mesh.directory + "/client")
                try demandEqual(found, ["TLSv1.3", "TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.3 group secp384r1"])
            }
        }

        /// Without the provider, which Debian does not ship, the profile is refused before anything is served.
        @Test func fipsWithoutItsProviderIsRefused() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { $0.set("tls.profile", "fips") }
                try node.writeFiles()
                let program = [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile]
                for arguments in [program, program + ["--check"]] {
                    let (status, output) = try runProgram(
                        arguments, environment: ["OPENSSL_MODULES": mesh.directory, "OPENSSL_CONF": "/dev/null"])
                    try demandEqual(status, 78)
                    try demand(output.contains("fips_unavailable") && output.contains("openssl fipsinstall"), output)
                    try demand(!output.contains("unsupported_key"), "nothing else is blamed: \(output)")
                }
                try demand(!FileManager.default.fileExists(atPath: node.controlPath), "nothing was served")
            }
        }

        /// Where `FIPS_MODULE` names a module and `FIPS_CONF` the configuration that `openssl fipsinstall` wrote.
        @Test(
            .enabled(if: ProcessInfo.processInfo.environment["FIPS_MODULE"] != nil, "needs FIPS_MODULE and FIPS_CONF"))
        func fipsWithItsProvider() throws {
            try withMesh { mesh in
                let given = ProcessInfo.processInfo.environment
                let expected = Expectation(
                    profile: "fips", hasTLS12: true, hasChaCha: false, hasX25519: false, hasEd25519: false)
                let module = (given["FIPS_MODULE"] ?? "") as NSString
                let node = try listeners(mesh, "fips") { node in
                    node.environment = [
                        "OPENSSL_MODULES": module.deletingLastPathComponent, "OPENSSL_CONF": given["FIPS_CONF"] ?? "",
                    ]
                }
                let client = mesh.directory + "/client"
                try demandEqual(try Self.scan(node.meshAddress, client), expected.scan("ECDSA"))
                try demandEqual(try Self.scan("\(node.host):8443", client), expected.scan("RSA"))
            }
        }

        // MARK: - Means

        /// An agent with both listeners under a profile, and a client's certificate in `client`.
        func listeners(
            _ mesh: TestMesh, _ profile: String, _ configure: (TestNode) throws -> Void = { _ in }
        ) throws -> TestNode {
            let now = Int64(time(nil))
            for (file, name, algorithm) in [
                ("client", "Client", KeyAlgorithm.p256), ("edge", "Listener", .rsa2048),
            ] {
                let address = "\(mesh.network).1"
                try mesh.authority.issueCredentials(
                    IssueRequest(node: name, ipAddresses: [address]), algorithm: algorithm, now: now
                ).write(
                    certificateFile: "\(mesh.directory)/\(file).crt", keyFile: "\(mesh.directory)/\(file).key")
            }
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("tls.profile", .string(profile))
                node.set(
                    "edge.listeners",
                    [
                        [
                            "address": .string("\(node.host):8443"), "profile": .string(profile),
                            "certificates": [
                                [
                                    "certificate": .string(mesh.directory + "/edge.crt"),
                                    "key": .string(mesh.directory + "/edge.key"),
                                ]
                            ],
                            "clientCertificates": ["mode": "required", "ca": .string(mesh.directory + "/ca.crt")],
                        ]
                    ])
                node.set("edge.routes", [["path": "/", "service": "web", "require": "none"]])
                try configure(node)
            }
            try mesh.start()
            return node
        }

        private static func files(_ client: String) -> [String] { ["-cert", client + ".crt", "-key", client + ".key"] }

        /// What comes back for an HTTP request over `openssl s_client`.
        private static func request(_ address: String, _ options: [String], isQuiet: Bool = true) throws -> String {
            let script = """
                printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | timeout 20 openssl s_client "$@"
                """
            let quiet = isQuiet ? ["-quiet"] : ["-ign_eof"]
            return try runProgram(["/bin/sh", "-c", script, "sh", "-connect", address] + quiet + options).output
        }

        /// Versions, suites and groups that `sslscan` finds; of TLS 1.2 it tries one group only.
        private static func scan(_ address: String, _ client: String) throws -> Set<String> {
            let output = try runProgram(
                ["sslscan", "--no-colour", "--timeout=20", "--certs=\(client).crt", "--pk=\(client).key", address]
            ).output
            var found: Set<String> = []
            for line in output.split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                if words.count == 2, words[1] == "enabled" { found.insert(words[0]) }
                if words.count > 4, words[0] == "Accepted" || words[0] == "Preferred" {
                    found.insert("\(words[1]) \(words[4])")
                }
                if words.count > 3, words[0] == "TLSv1.3", words[2] == "bits" {
                    found.insert("TLSv1.3 group \(words[3])")
                }
            }
            try demand(!found.isEmpty, output)
            return found
        }
    }
}
