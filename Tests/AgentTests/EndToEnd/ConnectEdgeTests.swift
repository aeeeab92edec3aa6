import Foundation
import JOSE
import JSON
import PKI
import Testing

extension EndToEnd {
    /// `mesh connect --edge` through a real edge to a service on another node.
    @Suite struct ConnectThroughEdge {
        private static func run(
            _ mesh: TestMesh, _ edge: EdgeMesh, _ arguments: [String], ca: String, input: String = ""
        ) throws -> (status: Int32, output: String) {
            let file = mesh.directory + "/input-\(UUID().uuidString)"
            try input.write(toFile: file, atomically: true, encoding: .utf8)
            let descriptor = open(file, O_RDONLY)
            defer { close(descriptor) }
            let output = mesh.directory + "/output-\(UUID().uuidString)"
            let child = try Child(
                [TestMesh.binaries + "/mesh", "connect", "--edge", "https://\(edge.address)", "--ca-file", ca]
                    + arguments, output: output, input: descriptor)
            return (try child.wait(), child.output)
        }

        @Test func fromALaptop() throws {
            try withMesh { mesh in
                // Says how many bytes it got, after their end.
                let service = try mesh.service { wire in
                    let bytes = try wire.receiveAll()
                    try wire.send("\(bytes.count) bytes\n")
                    wire.close()
                }
                mesh.policy.provide("count", at: "Server")
                mesh.policy.connect("node:Edge", to: "count")
                mesh.policy.connect("jwt:\(EdgeMesh.issuerName)/alice", to: "count")
                let host = "\(mesh.network).1"
                let files = try mesh.serverCertificate(host, ip: [host])
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "publicOrigin": .string("https://\(host):8443"),
                        "certificates": [["certificate": .string(files.certificate), "key": .string(files.key)]],
                    ])
                edge.server.offer("count", service.address)
                try edge.server.reload()
                try edge.edge.waitInstances(of: "count", at: ["Server"])
                func token(_ name: String, _ request: TokenRequest) throws -> String {
                    let random = (0..<TokenIssuer.randomBytes).map { _ in UInt8.random(in: 0...255) }
                    let path = mesh.directory + "/" + name
                    try edge.issuer.issue(request, at: Int64(time(nil)), random: random)
                        .write(toFile: path, atomically: true, encoding: .utf8)
                    return path
                }
                let alice = try token("alice", TokenRequest(subject: "alice", audiences: ["edge"], lifetime: 600))
                let bob = try token("bob", TokenRequest(subject: "bob", audiences: ["edge"], lifetime: 600))
                let old = try token("old", TokenRequest(subject: "alice", audiences: ["other"], lifetime: 600))
                let ca = files.authority
                var (status, text) = try Self.run(
                    mesh, edge, ["--token-file", alice, "count"], ca: ca, input: String(repeating: "x", count: 200_000))
                try demand(status == 0 && text == "200000 bytes\n", "\(status) \(text)")

                (status, text) = try Self.run(mesh, edge, ["count"], ca: ca)
                try demand(status == 3 && text.contains("--token-file FILE"), text)
                (status, text) = try Self.run(mesh, edge, ["--token-file", old, "count"], ca: ca)
                try demand(status == 3 && text.contains("wrong_audience"), text)
                (status, text) = try Self.run(mesh, edge, ["--token-file", bob, "count"], ca: ca)
                try demand(status == 3 && text.contains("hint: "), text)
                (status, text) = try Self.run(mesh, edge, ["--token-file", alice, "nothing"], ca: ca)
                try demand(status == 3 || status == 4, text)
                (status, text) = try Self.run(
                    mesh, edge, ["--token-file", alice, "count"], ca: mesh.directory + "/ca.crt")
                try demand(status == 6 && text.contains("unknown_ca"), text)

                // A token that is bound to a key: the edge wants a nonce first.
                let keyFile = mesh.directory + "/dpop.key"
                let made = try runProgram([TestMesh.binaries + "/mesh", "token", "dpop", "--new", "--key", keyFile])
                try demandEqual(made.status, 0, made.output)
                let key = try DPoPKey(PrivateKey.load(file: keyFile))
                var request = TokenRequest(subject: "alice", audiences: ["edge"], lifetime: 600)
                request.dpopThumbprint = key.publicKey.thumbprint
                let bound = try token("bound", request)
                (status, text) = try Self.run(
                    mesh, edge, ["--token-file", bound, "--dpop", keyFile, "count"], ca: ca, input: "abc")
                try demand(status == 0 && text == "3 bytes\n", "\(status) \(text)")
                (status, text) = try Self.run(mesh, edge, ["--token-file", bound, "count"], ca: ca)
                try demand(status == 3 && text.contains("dpop"), text)
            }
        }
    }
}
