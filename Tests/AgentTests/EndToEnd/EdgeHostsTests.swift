import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Which hosts a listener serves, and which it repeats to clients.
    @Suite struct EdgeHosts {
        private static func ask(
            _ address: String, host: String?, _ target: String = "/head", headers: String = ""
        ) throws -> Answer {
            let end = try EdgeEnd(Wire(address))
            defer { end.close() }
            let version = host == nil ? "1.0" : "1.1"
            try end.send("GET \(target) HTTP/\(version)\r\n\(host.map { "Host: \($0)\r\n" } ?? "")\(headers)\r\n")
            return try end.answer()
        }

        /// A page of another site lets its own name lead to 127.0.0.1: then its requests have that name as host, and its
        /// origin is the same.
        @Test func aPlainListenerOnLoopbackServesNoForeignName() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["tls": "disabled", "certificates": []], route: ["require": "none"],
                    routes: [["host": "app.e2e.test", "service": "web", "require": "none"]])
                let port = edge.address.split(separator: ":")[1]
                for host in [
                    edge.address, "127.0.0.1:\(port)", "localhost:\(port)", "my.localhost", "[::1]", "app.e2e.test",
                ] {
                    let answer = try Self.ask(edge.address, host: host)
                    try demandEqual(answer.status, 200, "\(host): \(answer.text)")
                }
                try demandEqual(try Self.ask(edge.address, host: nil).status, 200, "HTTP/1.0")
                let seen = edge.service.heads.count
                for target in ["/head", "/v1/connect/web", "/.well-known/jwks.json"] {
                    let answer = try Self.ask(edge.address, host: "evil.example:\(port)", target)
                    try demandEqual(answer.status, 421, answer.text)
                    try demandEqual(answer.reason, "host_not_allowed", answer.text)
                }
                let socket = try Self.ask(
                    edge.address, host: "evil.example:\(port)", "/ws",
                    headers: "Origin: http://evil.example:\(port)\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
                try demandEqual(socket.status, 421, socket.text)
                try demandEqual(edge.service.heads.count, seen, "the service hears nothing of it")
                try Deadline.until("counted") {
                    try edge.edge.metric("mesh_edge_refusals_total{reason=\"host_not_allowed\"}") == 4
                }
            }
        }

        /// A list counts on every kind of listener, and only what it has.
        @Test func aListOfHosts() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["hosts": [.string(EdgeMesh.host), "*.apps.e2e.test"], "plaintext": "redirect"],
                    route: ["require": "none"])
                func status(_ host: String) throws -> Int {
                    let end = try edge.connect()
                    defer { end.close() }
                    end.host = host
                    try end.sendRequest("GET", "/head")
                    return try end.answer().status
                }
                for host in [EdgeMesh.host, "\(EdgeMesh.host):8443", "a.apps.e2e.test"] {
                    try demandEqual(try status(host), 200, host)
                }
                for host in ["other.e2e.test", "apps.e2e.test", edge.address] {
                    try demandEqual(try status(host), 421, host)
                }
                try demandEqual(try Self.ask(edge.address, host: "a.apps.e2e.test").status, 308, "redirect")
                try demandEqual(try Self.ask(edge.address, host: edge.address).status, 400, "no redirect")
            }
        }

        /// Without a list, only hosts that certificates and routes name are where a redirect leads.
        @Test func aRedirectLeadsToNoForeignHost() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["plaintext": "redirect"],
                    routes: [["host": "*.routes.e2e.test", "service": "web"]])
                let address = edge.address.split(separator: ":")[0]
                for host in [EdgeMesh.host, "\(EdgeMesh.host):80", "a.routes.e2e.test", String(address)] {
                    let answer = try Self.ask(edge.address, host: host, "/x?y=1")
                    try demandEqual(answer.status, 308, "\(host): \(answer.text)")
                    let name = host.split(separator: ":")[0]
                    try demandEqual(answer.headers["location"], "https://\(name):8443/x?y=1", host)
                }
                for host in ["evil.example", "a.b.routes.e2e.test", "\(EdgeMesh.host).evil.example"] {
                    let answer = try Self.ask(edge.address, host: host, "/x?y=1")
                    try demandEqual(answer.status, 400, "\(host): \(answer.text)")
                    try demandEqual(answer.reason, "tls_required", answer.text)
                    try demand(answer.headers["location"] == nil && !answer.text.contains(host), answer.text)
                }
            }
        }
    }
}
