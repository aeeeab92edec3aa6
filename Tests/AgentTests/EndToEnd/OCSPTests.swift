import Foundation
import JSON
import PKI
import TestPrograms
import Testing

extension EndToEnd {
    /// OCSP at running agents: staples of both listeners, and questions about peers.
    @Suite struct OCSP {
        /// What `openssl s_client -status` sees at an address.
        private static func staple(_ address: String, _ mesh: TestMesh, _ node: TestNode) throws -> String {
            let command = ["openssl", "s_client", "-status", "-connect", address]
            return try runProgram(
                ["timeout", "20"] + command
                    + [
                        "-CAfile", mesh.directory + "/ca.crt", "-cert", node.directory + "/node.crt", "-key",
                        node.directory + "/node.key",
                    ]
            ).output
        }

        private static let good = "Cert Status: good"

        /// Each listener staples what was fetched for its certificate; an agent that starts anew staples at once, while the
        /// responder is down; and what dials sees it.
        @Test func stapledOnBothListenersAndAfterARestart() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                responder.answers(key.byProgram)
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "certificates": [
                            [
                                "certificate": .string(mesh.directory + "/edge.crt"),
                                "key": .string(mesh.directory + "/edge.key"), "ocspResponder": .string(responder.url),
                            ]
                        ]
                    ]
                ) { node in
                    node.set("ocsp.responder", .string(responder.url))
                    try key.register.set(node.directory + "/node.crt", .good)
                    try key.register.set(mesh.directory + "/edge.crt", .good)
                }
                let node = edge.edge
                try node.waitFor("ocsp_stapled") { $0["use"] == "identity" && $0["name"] == "Edge" }
                try node.waitFor("ocsp_stapled") { $0["use"] == "edge" && $0["name"] == edge.address }
                for address in [node.meshAddress, edge.address] {
                    let text = try Self.staple(address, mesh, edge.server)
                    try demand(text.contains(Self.good), "\(address): \(text)")
                }
                let metrics = try node.exposition()
                for name in ["mesh_ocsp_stapled", "mesh_ocsp_staple_next_update_timestamp_seconds"] {
                    try demand(metrics.contains("\(name){use=\"edge\""), "\(name) in \(metrics)")
                }
                try demandEqual(try node.metric("mesh_ocsp_queries_total{use=\"staple\",result=\"good\"}"), 2)

                responder.goDown()
                try node.stop()
                try node.start()
                try node.waitReady()
                for address in [node.meshAddress, edge.address] {
                    let text = try Self.staple(address, mesh, edge.server)
                    try demand(text.contains(Self.good), "after the restart, \(address): \(text)")
                }
                try node.waitFor("ocsp_fetch_failed", skipping: 1)
                try edge.server.waitLinked(to: node)
                try Deadline.until("the dialler saw the staple") {
                    try edge.server.metric("mesh_ocsp_staple_reviews_total{result=\"good\"}") ?? 0 >= 1
                }
            }
        }

        /// A stored response that somebody has put there proves nothing.
        @Test func aForgedStoredStapleIsNotUsed() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                let forged = try ResponderKey(
                    mesh,
                    signedBy: try CertificateAuthority.createRoot(
                        name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil))))
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("ocsp.responder", .string(responder.url))
                }
                let subject = try key.subject(node.directory + "/node.crt")
                let directory = node.directory + "/state/ocsp"
                try FileManager.default.createDirectory(
                    atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                chmod(node.directory + "/state", 0o700)
                try Data(try forged.response(subject, until: 3600))
                    .write(to: URL(fileURLWithPath: "\(directory)/\(subject.key).der"))
                try mesh.start()
                try node.waitFor("ocsp_staple_unusable")
                let text = try Self.staple(node.meshAddress, mesh, node)
                try demand(text.contains("OCSP response: no response sent"), text)
            }
        }

        /// Staples are fetched anew before they end; when that fails, the old one is used up to its end and no longer.
        @Test func staplesAreRefreshedAndEnd() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("ocsp.responder", .string(responder.url))
                }
                let subject = try key.subject(node.directory + "/node.crt")
                responder.answers { _ in try key.response(subject, until: Int(Deadline.lifetime(10))) }
                try mesh.start()
                try node.waitFor("ocsp_stapled", skipping: 1)
                responder.answers { _ in [0x30, 0x00] }
                try node.waitFor("ocsp_fetch_failed") { $0["reason"] == "malformed" }
                try demandEqual(
                    try node.metric(
                        "mesh_ocsp_stapled{use=\"identity\",name=\"Directory\",serial=\"\(subject.certificate.serialHex)\"}"
                    ), 1)
                try node.waitFor("ocsp_staple_expired")
                try demand(try !Self.staple(node.meshAddress, mesh, node).contains(Self.good), "the old one is gone")
                // One that is missing is asked for as often as one that is ending.
                try node.waitFor("ocsp_fetch_failed") { $0["validUntil"] == nil }
                responder.answers { _ in try key.response(subject, until: 3600) }
                try node.waitFor("ocsp_stapled", skipping: 2)
            }
        }

        /// A node whose certificate demands a staple is refused by whoever dials it, until it has one.
        @Test func mustStaple() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("ocsp.responder", .string(responder.url))
                }
                let demanding = try key.register.issue(
                    "Directory",
                    extensions: [
                        "tlsfeature=status_request", "extendedKeyUsage=serverAuth,clientAuth",
                        "subjectAltName=URI:spiffe://\(TestMesh.trustDomain)/node/Directory",
                        "keyUsage=critical,digitalSignature",
                    ], options: ["-days", "2"])
                for (from, to) in [(demanding.certificate, "node.crt"), (demanding.key, "node.key")] {
                    let target = directory.directory + "/" + to
                    try? FileManager.default.removeItem(atPath: target)
                    try FileManager.default.copyItem(atPath: from, toPath: target)
                    chmod(target, 0o600)
                }
                let alpha = try mesh.node("Alpha")
                try directory.start()
                try directory.waitReady()
                try alpha.start()
                let refused = try alpha.waitFor("dial_failed") { $0["reason"] == "staple_missing" }
                try demand(refused["hint"]?.contains("ocsp.staple") == true, "\(refused)")
                try demand(
                    try alpha.metric("mesh_ocsp_staple_reviews_total{result=\"staple_missing\"}") ?? 0 >= 1, "counted")
                let subject = try key.subject(directory.directory + "/node.crt")
                responder.answers { _ in try key.response(subject, until: 3600) }
                try directory.waitFor("ocsp_stapled")
                try alpha.waitLinked(to: directory)
            }
        }

        // MARK: - Questions about peers

        /// The responder's state of each node; the listener asks about those that dial.
        private static func asking(
            _ mesh: TestMesh, _ mode: String, _ configure: (TestNode) -> Void = { _ in }
        ) throws -> (directory: TestNode, responder: TestResponder, key: ResponderKey) {
            let responder = try TestResponder(mesh)
            let key = try ResponderKey(mesh)
            let directory = try mesh.node("Directory", directory: true) { node in
                node.set("ocsp.responder", .string(responder.url))
                node.set("ocsp.staple", false)
                node.set("ocsp.peers", .string(mode))
                node.set("ocsp.timeout", "10s")
                configure(node)
            }
            return (directory, responder, key)
        }

        /// Good, revoked and unknown, from the index of `openssl ca`, softly and hard; each is asked for once.
        @Test(arguments: ["soft", "hard"])
        func statesOfPeers(_ mode: String) throws {
            try withMesh("statesOfPeers \(mode)") { mesh in
                let (directory, responder, key) = try Self.asking(mesh, mode)
                responder.answers(key.byProgram)
                let nodes = try ["Alpha", "Beta", "Gamma"].map { try mesh.node($0) }
                try key.register.set(nodes[0].directory + "/node.crt", .good)
                try key.register.set(nodes[1].directory + "/node.crt", .revoked("keyCompromise"))
                for node in mesh.nodes { try node.start() }
                try directory.waitReady()
                try directory.waitLinked(to: nodes[0])
                try directory.waitFor("ocsp_revoked") { $0["reason"] == "keyCompromise" }
                try directory.waitFor("handshake_failed") { $0["reason"] == "identity_revoked" }
                try nodes[1].waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                if mode == "soft" {
                    try directory.waitLinked(to: nodes[2])
                } else {
                    try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
                    try demandEqual(try directory.isLinked(to: nodes[2]), false)
                }
                try demandEqual(try directory.isLinked(to: nodes[1]), false)
                try demandEqual(try directory.metric("mesh_ocsp_revoked"), 1)
                try demandEqual(try directory.metric("mesh_ocsp_checks_total{source=\"responder\",result=\"good\"}"), 1)
                try demandEqual(try directory.metric("mesh_ocsp_queries_total{use=\"peer\",result=\"good\"}"), 1)
                // A new link of Alpha's is answered from what is known.
                nodes[0].kill()
                try nodes[0].start()
                try Deadline.until("answered from the cache") {
                    try directory.metric("mesh_ocsp_checks_total{source=\"cache\",result=\"good\"}") ?? 0 >= 1
                }
                try demandEqual(try directory.metric("mesh_ocsp_queries_total{use=\"peer\",result=\"good\"}"), 1)
            }
        }

        /// A responder that says nothing of use, to each node in another way: nobody is let in, and the log says why. Softly,
        /// nobody is kept out.
        @Test func uselessResponders() throws {
            try withMesh { mesh in
                let (directory, responder, key) = try Self.asking(mesh, "hard")
                let stranger = try CertificateAuthority.createRoot(
                    name: "Stranger", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                let double = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                let (theirs, forged) = (
                    try ResponderKey(mesh, signedBy: stranger), try ResponderKey(mesh, signedBy: double)
                )
                let other = try key.subject(directory.directory + "/node.crt")
                let answers: [(node: String, reason: String, answer: @Sendable (OCSPSubject) throws -> [UInt8]?)] = [
                    ("Down", "unreachable", { _ in nil }),
                    ("Garbage", "malformed", { _ in Array("no".utf8) }),
                    ("Stranger", "unauthorized_signer", { try theirs.response($0, until: 60) }),
                    ("Forged", "bad_signature", { try forged.response($0, until: 60) }),
                    ("Other", "wrong_certificate", { _ in try key.response(other, until: 60) }),
                    ("Late", "expired", { try key.response($0, from: -7200, until: -3600) }),
                    ("Busy", "responder_error", { _ in [0x30, 0x03, 0x0A, 0x01, 0x03] }),
                    ("Endless", "unreachable", { _ in [UInt8](repeating: 0, count: 70_000) }),
                ]
                var byRequest: [[UInt8]: @Sendable () throws -> [UInt8]?] = [:]
                for (name, _, answer) in answers {
                    let subject = try key.subject(try mesh.node(name).directory + "/node.crt")
                    byRequest[try subject.request()] = { try answer(subject) }
                }
                responder.answers { [byRequest] request in try byRequest[request]?() }
                for node in mesh.nodes { try node.start() }
                try directory.waitReady()
                for (node, (name, reason, _)) in zip(mesh.nodes.dropFirst(), answers) {
                    let subject = try key.subject(node.directory + "/node.crt")
                    try directory.waitFor("ocsp_query_failed") {
                        $0["reason"] == reason && $0["serial"] == subject.certificate.serialHex
                    }
                    try node.waitFor("dial_failed") { $0["reason"] == "link_denied" }
                    try demandEqual(try directory.isLinked(to: node), false, name)
                }
                directory.set("ocsp.peers", "soft")
                try demandEqual(try directory.reload().status, 200)
                for node in mesh.nodes.dropFirst() { try directory.waitLinked(to: node) }
            }
        }

        /// A certificate that is revoked while its link lives: the next refresh notices, the link and its streams end, and no other
        /// comes. Taken back (a hold), it is let in again.
        @Test func revokedWhileLinked() throws {
            try withMesh { mesh in
                let (directory, responder, key) = try Self.asking(mesh, "soft")
                let alpha = try mesh.node("Alpha")
                let subject = try key.subject(alpha.directory + "/node.crt")
                responder.answers { _ in try key.response(subject, until: 4) }
                try mesh.start()
                try directory.waitLinked(to: alpha)
                responder.answers { _ in try key.response(subject, isRevoked: true, until: 6) }
                try directory.waitFor("ocsp_revoked") { $0["serial"] == subject.certificate.serialHex }
                try alpha.waitFor("link_lost") { $0["reason"] == "identity_revoked" }
                try alpha.waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                try demandEqual(try directory.isLinked(to: alpha), false)
                responder.answers { _ in try key.response(subject, until: 60) }
                try directory.waitLinked(to: alpha)
                try demandEqual(try directory.metric("mesh_ocsp_revoked"), 0)
            }
        }

        /// Who dials asks as well, where the peer staples nothing.
        @Test func diallersAsk() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                responder.answers(key.byProgram)
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha") { $0.set("ocsp.responder", .string(responder.url)) }
                try key.register.set(directory.directory + "/node.crt", .revoked("superseded"))
                for node in mesh.nodes { try node.start() }
                try alpha.waitFor("ocsp_revoked") { $0["reason"] == "superseded" }
                try alpha.waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                try demandEqual(try alpha.isLinked(to: directory), false)
            }
        }

        /// Gives a node a certificate of an intermediate of the mesh's CA.
        private static func issue(_ node: TestNode, by intermediate: CertificateAuthority) throws {
            try intermediate.issueCredentials(IssueRequest(node: node.name), now: Int64(time(nil)))
                .write(certificateFile: node.directory + "/node.crt", keyFile: node.directory + "/node.key")
        }

        /// An intermediate is asked about as well, at a responder of its own; when it is revoked, everybody below it is.
        @Test func intermediates() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                let intermediate = try mesh.authority.createIntermediate(name: "Below", now: Int64(time(nil)))
                let subject = OCSPSubject(intermediate.certificate, issuer: mesh.authority.certificate)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("ocsp.staple", false)
                    node.set("ocsp.intermediates.responder", .string(responder.url))
                    node.set("ocsp.timeout", "10s")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try Self.issue(beta, by: intermediate)
                responder.answers { _ in try key.response(subject, until: 4) }
                try mesh.start()
                try directory.waitLinked(to: alpha)
                try directory.waitLinked(to: beta)
                try Deadline.until("the intermediate was asked about") { responder.count >= 1 }
                responder.answers { _ in try key.response(subject, isRevoked: true, until: 3600) }
                try directory.waitFor("ocsp_revoked") { $0["subject"]?.contains("Below") == true }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try beta.waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                try demandEqual(try directory.isLinked(to: alpha), true)
                try demandEqual(try directory.metric("mesh_ocsp_revoked"), 1)
            }
        }

        /// Under `hard`, a responder that says nothing of the intermediate keeps everybody out below it, and nobody else.
        @Test func hardIntermediates() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let intermediate = try mesh.authority.createIntermediate(name: "Below", now: Int64(time(nil)))
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("ocsp.staple", false)
                    node.set("ocsp.intermediates.mode", "hard")
                    node.set("ocsp.intermediates.responder", .string(responder.url))
                    node.set("ocsp.timeout", "10s")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try Self.issue(beta, by: intermediate)
                for node in mesh.nodes { try node.start() }
                try directory.waitReady()
                try directory.waitLinked(to: alpha)
                try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
                try demandEqual(try directory.isLinked(to: beta), false)
                directory.set("ocsp.intermediates.mode", "off")
                try demandEqual(try directory.reload().status, 200)
                try directory.waitLinked(to: beta)
            }
        }

        /// Responders that certificates name are not asked, unless their host is allowed.
        @Test func whatACertificateNamesIsNotAsked() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                responder.answers(key.byProgram)
                let directory = try mesh.node("Directory", directory: true) { $0.set("ocsp.staple", false) }
                let alpha = try mesh.node("Alpha")
                let named = try key.register.issue(
                    "Alpha",
                    extensions: [
                        "authorityInfoAccess=OCSP;URI:\(responder.url)", "extendedKeyUsage=serverAuth,clientAuth",
                        "subjectAltName=URI:spiffe://\(TestMesh.trustDomain)/node/Alpha",
                        "keyUsage=critical,digitalSignature",
                    ], options: ["-days", "2"])
                for (from, to) in [(named.certificate, "node.crt"), (named.key, "node.key")] {
                    let target = alpha.directory + "/" + to
                    try? FileManager.default.removeItem(atPath: target)
                    try FileManager.default.copyItem(atPath: from, toPath: target)
                    chmod(target, 0o600)
                }
                try key.register.set(alpha.directory + "/node.crt", .revoked("keyCompromise"))
                try mesh.start()
                try directory.waitLinked(to: alpha)
                try demandEqual(responder.count, 0)
                directory.set("ocsp.allowedHosts", ["\(mesh.network).250"])
                try demandEqual(try directory.reload().status, 200)
                alpha.kill()
                try alpha.start()
                try directory.waitFor("ocsp_revoked") { $0["responder"] == responder.url }
                try alpha.waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                // Alpha itself is not allowed anything, and says so.
                let check = try runProgram([
                    TestMesh.binaries + "/mesh-agent", "--config", alpha.configurationFile, "--check",
                ])
                try demand(check.output.contains("whose host is not in ocsp.allowedHosts"), check.output)
            }
        }

        /// `mesh cert check --ocsp` asks who is named, or who is given, and says what came of it.
        @Test func certCheckAsks() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                responder.answers(key.byProgram)
                let named = try key.register.issue(
                    "named", extensions: ["authorityInfoAccess=OCSP;URI:\(responder.url)"], options: ["-days", "90"])
                let bare = try key.register.issue("bare", options: ["-days", "90"])
                let unknown = try key.register.issue("unknown", options: ["-days", "90"])
                func check(_ file: String, _ more: String...) throws -> (status: Int32, json: JSONValue) {
                    let (status, output) = try runProgram(
                        [TestMesh.binaries + "/mesh", "cert", "check", file, "--json"] + more)
                    return (status, try JSONReader.parse(output))
                }
                func reasons(_ json: JSONValue) -> [String] {
                    (json["files"]?[0]?["faults"]?.array ?? []).compactMap { $0["reason"]?.string }
                }
                let ca = mesh.directory + "/ca.crt"
                try key.register.set(named.certificate, .good)
                try key.register.set(bare.certificate, .revoked("keyCompromise"))
                let good = try check(named.certificate, "--ocsp", "--ca", ca, "--for", "server")
                try demandEqual(good.json["files"]?[0]?["ocsp"]?[0]?["status"]?.string, "good")
                try demandEqual(good.json["reason"]?.string == "revocation_unknown", false, "\(good.json)")
                let revoked = try check(bare.certificate, "--ocsp-responder", responder.url, "--ca", ca)
                try demandEqual(revoked.json["files"]?[0]?["ocsp"]?[0]?["status"]?.string, "revoked")
                try demand(reasons(revoked.json).contains("revoked"), "\(revoked)")
                try demandEqual(revoked.status, 6)
                // Nobody is named; the issuer is not there; the responder does not know it, or is down.
                try demand(
                    try reasons(check(bare.certificate, "--ocsp", "--ca", ca).json).contains("revocation_unknown"),
                    "named")
                try demand(try reasons(check(named.certificate, "--ocsp").json) == ["revocation_unknown"], "issuer")
                try demand(
                    try reasons(check(unknown.certificate, "--ocsp-responder", responder.url, "--ca", ca).json)
                        .contains("revocation_unknown"), "unknown")
                responder.goDown()
                let down = try check(named.certificate, "--ocsp", "--ca", ca, "--for", "server")
                try demand(reasons(down.json).contains("revocation_unknown"), "\(down.json)")
                try demandEqual(try check(named.certificate).json["files"]?[0]?["ocsp"], nil)
            }
        }

        /// Clients of the edge, by the listener's own responder.
        @Test func clientsOfTheEdge() throws {
            try withMesh { mesh in
                let responder = try TestResponder(mesh)
                let key = try ResponderKey(mesh)
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "clientCertificates": [
                            "mode": "optional", "ca": .string(mesh.directory + "/ca.crt"),
                            "ocsp": ["mode": "hard", "responder": .string(responder.url)],
                        ]
                    ])
                func client(_ name: String) throws -> (Credentials, OCSPSubject) {
                    let credentials = try mesh.authority.issueCredentials(
                        IssueRequest(node: name), now: Int64(time(nil)))
                    return (credentials, OCSPSubject(credentials.leaf, issuer: mesh.authority.certificate))
                }
                func request(_ credentials: Credentials?) throws -> Int {
                    let end = try edge.connect(credentials: credentials)
                    defer { end.close() }
                    try end.sendRequest("GET", "/head", headers: [("Authorization", "Bearer \(try edge.token())")])
                    return try end.answer().status
                }
                let (good, about) = try client("good")
                responder.answers { _ in try key.response(about, until: 600) }
                try demandEqual(try request(good), 200)
                let (gone, aboutGone) = try client("gone")
                responder.answers { _ in try key.response(aboutGone, isRevoked: true, until: 600) }
                try demand(throws: { _ = try request(gone) }, "a revoked client gets in")
                let (unknown, _) = try client("unknown")
                responder.goDown()
                try demand(throws: { _ = try request(unknown) }, "hard means hard")
                try demandEqual(try request(good), 200)
                try demandEqual(try request(nil), 200)
                try Deadline.until("counted") {
                    try edge.edge.metric("mesh_edge_refusals_total{reason=\"certificate_revoked\"}") == 1
                        && edge.edge.metric("mesh_edge_refusals_total{reason=\"revocation_unknown\"}") == 1
                }
            }
        }
    }
}
