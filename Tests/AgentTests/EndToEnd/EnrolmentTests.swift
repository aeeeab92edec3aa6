import Bytes
import Documents
import Enrolment
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Enrolment {
        /// Three agents, of which no one has a certificate at the beginning, under a umask that protects nothing.
        @Test func aMeshGrowsFromTokensAlone() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.identity("shop", of: "Client")
                mesh.policy.connect("service:shop", to: "echo")
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                var upstream = ""
                let client = try mesh.node("Client") {
                    $0.joinsByToken()
                    upstream = $0.upstream("echo", as: "shop", port: 8001)
                }
                let server = try mesh.node("Server") {
                    $0.joinsByToken()
                    $0.offer("echo", service.address)
                }
                for node in mesh.nodes { node.prefix = ["sh", "-c", "umask 000; exec \"$@\"", "sh"] }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Server", in: server.tokenFile, ["--dns", "server.test", "--ip", "192.0.2.9"])
                try ca.createToken(for: "Client", in: client.tokenFile)
                for node in [client, server] { try node.start() }
                for node in [client, server] { try node.waitReady() }
                try client.waitInstances(of: "echo", at: ["Server"])
                try Wire(upstream).echo()

                let leaf = try Certificate.load(file: server.identityDirectory + "/node.crt")[0]
                try demandEqual(leaf.spiffeURIs, ["spiffe://\(TestMesh.trustDomain)/node/Server"])
                try demandEqual(leaf.dnsNames, ["server.test"])
                try demandEqual(leaf.ipAddresses, ["192.0.2.9"])
                try modes(ca, ["ca.sqlite": 0o600])
                for node in [ca, client, server] {
                    try modes(
                        node,
                        ["": 0o700, "identity": 0o700, "identity/node.key": 0o600, "identity/node.crt": 0o644])
                }
                try demandEqual(try ca.metric("mesh_ca_requests_total{kind=\"join\",result=\"issued\"}"), 2)
                try demandEqual(try ca.metric("mesh_ca_nodes"), 3)
                try demandEqual(try ca.metric("mesh_ca_open_tokens"), 0)
                // The private half of a token, and the passphrase, are nowhere to be found afterwards.
                let token = try String(contentsOfFile: server.tokenFile, encoding: .utf8)
                for node in mesh.nodes {
                    try demand(!(try node.running().output.contains(token.dropLast())), "a token in \(node.name)'s log")
                }
                let environment = try String(
                    decoding: Data(contentsOf: URL(fileURLWithPath: "/proc/\(try ca.running().pid)/environ")),
                    as: UTF8.self)
                try demand(!environment.contains("correct horse"), "the passphrase is in the environment")
            }
        }

        private func modes(_ node: TestNode, _ expected: [String: Int]) throws {
            for (file, mode) in expected {
                let path = "\(node.directory)/state/\(file)"
                let found = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                try demandEqual(found, mode, path)
            }
        }

        @Test func everyAbuseIsRefusedForItsOwnReason() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                func token(_ name: String, _ more: [String] = []) throws -> (file: String, token: JoinToken) {
                    let file = "\(mesh.directory)/\(UUID().uuidString)"
                    try ca.createToken(for: name, in: file, more)
                    return (file, try JoinToken(parsing: Array(Data(contentsOf: URL(fileURLWithPath: file)))))
                }
                func request(_ name: String) throws -> (key: PrivateKey, der: [UInt8]) {
                    let key = try PrivateKey.generate()
                    return (key, try CertificateSigningRequest.make(node: name, key: key).der)
                }

                // Used: the same directory asks again with its key, another one cannot.
                let used = try token("a")
                let out = mesh.directory + "/joined"
                try demandEqual(try ca.join(used.file, out: out).status, 0)
                let again = try ca.join(used.file)
                try demandEqual(again.reason, "token_used", again.output)
                try demandEqual(again.status, 3)

                // Two at once: one of them.
                let contested = try token("b")
                let both = (0..<2).map { index in
                    let arguments = ["join", "--json", "--token-file", contested.file, "--out", "\(out)-\(index)"]
                    return Background {
                        let run = try runProgram([TestMesh.binaries + "/mesh"] + arguments)
                        return CommandResult(status: run.status, output: run.output)
                    }
                }
                let outcomes = try both.map { try $0.value(within: 30) }
                try demandEqual(outcomes.map { $0.reason ?? "joined" }.sorted(), ["joined", "token_used"])

                // Expired, withdrawn.
                let short = try token("c", ["--ttl", "1s"])
                Thread.sleep(forTimeInterval: 1.1)
                try demandEqual(try ca.join(short.file).reason, "token_expired")
                let withdrawn = try token("c")
                try demandEqual(try ca.mesh(["ca", "token", "withdraw", withdrawn.token.key.id]).status, 0)
                try demandEqual(try ca.join(withdrawn.file).reason, "unknown_token")

                // Another node's name, and a request whose signature is not its key's.
                let open = try token("d")
                let other = try request("e")
                try demandEqual(try joinReason(open.token, key: other.key, request: other.der), "wrong_node")
                var forged = try request("d")
                forged.der[forged.der.count - 1] ^= 1
                try demandEqual(try joinReason(open.token, key: forged.key, request: forged.der), "bad_csr")
                // More names than were granted, in a request of another tool.
                let wishes = ["DNS:db.test", "URI:spiffe://\(TestMesh.trustDomain)/node/e"]
                for (wish, reason) in zip(wishes, ["names_not_granted", "wrong_node"]) {
                    let greedy = try request("d")
                    let (keyFile, requestFile) = (mesh.directory + "/greedy.key", mesh.directory + "/greedy.der")
                    try greedy.key.write(to: keyFile)
                    let made = try runProgram([
                        "/usr/bin/openssl", "req", "-new", "-key", keyFile, "-subj", "/CN=d", "-addext",
                        "subjectAltName=\(wish)", "-outform", "DER", "-out", requestFile,
                    ])
                    try demandEqual(made.status, 0, made.output)
                    let der = [UInt8](try Data(contentsOf: URL(fileURLWithPath: requestFile)))
                    try demandEqual(try joinReason(open.token, key: greedy.key, request: der), reason, wish)
                }
                // What was refused did not use the token up.
                let good = try request("d")
                try demandEqual(try joinReason(open.token, key: good.key, request: good.der), nil)
                // The same key may ask again.
                try demandEqual(try joinReason(open.token, key: good.key, request: good.der), nil)

                // Somebody who has seen the token's id, and no certificate or a stranger's for a renewal.
                func raw(_ path: String, _ body: JSONValue, _ more: [String] = []) throws -> String? {
                    let answer = try runProgram(
                        ["curl", "-sk", "--data", body.text(), "https://\(ca.host):7443/v1/\(path)"] + more)
                    return (try? JSONReader.parse(answer.output))?["reason"]?.string
                }
                let csr = JSONValue.string(Base64URL.encode(good.der))
                let signature = JSONValue.string(Base64URL.encode([UInt8](repeating: 7, count: 64)))
                let stolen: JSONValue = ["token": .string(open.token.key.id), "csr": csr, "signature": signature]
                try demandEqual(try raw("join", stolen), "bad_proof")
                try demandEqual(try raw("renew", ["csr": csr]), "not_authenticated")
                let stranger = DevelopmentCertificate.Files(directory: mesh.directory, name: "stranger")
                try mesh.authority.issueCredentials(IssueRequest(node: "f"), now: Int64(time(nil)))
                    .write(certificateFile: stranger.certificate, keyFile: stranger.key)
                let proof = ["--cert", stranger.certificate, "--key", stranger.key]
                try demandEqual(try raw("renew", ["csr": csr], proof), "unknown_node")

                // No token at all.
                try "mesh-join-1.nonsense".write(toFile: out + "/bad", atomically: true, encoding: .utf8)
                chmod(out + "/bad", 0o600)
                try demandEqual(try ca.join(out + "/bad").reason, "bad_token")
                // A file that others can read.
                chmod(open.file, 0o644)
                try demandEqual(try ca.join(open.file).reason, "key_readable_by_others")
                let refusals = ca.records.filter { $0.event == "enrolment_refused" }.compactMap { $0["reason"] }
                for reason in [
                    "token_used", "token_expired", "unknown_token", "wrong_node", "names_not_granted", "bad_csr",
                    "bad_proof",
                ] {
                    try demand(refusals.contains(reason), "\(reason) is not in the log: \(refusals)")
                    let count = try ca.metric("mesh_ca_requests_total{kind=\"join\",result=\"\(reason)\"}")
                    try demand((count ?? 0) >= 1, "\(reason) is not counted")
                }
                // Whoever goes on is not heard for a while.
                // Ten refusals are answered, and one more each six seconds.
                try Deadline.until("nobody hears it") {
                    try joinReason(withdrawn.token, key: good.key, request: good.der) == "rate_limited"
                }
                try demandEqual(ca.count("enrolment_rate_limited") > 0, true)
            }
        }

        /// Strangers at the address of a node that renews: neither their refusals nor their idle connections keep it out.
        @Test func strangersStarveNobody() throws {
            try withMesh { mesh in
                let (ca, node) = try mesh.joinedNode(ttl: "\(Deadline.lifetime(8))s")
                // Both are 127.0.0.1 to the CA.
                for _ in 0..<16 {
                    _ = try runProgram(["curl", "-sk", "--data", "{}", "https://\(ca.host):7443/v1/join"])
                }
                try ca.waitFor("enrolment_rate_limited")
                func renewals() throws -> Double {
                    try node.metric("mesh_identity_renewals_total{result=\"renewed\"}") ?? 0
                }
                let before = try renewals()
                try Deadline.until("it renews") { try renewals() >= before + 2 }
                try demandEqual(node.count("renewal_failed"), 0)
                // Idle connections of one source have a bound, and those there are end soon.
                let idle = try (0..<48).map { _ in try Wire("\(ca.host):7443") }
                let refused = #"mesh_ca_requests_total{kind="connect",result="too_many_of_source"}"#
                try Deadline.until("some are refused") { (try ca.metric(refused) ?? 0) >= 16 }
                for wire in idle { try demand(wire.receive() != .nothing, "an idle connection stays") }
                let later = try renewals()
                try Deadline.until("it renews again") { try renewals() >= later + 2 }
            }
        }

        /// Connections of many addresses that say nothing: what they cost goes with them, not with a sweep a second later.
        @Test func strangersLeaveNothing() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                func come(_ count: Int, as network: Int) throws {
                    var open: [Wire] = []
                    for index in 0..<count {
                        let source = "127.\(network).\(index / 250).\(index % 250 + 1)"
                        open.append(try Wire("\(ca.host):7443", from: source))
                        if open.count > 100 { open.removeFirst().abort() }
                    }
                }
                try come(300, as: 91)
                let before = try ca.running().residentBytes
                try come(6_000, as: 92)
                let grown = try ca.running().residentBytes - before
                try demandGrowth(grown, below: 16 << 20, "the CA's node")
            }
        }

        /// A new node knows who may sign, and what is revoked, before it meets anybody; a revoked one does not get in, and its
        /// token stays good.
        @Test func documentsComeWithTheCertificate() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                let node = try mesh.node("Node") { node in
                    node.joinsByToken()
                    // Nobody to learn it from.
                    node.set("directory.address", .string("\(mesh.network).99:7400"))
                }
                try ca.start()
                try ca.waitReady()
                try ca.take(operators.list)
                try ca.take(try operators.sign(.policy, 3, mesh.policy.text))
                let entry = RevocationEntry.Target.node("Node", validBefore: Int64(time(nil)) + 600)
                try ca.take(try operators.revocations(1, [entry]))
                try ca.createToken(for: "Node", in: node.tokenFile)
                let refused = try ca.join(node.tokenFile)
                try demandEqual(refused.reason, "revoked", refused.output)
                try ca.take(try operators.revocations(2, []))
                try node.start()
                for kind in ["operators", "revocations", "policy"] {
                    try node.waitFor("document_taken") { $0["from"] == "enrolment" && $0["kind"] == kind }
                }
                try Deadline.until("the agent says so") {
                    (try? node.documentVersion(.policy)) == 3 && (try? node.documentVersion(.revocations)) == 2
                }
                try demand(
                    !FileManager.default.fileExists(atPath: node.identityDirectory + "/node.crt.documents.json"),
                    "the file is left behind")
            }
        }

        @Test func nobodyElsePosesAsTheCA() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                let key = try PrivateKey.generate()
                let request = try CertificateSigningRequest.make(node: "a", key: key).der
                func impostor(_ authority: CertificateAuthority) throws -> String {
                    let files = DevelopmentCertificate.Files(
                        directory: mesh.directory, name: "impostor-\(UUID().uuidString.prefix(8))")
                    let credentials = try authority.issueCredentials(
                        IssueRequest(node: "Impostor"), now: Int64(time(nil)))
                    try Credentials(chain: credentials.chain + [authority.root], key: credentials.key)
                        .write(certificateFile: files.certificate, keyFile: files.key)
                    return "127.0.0.1:\(try TLSServer(mesh, certificate: files).port)"
                }
                let fingerprint = mesh.authority.root.fingerprintSHA256
                // A node of the mesh, with a good certificate of the right CA.
                let node = try JoinToken(address: impostor(mesh.authority), fingerprint: fingerprint, node: "a")
                try demandEqual(try joinReason(node, key: key, request: request), "not_the_ca")
                let agent = try mesh.node("a") { $0.joinsByToken() }
                try SafeFile.write(node.text(), to: agent.tokenFile, mode: 0o600)
                try agent.start()
                agent.expectEnd()
                try demand(try agent.running().wait(within: Deadline.patience) != 0, "the agent joined an impostor")
                let output = try agent.running().output
                try demand(output.contains("not_the_ca"), output)
                // A CA of the same name.
                let foreign = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                let stranger = try JoinToken(address: impostor(foreign), fingerprint: fingerprint, node: "a")
                try demandEqual(try joinReason(stranger, key: key, request: request), "wrong_ca")
                // The CA itself, under a token of another mesh.
                let elsewhere = try JoinToken(
                    address: "\(ca.host):7443", fingerprint: foreign.root.fingerprintSHA256, node: "a")
                try demandEqual(try joinReason(elsewhere, key: key, request: request), "wrong_ca")
                // Nobody.
                let nobody = try JoinToken(address: "\(ca.host):7444", fingerprint: fingerprint, node: "a")
                try demandEqual(try joinReason(nobody, key: key, request: request), "ca_unreachable")
            }
        }

        /// A token that nobody got, since its file could not be written, is not left open.
        @Test func aTokenThatIsNotWrittenIsWithdrawn() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                let file = mesh.directory + "/nosuchdir/o.token"
                let made = try ca.mesh(["ca", "token", "create", "--node", "a", "--out", file, "--json"])
                try demandEqual(made.status, 1, made.output)
                try demandEqual(made.reason, "unwritable_file", made.output)
                try demand(made.output.contains("the token was withdrawn"), made.output)
                try demandEqual(try ca.metric("mesh_ca_open_tokens"), 0)
                let list = try ca.mesh(["ca", "token", "list", "--json"])
                try demand(!list.output.contains("open"), list.output)
            }
        }

        @Test func onlyWhoMayAdministerMakesTokens() throws {
            try withMesh { mesh in
                mesh.policy.rules.removeAll { (rule: JSONValue) in rule["allow"]?.array?.first?.string == "administer" }
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                let made = try ca.mesh(["ca", "token", "create", "--node", "a", "--json"])
                try demandEqual(made.status, 3, made.output)
                try demandEqual(try ca.metric("mesh_ca_open_tokens"), 0)
            }
        }
    }
}
