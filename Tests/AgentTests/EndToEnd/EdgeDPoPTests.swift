import Foundation
import JOSE
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Proof of possession through a running edge: nonces, replay, restarts, several edges.
    @Suite struct EdgeDPoP {
        private struct Client {
            let key: DPoPKey
            let token: String

            init(_ issuer: TokenIssuer, audience: String = "edge") throws {
                key = try DPoPKey(PrivateKey.generate(.p256))
                token = try issuer.issue(
                    TokenRequest(
                        subject: "alice", audiences: [audience], lifetime: 600,
                        dpopThumbprint: key.publicKey.thumbprint),
                    at: Int64(time(nil)), random: Self.random(TokenIssuer.randomBytes))
            }

            static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }

            func proof(_ url: String, method: String = "GET", nonce: String? = nil) throws -> String {
                try key.proof(
                    method: method, url: url, token: token, nonce: nonce, at: Int64(time(nil)),
                    random: Self.random(DPoPKey.randomBytes))
            }

            func fields(_ proof: String?) -> [(String, String)] {
                [("Authorization", "DPoP \(token)")] + (proof.map { [("DPoP", $0)] } ?? [])
            }
        }

        private static let url = "https://\(EdgeMesh.host)/head"

        @Test func aBoundTokenNeedsItsProofEveryTime() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh, listener: ["publicOrigin": .string("https://\(EdgeMesh.host)")])
                let client = try Client(edge.issuer)
                var asked = 100
                // Each time from another address: whoever fails too often has to wait.
                func ask(_ fields: [(String, String)]) throws -> Answer {
                    asked += 1
                    let end = try edge.connect(over: Wire(edge.address, from: "\(mesh.network).\(asked)"))
                    defer { end.close() }
                    try end.sendRequest("GET", "/head", headers: fields)
                    return try end.answer()
                }
                let bearer = try ask([("Authorization", "Bearer \(client.token)")])
                try demandEqual(bearer.reason, "dpop_scheme_required", bearer.text)
                try demandEqual(try ask(client.fields(nil)).reason, "missing_dpop_proof")
                let first = try ask(client.fields(try client.proof(Self.url)))
                try demandEqual(first.status, 401, first.text)
                try demandEqual(first.reason, "dpop_nonce_required", first.text)
                try demand(first.headers["www-authenticate"]?.contains("use_dpop_nonce") ?? false, "\(first.headers)")
                let nonce = first.headers["dpop-nonce"]
                try demand(nonce != nil, "\(first.headers)")
                let proof = try client.proof(Self.url, nonce: nonce)
                let good = try ask(client.fields(proof))
                try demandEqual(good.status, 200, good.text)
                try demandEqual(
                    WireReader.field("Conduit-Caller", good.text), "jwt:\(EdgeMesh.issuerName)/alice", good.text)
                try demand(!good.text.contains("DPoP"), "neither token nor proof reach the service: \(good.text)")
                // Once is once, on whichever worker the connection lives.
                for _ in 0..<4 { try demandEqual(try ask(client.fields(proof)).reason, "dpop_proof_replayed") }
                // For this request only, and by this key only.
                let other = try client.proof("https://\(EdgeMesh.host)/other", nonce: nonce)
                try demandEqual(try ask(client.fields(other)).reason, "dpop_wrong_url")
                let method = try client.proof(Self.url, method: "POST", nonce: nonce)
                try demandEqual(try ask(client.fields(method)).reason, "dpop_wrong_method")
                let thief = try Client(edge.issuer)
                let stolen = try thief.key.proof(
                    method: "GET", url: Self.url, token: client.token, nonce: nonce, at: Int64(time(nil)),
                    random: Client.random(DPoPKey.randomBytes))
                try demandEqual(try ask(client.fields(stolen)).reason, "dpop_wrong_key")
            }
        }

        /// Nonces of before a reload count, those of before a restart do not, whatever was used with them.
        @Test func reloadAndRestart() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh, listener: ["publicOrigin": .string("https://\(EdgeMesh.host)")]) {
                    $0.set("shutdown.drainTimeout", "300ms")
                }
                let client = try Client(edge.issuer)
                func ask(_ nonce: String?) throws -> Answer {
                    try edge.request("GET", "/head", headers: client.fields(try client.proof(Self.url, nonce: nonce)))
                }
                let nonce = try ask(nil).headers["dpop-nonce"]
                try demandEqual(try edge.edge.reload().status, 200, "reload")
                try demandEqual(try ask(nonce).status, 200, "after a reload")
                try demandEqual(try edge.edge.stop(), 0, "stop")
                try edge.edge.start()
                try edge.edge.waitReady()
                try edge.edge.waitInstances(of: "web", at: ["Server"])
                let stale = try ask(nonce)
                try demand(stale.status == 401 && stale.headers["dpop-nonce"] != nil, "\(stale.headers) \(stale.text)")
                try demandEqual(try ask(stale.headers["dpop-nonce"]).status, 200, "with a fresh nonce")
            }
        }

        /// Two fronts behind one address. Without a shared secret a nonce of the other one is nobody's; with one it is
        /// known, and counts where that is configured.
        @Test func severalEdgesBehindOneAddress() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let issuer = try TokenIssuer.make(name: EdgeMesh.issuerName)
                let (key, secret, weak) = (
                    "\(mesh.directory)/issuer.json", "\(mesh.directory)/nonce", "\(mesh.directory)/weak"
                )
                for (file, content) in [
                    (key, try issuer.fileText()), (secret, Client.random(32)), (weak, Client.random(31)),
                ] {
                    _ = FileManager.default.createFile(
                        atPath: file, contents: Data(content), attributes: [.posixPermissions: 0o600])
                }
                let common = [
                    "--to", "http://\(service.address)", "--certificate-file",
                    files.certificate, "--private-key-file", files.key, "--public-origin", "https://\(EdgeMesh.host)",
                    "--edge-authentication-local-issuer-key", key, "--edge-authentication-local-issuer-audiences",
                    "edge",
                ]
                let client = try Client(issuer)
                /// How the second front answers to a nonce of the first one.
                func second(_ more: [String]) throws -> Answer {
                    let addresses = ["\(mesh.network).201:8443", "\(mesh.network).202:8443"]
                    let fronts = try addresses.map { try TestFront(mesh, ["--listen", $0] + common + more) }
                    let started = time(nil)
                    func ask(_ address: String, _ nonce: String?) throws -> Answer {
                        let context = try TLSContext(
                            .foreignServer(trust: try TrustBundle(roots: [mesh.authority.root])))
                        let session = try TLSSession(
                            context: context, serverName: EdgeMesh.host, expecting: .foreignServer(host: EdgeMesh.host))
                        return try EdgeEnd(Wire(address), session).request(
                            "GET", "/head", headers: client.fields(try client.proof(Self.url, nonce: nonce)))
                    }
                    // A nonce of the second in which an edge has started could be of before its start.
                    try Deadline.until("the next second") { time(nil) > started }
                    let nonce = try ask(addresses[0], nil).headers["dpop-nonce"]
                    try demandEqual(try ask(addresses[0], nonce).status, 200, "at its own edge")
                    let answer = try ask(addresses[1], nonce)
                    for front in fronts { try front.end() }
                    return answer
                }
                let flag = "--edge-authentication-dpop-nonce-secret-file"
                try demandEqual(try second([]).reason, "dpop_nonce_invalid")
                try demandEqual(try second([flag, secret]).reason, "dpop_nonce_stale")
                let accepted = try second([flag, secret, "--edge-authentication-dpop-accepts-others"])
                try demandEqual(accepted.status, 200, accepted.text)
                // Mistakes.
                let short = try TestFront.refused(mesh, common + [flag, weak])
                try demand(short.status == 78 && short.output.contains("31 bytes"), short.output)
                try demand(short.output.contains("edge.authentication.dpop.nonceSecretFile"), short.output)
                let alone = try TestFront.refused(mesh, common + ["--edge-authentication-dpop-accepts-others"])
                try demand(alone.status == 78 && alone.output.contains("nonceSecretFile"), alone.output)
            }
        }
    }
}
