import Foundation
import JOSE
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// `mesh-agent front` before plain servers.
    @Suite struct Front {
        /// The servers whose variables are read, and what else has a prefix.
        static let prefixes = ["MAHAVISHNU", "AKOSHA", "CRACKERJACK", "DHRUVA", "EXCALIDRAW", "FASTBLOCKS", "MCP"]

        @Test func certificateAndKeyOfEveryServersVariables() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                for prefix in Self.prefixes {
                    let front = try TestFront(
                        mesh, ["--env-prefix", prefix, "--listen", mesh.anyAddress, "--to", "ws://\(service.address)"],
                        environment: [
                            "\(prefix)_WS_CERT_FILE": files.certificate, "\(prefix)_WS_KEY_FILE": files.key,
                        ])
                    try demand(front.uri.hasPrefix("wss://"), front.uri)
                    try front.connect([mesh.authority.root]).echoOverWebSocket(prefix)
                    try front.end()
                }
            }
        }

        @Test func clientsOfEveryServersVariables() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let client = try mesh.authority.issueCredentials(
                    IssueRequest(node: "shop"), now: Int64(time(nil)))
                for prefix in Self.prefixes {
                    let front = try TestFront(
                        mesh, ["--env-prefix", prefix, "--listen", mesh.anyAddress, "--to", "ws://\(service.address)"],
                        environment: [
                            "\(prefix)_WS_TLS_ENABLED": "true", "\(prefix)_WS_CERT_FILE": files.certificate,
                            "\(prefix)_WS_KEY_FILE": files.key, "\(prefix)_WS_CA_FILE": mesh.authorityFile,
                            "\(prefix)_WS_VERIFY_CLIENT": "true",
                        ])
                    try demand(try Self.isRefused { try front.connect([mesh.authority.root]) }, "without certificate")
                    let end = try front.connect([mesh.authority.root], credentials: client)
                    try end.echoOverWebSocket(prefix)
                    let head = service.heads.last ?? ""
                    try demandEqual(WireReader.field("Conduit-Caller-CN", head), "shop", head)
                    try demandEqual(WireReader.field("X-Forwarded-Proto", head), "https", head)
                    try demandEqual(WireReader.field("X-Forwarded-For", head), "127.0.0.1", head)
                    end.close()
                    try front.end()
                }
                try demandEqual(service.heads.count, Self.prefixes.count, "requests at the service")
            }
        }

        @Test func developmentCertificateOfEveryServersVariables() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                for prefix in Self.prefixes {
                    let front = try TestFront(
                        mesh, ["--env-prefix", prefix, "--listen", mesh.anyAddress, "--to", "ws://\(service.address)"],
                        environment: ["\(prefix)_WS_TLS_ENABLED": "true"])
                    let record = try Deadline.wait("the warning") { front.records("development_certificate").first }
                    let file = record["ca"]?.string ?? ""
                    let root = try Certificate.load(file: file)[0]
                    // An address is a name of its own kind: no DNS name of that text would do.
                    let end = try front.connect([root], name: "\(mesh.network).200")
                    try end.echoOverWebSocket(prefix)
                    try demandEqual(record["level"]?.string, "warning", "how loud")
                    try front.connect([root], name: "localhost").close()
                    end.close()
                    try front.end()
                    try demand(!FileManager.default.fileExists(atPath: file), "\(file) is still there")
                    let left = try FileManager.default.contentsOfDirectory(atPath: mesh.directory)
                    try demand(!left.contains { $0.hasPrefix("mesh-front-") }, "\(left)")
                }
            }
        }

        /// Whether the server ends the handshake; with TLS 1.3 a client learns it when it reads.
        private static func isRefused(_ connect: () throws -> EdgeEnd) throws -> Bool {
            do {
                let end = try connect()
                try end.sendRequest("GET", "/head")
                _ = try end.head()
                return false
            } catch let error as TLSError {
                return error.code == .refusedByPeer
            }
        }

        // MARK: - Both directions

        @Test func chainOfBothSides() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles(dnsNames: [], ipAddresses: ["\(mesh.network).200"])
                let client = try mesh.serverFiles("client")
                let server = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "http://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key, "--ca-file", mesh.authorityFile,
                        "--verify-client", "--minimum-tls-version", "1.3",
                    ])
                let plain = try TestFront(
                    mesh,
                    [
                        "--listen", "\(mesh.network).201:0", "--to", server.uri, "--ca-file", mesh.authorityFile,
                        "--certificate-file", client.certificate, "--private-key-file", client.key,
                    ])
                try demand(plain.uri.hasPrefix("http://"), plain.uri)
                // HTTP with a body of unknown length, and what the server is told.
                let end = try plain.connect()
                let echoed = try end.request("POST", "/echo", body: Array("body".utf8))
                try demandEqual(echoed.text, "body", "echo")
                let head = try end.request("GET", "/head", headers: [("Authorization", "Bearer of-the-server")]).text
                try demandEqual(WireReader.field("Authorization", head), "Bearer of-the-server", head)
                try demandEqual(WireReader.field("Conduit-Caller-CN", head), "client", head)
                try demandEqual(WireReader.field("X-Forwarded-Proto", head), "https", head)
                // The TLS side is asked for under its own name, which the local program does not know.
                try demandEqual(WireReader.field("Host", head), server.address, head)
                // Server-sent events arrive one by one.
                try end.sendRequest("GET", "/events")
                try demandEqual(try end.head().headers["content-type"], "text/event-stream", "type")
                try Deadline.until("the stream is open") { service.listeners == 1 }
                for line in ["data: 1", "data: 2"] {
                    service.event(line)
                    try demandEqual(try end.chunk(), Array("\(line)\n".utf8), "event")
                }
                end.close()
                try plain.connect().echoOverWebSocket("there and back")
                try plain.end()
                try server.end()
            }
        }

        /// The name that was written is the one that the certificate must have, also where it needs no resolver.
        @Test func aServerThatIsNamedLocalhost() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles(dnsNames: ["localhost"])
                let server = try TestFront(
                    mesh,
                    [
                        "--listen", "127.0.0.1:0", "--to", "http://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key,
                    ])
                let port = server.address.split(separator: ":")[1]
                for (host, status) in [("localhost", 200), ("127.0.0.1", 502)] {
                    let plain = try TestFront(
                        mesh,
                        [
                            "--listen", mesh.anyAddress, "--to", "https://\(host):\(port)", "--ca-file",
                            mesh.authorityFile,
                        ])
                    let answer = try plain.connect().request("GET", "/head")
                    try demandEqual(answer.status, status, answer.text)
                    if status == 200 {
                        try demandEqual(WireReader.field("Host", answer.text), "localhost:\(port)", answer.text)
                    } else {
                        try demandEqual(answer.reason, "wrong_name", answer.text)
                    }
                    try plain.end()
                }
            }
        }

        @Test func unixTargetAndPath() throws {
            try withMesh { mesh in
                let path = "\(mesh.directory)/app.sock"
                let listener = try ListeningSocket(path: path)
                let service = ThreadedService(listener) { wire in
                    var reader = WireReader(wire)
                    while let head = try reader.head() {
                        let body = Array(head.split(separator: "\r\n")[0].utf8)
                        try wire.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
                    }
                }
                mesh.whenEnded { service.stop() }
                let unix = try TestFront(mesh, ["--listen", mesh.anyAddress, "--to", "unix:\(path)"])
                try demandEqual(try unix.connect().request("GET", "/a?b").text, "GET /a?b HTTP/1.1", "path")
                let web = try WebService(mesh)
                let deep = try TestFront(mesh, ["--listen", mesh.anyAddress, "--to", "http://\(web.address)/mcp"])
                try demandEqual(try deep.connect().request("GET", "/messages?x=1").text, "hello from /mcp/messages?x=1")
            }
        }

        // MARK: - Certificates of servers

        @Test func serversAreCheckedUnlessToldOtherwise() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles(dnsNames: ["elsewhere.e2e.test"])
                let server = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "ws://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key,
                    ])
                func client(_ more: [String]) throws -> TestFront {
                    try TestFront(mesh, ["--listen", "\(mesh.network).201:0", "--to", server.uri] + more)
                }
                // The system's roots do not vouch for it.
                let unknown = try client([])
                let refused = try unknown.connect().request("GET", "/head")
                try demandEqual(refused.status, 502, refused.text)
                try demandEqual(refused.reason, "unknown_ca", refused.text)
                try unknown.end()
                // It is for another name.
                let wrong = try client(["--ca-file", mesh.authorityFile])
                try demandEqual(try wrong.connect().request("GET", "/head").reason, "wrong_name")
                try wrong.end()
                let named = try client(["--ca-file", mesh.authorityFile, "--server-name", "elsewhere.e2e.test"])
                try named.connect().echoOverWebSocket()
                try demand(named.records("insecure_target").isEmpty, "no warning is due")
                try named.end()
                // Nobody checks it, and the log says so each time.
                let insecure = try client(["--insecure", "--ca-file", mesh.authorityFile])
                for _ in 0..<2 { try insecure.connect().echoOverWebSocket() }
                try demandEqual(insecure.records("insecure_target").count, 1, "records of the start")
                try demandEqual(
                    insecure.records("insecure_target").first?["origin"]?.string, "flag --insecure", "origin")
                let connections = insecure.records("insecure_connection")
                try demandEqual(connections.count, 2, "records of connections")
                try demandEqual(connections.first?["reason"]?.string, "wrong_name", "reason")
                try insecure.end()
            }
        }

        @Test func plainTextOnTheWrongSide() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let server = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "ws://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key,
                    ])
                let answer = try server.connect().request("GET", "/")
                try demandEqual(answer.reason, "tls_required", answer.text)
                // A wss:// URL of a plain server, which answers what it does not understand.
                let plain = try mesh.service { wire in
                    _ = wire.receive()
                    try wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                }
                let client = try TestFront(
                    mesh, ["--listen", "\(mesh.network).201:0", "--to", "wss://\(plain.address)"])
                try demandEqual(try client.connect().request("GET", "/").reason, "not_tls")
                // TLS 1.2 is spoken unless it is switched off.
                try server.connect([mesh.authority.root], maximum: .tls12).echoOverWebSocket()
            }
        }

        // MARK: - Tokens

        @Test func tokensAndLimits() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let issuer = try TokenIssuer.make(name: "https://tokens.front.test")
                let key = "\(mesh.directory)/issuer.json"
                _ = FileManager.default.createFile(
                    atPath: key, contents: Data(try issuer.fileText()), attributes: [.posixPermissions: 0o600])
                let front = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "http://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key, "--edge-authentication-local-issuer-key",
                        key, "--edge-authentication-local-issuer-audiences", "front", "--rate", "1", "--burst", "2",
                    ])
                let end = try front.connect([mesh.authority.root])
                try demandEqual(try end.request("GET", "/").reason, "missing_token")
                let token = try issuer.issue(
                    TokenRequest(subject: "alice", audiences: ["front"], lifetime: 60, scopes: []),
                    at: Int64(time(nil)), random: (0..<TokenIssuer.randomBytes).map { _ in UInt8.random(in: 0...255) })
                let fields = [("Authorization", "Bearer \(token)")]
                let head = try end.request("GET", "/head", headers: fields)
                try demandEqual(head.status, 200, head.text)
                try demandEqual(
                    WireReader.field("Conduit-Caller", head.text), "jwt:https://tokens.front.test/alice", head.text)
                try demandEqual(WireReader.field("Authorization", head.text), nil, head.text)
                var statuses: [Int] = []
                // One comes back each second, however long these take.
                while statuses.last != 429, statuses.count < 60 {
                    statuses.append(try end.request("GET", "/head", headers: fields).status)
                }
                try demandEqual(statuses.last, 429, "\(statuses)")
            }
        }
    }
}
