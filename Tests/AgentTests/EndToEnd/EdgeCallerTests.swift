import Bytes
import Foundation
import JOSE
import JSON
import Testing

extension EndToEnd {
    /// What services are told about their callers, and callers whose names the mesh cannot carry.
    @Suite struct EdgeCaller {
        /// The recipe of `CallerSignature`, with another HMAC: that of the openssl program.
        private static func signature(
            _ mesh: TestMesh, _ secret: [UInt8], _ head: String, time: String, key: String, service: String = "web"
        ) throws -> String {
            let request = head.split(separator: "\r\n")[0].split(separator: " ")
            func value(_ name: String) -> String { WireReader.field(name, head) ?? "" }
            let lines = [
                "conduit-caller-v1", time, key, service, String(request[0]), String(request[1]),
                value("Conduit-Caller"), value("Conduit-Caller-Groups"), value("Conduit-Caller-CN"),
                value("X-Request-Id"),
            ]
            let file = mesh.directory + "/signed"
            try (lines.joined(separator: "\n") + "\n").write(toFile: file, atomically: true, encoding: .utf8)
            let result = try runProgram([
                "/usr/bin/openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:\(Hex.encode(secret))", "-r",
                file,
            ])
            guard let code = Hex.decode(String(result.output.prefix(64))) else { throw Failure(result.output) }
            return Base64URL.encode(code)
        }

        @Test func theCallersFieldsAreSigned() throws {
            try withMesh { mesh in
                let secret = (0..<32).map { _ in UInt8.random(in: 0...255) }
                let file = mesh.directory + "/caller.secret"
                try mesh.writeSecret(secret, to: file)
                mesh.policy.identities.append(
                    ["match": ["issuer": .string(EdgeMesh.issuerName), "subject": "alice"], "groups": "staff"])
                let edge = try EdgeMesh(
                    mesh, route: ["signCaller": true],
                    routes: [["path": "/unsigned", "service": "web", "rewrite": "/head"]]
                ) { $0.set("edge.authentication.callerSecretFile", .string(file)) }
                func head(_ target: String) throws -> String {
                    let answer = try edge.request(
                        "GET", target, token: edge.token(),
                        headers: [("Conduit-Caller-Signature", "v1;t=1;key=a;mac=b"), ("Conduit-Caller", "root")])
                    try demandEqual(answer.status, 200, answer.text)
                    return answer.text
                }
                let signed = try head("/head?a=1&b=%20")
                // Nothing of what the client wrote is there beside it.
                try demandEqual(signed.components(separatedBy: "Conduit-Caller-Signature").count, 2, signed)
                try demandEqual(WireReader.field("Conduit-Caller-Groups", signed), "staff", signed)
                let parts = (WireReader.field("Conduit-Caller-Signature", signed) ?? "").split(separator: ";")
                try demand(parts.count == 4 && parts[0] == "v1", signed)
                let (time, key, code) = (
                    String(parts[1].dropFirst(2)), String(parts[2].dropFirst(4)), String(parts[3].dropFirst(4))
                )
                try demand(abs((Int64(time) ?? 0) - Int64(Foundation.time(nil))) < 30, signed)
                func expected(_ head: String, _ secret: [UInt8], service: String = "web") throws -> String {
                    try Self.signature(mesh, secret, head, time: time, key: key, service: service)
                }
                try demandEqual(code, try expected(signed, secret), signed)
                // Whatever was signed changes it.
                let changes = [
                    ("GET /head?a=1", "POST /head?a=1"), ("a=1", "a=2"), ("/alice", "/bob"), ("staff", "admins"),
                ]
                for (from, to) in changes {
                    let changed = signed.replacingOccurrences(of: from, with: to)
                    try demand(changed != signed, from)
                    try demand(try expected(changed, secret) != code, "\(from) is not signed")
                }
                try demand(try expected(signed, secret, service: "other") != code, "the service is not signed")
                try demand(try expected(signed, [UInt8](repeating: 7, count: 32)) != code, "any key does")
                try demand(try !head("/unsigned").contains("Conduit-Caller-Signature"), "only where it is asked for")
                // A secret that is too short is said with what to do.
                try mesh.writeSecret(Array(secret.prefix(31)), to: file)
                let reload = try edge.edge.reload()
                try demand(reload.status != 200 && reload.text.contains("31 bytes"), reload.text)
            }
        }

        /// OPEN carries names of 255 bytes at most: a longer one is refused, and not cut to somebody else's.
        @Test func aNameThatIsTooLongForTheMesh() throws {
            try withMesh { mesh in
                mesh.policy.connect("jwt:\(EdgeMesh.issuerName)/**", to: "web")
                let edge = try EdgeMesh(mesh)
                let room = 255 - "jwt:\(EdgeMesh.issuerName)/".utf8.count
                let longest = try edge.request("GET", "/head", token: edge.token(String(repeating: "a", count: room)))
                try demandEqual(longest.status, 200, longest.text)
                let longer = try edge.request(
                    "GET", "/head", token: edge.token(String(repeating: "a", count: room + 1)))
                try demandEqual(longer.status, 403, longer.text)
                try demandEqual(longer.reason, "principal_too_long", longer.text)
                let record = try edge.edge.waitFor("edge_backend_failed") { $0["reason"] == "principal_too_long" }
                try demand(record["detail"]?.contains("at most 255") ?? false, "\(record)")
            }
        }

        /// 103 goes to the client as it comes; 100 is the edge's own affair, and clients of HTTP/1.0 know neither.
        @Test func earlyHintsArePassedOn() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                // Twice: the connection is in order behind it.
                for _ in 0..<2 {
                    try end.sendRequest("GET", "/hints", headers: fields)
                    let (status, headers) = try end.head()
                    try demandEqual(status, 103, "\(headers)")
                    try demandEqual(headers["link"], "</style.css>; rel=preload", "\(headers)")
                    try demand(headers["x-hop"] == nil && headers["conduit-caller"] == nil, "\(headers)")
                    try demand(headers["x-request-id"] != nil && headers["content-length"] == nil, "\(headers)")
                    let answer = try end.answer()
                    try demandEqual(answer.status, 200, answer.text)
                    try demandEqual(answer.text, "hinted")
                }
                let old = try edge.connect()
                try old.send(
                    "GET /hints HTTP/1.0\r\nHost: \(EdgeMesh.host)\r\nAuthorization: Bearer \(try edge.token())\r\n\r\n"
                )
                try demandEqual(try old.head().status, 200, "HTTP/1.0")
            }
        }
    }
}
