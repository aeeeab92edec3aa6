import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Clients whose certificates end while they are connected.
    @Suite struct EdgeExpiry {
        /// An edge for the laptop, who comes by certificate; the service `echo` is there as a WebSocket too.
        private static func edge(_ mesh: TestMesh) throws -> EdgeMesh {
            let echo = try mesh.echo()
            mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop"]])
            mesh.policy.connect("node:laptop", to: "web")
            mesh.policy.provide("echo", at: "Server")
            mesh.policy.connect("node:Edge", to: "echo")
            mesh.policy.connect("node:laptop", to: "echo")
            let edge = try EdgeMesh(
                mesh, listener: ["clientCertificates": ["mode": "optional", "ca": .string(mesh.authorityFile)]],
                route: ["require": "either"])
            edge.server.offer("echo", echo.address)
            try edge.server.reload()
            try edge.edge.waitInstances(of: "echo", at: ["Server"])
            return edge
        }

        private static func laptop(_ mesh: TestMesh, validity: Int64) throws -> Credentials {
            try mesh.authority.issueCredentials(
                IssueRequest(node: "laptop", validity: validity), now: Int64(time(nil)))
        }

        @Test func whatIsOpenEndsWithTheCertificate() throws {
            try withMesh { mesh in
                let edge = try Self.edge(mesh)
                let short = try Self.laptop(mesh, validity: Deadline.lifetime(12))
                let socket = try edge.connect(credentials: short)
                try demandEqual(try socket.upgrade("/ws").status, 101)
                let stream = try edge.connect(credentials: short)
                try demandEqual(try stream.upgrade("/v1/connect/echo").status, 101)
                let events = try edge.connect(credentials: short)
                try events.sendRequest("GET", "/events")
                try demandEqual(try events.head().status, 200)
                let idle = try edge.connect(credentials: short)
                try idle.sendRequest("GET", "/head")
                try demandEqual(try idle.answer().status, 200)
                // A token that lives longer does not help: the client came in by its certificate.
                let both = try edge.connect(credentials: short)
                try demandEqual(
                    try both.upgrade("/ws", headers: [("Authorization", "Bearer \(try edge.token())")]).status, 101)
                let lasting = try edge.connect(credentials: Self.laptop(mesh, validity: 600))
                try demandEqual(try lasting.upgrade("/ws").status, 101)

                for end in [socket, stream, both] {
                    let (code, reason) = try end.closeFrame()
                    try demandEqual(code, 4401, reason)
                    try demandEqual(reason, "certificate_expired", "reason")
                    try end.waitEnd()
                }
                try demand(Int64(time(nil)) >= short.leaf.notAfter, "not before its end")
                try events.waitEnd()
                try idle.waitEnd()
                try lasting.sendText("still here")
                try demandEqual(try lasting.frame().payload, Array("still here".utf8), "another certificate")
                try Deadline.until("all are counted") {
                    try edge.edge.metric("mesh_edge_ended_total{reason=\"certificate_expired\"}") == 5
                }
                try demand(
                    throws: { _ = try edge.connect(credentials: short).upgrade("/ws") }, "it does not get in again")
            }
        }

        /// What a proxy says of a certificate is looked at by the clock of here: its client's connection may be older than the end.
        @Test func aCertificateThatAProxyHandsOn() throws {
            try withMesh { mesh in
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop"]])
                mesh.policy.connect("node:laptop", to: "web")
                let path = "unix:" + mesh.directory + "/edge.sock"
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "address": .string(path), "tls": "behind_proxy", "certificates": [], "trustedProxies": ["unix"],
                    ], route: ["require": "certificate"],
                    routes: [["path": "/open", "service": "web", "require": "none"]])
                let proxy = try EdgeEnd(Wire(path))
                func ask(_ client: Credentials, _ target: String = "/head") throws -> Answer {
                    let text = ":" + Data(client.leaf.der).base64EncodedString() + ":"
                    try proxy.sendRequest("GET", target, headers: [("Client-Cert", text)])
                    return try proxy.answer()
                }
                let good = try Self.laptop(mesh, validity: 600)
                let now = Int64(time(nil))
                let expired = try mesh.authority.issueCredentials(
                    IssueRequest(node: "laptop", validity: 1), now: now - 10)
                let future = try mesh.authority.issueCredentials(
                    IssueRequest(node: "laptop", validity: 7200), now: now + 3600)
                let first = try ask(good)
                try demandEqual(first.status, 200, first.text)
                for target in ["/head", "/open/head"] {
                    let over = try ask(expired, target)
                    try demandEqual(over.status, 401, over.text)
                    try demandEqual(over.reason, "certificate_expired", over.text)
                }
                let early = try ask(future)
                try demandEqual(early.reason, "certificate_not_yet_valid", early.text)
                // The proxy's connection goes on with its other clients.
                try demandEqual(try ask(good).status, 200)
                try demandEqual(
                    try edge.edge.metric("mesh_edge_refusals_total{reason=\"certificate_expired\"}"), 2)
            }
        }

        /// `mesh connect --edge` says what has ended.
        @Test func connectSaysWhy() throws {
            try withMesh { mesh in
                let edge = try Self.edge(mesh)
                let short = try Self.laptop(mesh, validity: Deadline.lifetime(8))
                let (certificate, key) = (mesh.directory + "/laptop.crt", mesh.directory + "/laptop.key")
                try short.write(certificateFile: certificate, keyFile: key)
                // Standard input that never ends.
                var ends: [Int32] = [0, 0]
                try demandEqual(pipe(&ends), 0)
                defer { for end in ends { close(end) } }
                let child = try Child(
                    [
                        TestMesh.binaries + "/mesh", "connect", "--edge", "https://\(edge.address)", "--ca-file",
                        mesh.authorityFile, "--certificate-file", certificate, "--private-key-file", key, "echo",
                    ], output: mesh.directory + "/connect.log", input: ends[0])
                try demandEqual(try child.wait(), 3, child.output)
                try demand(child.output.contains("certificate has expired"), child.output)
            }
        }
    }
}
