import Foundation
import JSON
import Link
import Testing

extension EndToEnd {
    /// What a serving agent makes of OPENs in the names of clients from outside, from nodes that may speak for them and
    /// from others.
    @Suite struct ActingForOthers {
        private static let alice = "jwt:https://id.example/alice"

        /// A serving node, and what nodes that the test plays may do there.
        private static func serve(_ mesh: TestMesh, _ target: String) throws -> TestNode {
            mesh.policy.provide("echo", at: "Server")
            mesh.policy.identities.append([
                "match": ["issuer": "https://id.example", "attributes": ["groups": "admins"]], "groups": "admins",
            ])
            mesh.policy.identities.append([
                "match": ["key": "ci-*"], "permissionsFrom": "permissions",
            ])
            mesh.policy.rules += [
                ["allow": "act-as", "from": "node:edge", "to": ["jwt:https://id.example/**", "key:*"]],
                ["allow": "act-as", "from": "node:poor", "to": ["jwt:https://id.example/**"]],
                ["allow": "connect", "from": ["node:edge", "node:other", "group:admins"], "to": "echo"],
            ]
            try mesh.node("Directory", directory: true)
            let server = try mesh.node("Server") { $0.offer("echo", target) }
            try mesh.start()
            try Deadline.until("the service is there") { try server.instances(of: "echo") == ["Server": "passing"] }
            return server
        }

        private static func request(_ principal: String, _ attributes: [String: [String]] = [:]) throws -> OpenRequest {
            let content = OpenAttributes.encoded(attributes) ?? []
            return OpenRequest(
                service: "echo", principal: principal,
                extensions: content.isEmpty
                    ? [] : [FrameExtension(type: OpenAttributes.extensionType, value: content)])
        }

        @Test func bothMustHaveTheRight() throws {
            try withMesh { mesh in
                mesh.policy.rules.append([
                    "allow": "connect", "from": "key:ci-7", "to": "nothing",
                ])
                let server = try Self.serve(mesh, try mesh.echo().address)
                let admins = ["groups": ["users", "admins"]]
                let edge = try LinkEnd(mesh, as: "edge", to: server)
                let allowed = try edge.open(try Self.request(Self.alice, admins), sending: "hello")
                try demandEqual(try edge.next(of: allowed), .accepted)
                try demandEqual(try edge.next(of: allowed), .bytes(Array("hello".utf8)))

                for (principal, attributes, reason, detail) in [
                    // The same name, and no token that says it is an admin.
                    (Self.alice, [:], LinkReason.denied, "unmapped_identity"),
                    (Self.alice, ["groups": ["users"]], .denied, "unmapped_identity"),
                    ("key:ci-7", ["permissions": ["admins"]], .denied, "no_rule"),
                    // Whom this edge does not speak for.
                    ("jwt:https://other.example/alice", admins, .actAsDenied, "act_as_missing"),
                    ("uid:0", [:], .actAsDenied, "act_as_missing"),
                    // What is not well formed.
                    ("jwt:https://id.example/a%6Cice", admins, .badOpen, "service or principal is not well formed"),
                    ("service:web", admins, .badOpen, "only tokens and keys have attributes"),
                    ("", admins, .badOpen, "only tokens and keys have attributes"),
                ] as [(String, [String: [String]], LinkReason, String)] {
                    let stream = try edge.open(try Self.request(principal, attributes))
                    try demandEqual(try edge.next(of: stream), .refused(reason, detail), "\(principal) \(attributes)")
                }
                // May speak for her, and may not connect itself.
                let poor = try LinkEnd(mesh, as: "poor", to: server)
                let refused = try poor.open(try Self.request(Self.alice, admins))
                try demandEqual(try poor.next(of: refused), .refused(.denied, "node_not_allowed"))
                // May connect itself, and not speak for anybody.
                let other = try LinkEnd(mesh, as: "other", to: server)
                let own = try other.open(try Self.request(""), sending: "own")
                try demandEqual(try other.next(of: own), .accepted)
                let spoken = try other.open(try Self.request(Self.alice, admins))
                try demandEqual(try other.next(of: spoken), .refused(.actAsDenied, "act_as_missing"))
                let record = try server.waitFor("stream_denied") { $0["node"] == "other" }
                try demandEqual(record["as"], Self.alice)
                // All this cost no link.
                edge.send("again", on: allowed)
                try demandEqual(try edge.next(of: allowed), .bytes(Array("again".utf8)))
            }
        }

        @Test func malformedAttributesCostTheStreamAndNotTheLink() throws {
            try withMesh { mesh in
                let server = try Self.serve(mesh, try mesh.echo().address)
                let edge = try LinkEnd(mesh, as: "edge", to: server)
                for content in [[], [1], [0, 1, 0], [1, 0x61, 0], [1, 0x61, 1, 1, 0xFF]] as [[UInt8]] {
                    let request = OpenRequest(
                        service: "echo", principal: Self.alice,
                        extensions: [FrameExtension(type: OpenAttributes.extensionType, value: content)])
                    let stream = try edge.open(request)
                    guard case .refused(.badOpen, _) = try edge.next(of: stream) else {
                        throw Failure("\(content) was not refused")
                    }
                }
                let stream = try edge.open(try Self.request(Self.alice, ["groups": ["admins"]]))
                try demandEqual(try edge.next(of: stream), .accepted)
            }
        }

        /// The attributes of a live stream are kept, and a new policy is asked with them.
        @Test func aChangeOfPolicyAsksAgainWithTheAttributes() throws {
            try withMesh { mesh in
                let server = try Self.serve(mesh, try mesh.echo().address)
                let edge = try LinkEnd(mesh, as: "edge", to: server)
                let first = try edge.open(try Self.request(Self.alice, ["groups": ["admins"], "team": ["a"]]))
                let second = try edge.open(try Self.request(Self.alice, ["groups": ["admins"], "team": ["b"]]))
                try demandEqual(try edge.next(of: first), .accepted)
                try demandEqual(try edge.next(of: second), .accepted)
                // Admins are asked for their team now, which nothing asked for before.
                server.policy.identities.removeAll { $0["match"]?["issuer"] != nil }
                server.policy.identities.append([
                    "match": ["issuer": "https://id.example", "attributes": ["groups": "admins", "team": "a"]],
                    "groups": "admins",
                ])
                try demandEqual(try server.reload().status, 200)
                try demandEqual(try edge.next(of: second), .reset(.accessWithdrawn, "unmapped_identity"))
                edge.send("still", on: first)
                try demandEqual(try edge.next(of: first), .bytes(Array("still".utf8)))
            }
        }

        /// A node that may act as every user of its host is not thereby an operator of other hosts.
        @Test func usersOfAnotherHostAreNobodyAtBuiltInServices() throws {
            try withMesh { mesh in
                let uid = "uid:\(getuid())"
                mesh.policy.identities.append(["match": ["key": "**"], "groups": "operators"])
                mesh.policy.rules += [
                    ["allow": "act-as", "from": "node:a", "to": ["uid:*", .string(uid), "key:*", "key:ops"]],
                    ["allow": "act-as", "from": "node:*", "to": ["key:late"]],
                    ["allow": "act-as", "from": "node:Directory", "to": ["uid:*"]],
                    [
                        "allow": "connect", "from": ["node:a", "node:Directory"],
                        "to": ["mesh.agent", "mesh.directory"],
                    ],
                ]
                let server = try mesh.node("Directory", directory: true)
                try mesh.start()
                let peer = try LinkEnd(mesh, as: "a", to: server)
                let request = "GET /v1/policy HTTP/1.1\r\nHost: mesh.agent\r\nConnection: close\r\n\r\n"
                for (service, principal) in [
                    ("mesh.agent", uid), ("mesh.directory", uid), ("mesh.documents", uid), ("mesh.agent", "key:other"),
                    ("mesh.agent", "key:late"),
                ] {
                    let stream = try peer.open(
                        OpenRequest(service: service, principal: principal), sending: request)
                    let fate = try peer.next(of: stream)
                    let reason = service == "mesh.documents" ? "no_rule" : "not_vouched_for"
                    try demandEqual(fate, .refused(.denied, reason), "\(principal) at \(service)")
                }
                // Itself, and whom the policy spells out.
                for (principal, status) in [("", "403"), ("key:ops", "403")] {
                    let stream = try peer.open(
                        OpenRequest(service: "mesh.agent", principal: principal), sending: request)
                    try demandEqual(try peer.next(of: stream), .accepted, principal)
                    guard case .bytes(let answer) = try peer.next(of: stream) else { throw Failure("no answer") }
                    let text = String(decoding: answer, as: UTF8.self)
                    try demand(text.hasPrefix("HTTP/1.1 \(status)"), "\(principal): \(text)")
                }
                // At his own host the user is known: the kernel says who he is.
                let (wire, refusal) = try server.connect("mesh.agent?node=Directory", early: request)
                try demand(refusal == nil, refusal?.text ?? "")
                let text = String(decoding: try wire.receiveAll(), as: UTF8.self)
                try demand(text.hasPrefix("HTTP/1.1 200"), text)

                func why(_ more: [String]) throws -> (status: Int32, output: String) {
                    try runProgram(
                        [TestMesh.binaries + "/mesh", "why", "--control", server.controlPath, "--to", "mesh.agent"]
                            + more)
                }
                var said = try why(["--from", uid, "--as-node", "a"])
                try demand(said.status == 3 && said.output.contains("(not_vouched_for)"), said.output)
                try demand(said.output.contains("knows users of its own host only"), said.output)
                said = try why(["--from", "key:other", "--as-node", "a"])
                try demand(
                    said.status == 3 && said.output.contains("it does not name both node:a and key:other"), said.output)
                said = try why(["--from", "key:ops", "--as-node", "a"])
                try demand(said.status == 0, said.output)
                said = try why(["--from", uid])
                try demand(said.status == 0, said.output)
            }
        }

        @Test func meshWhyExplainsIt() throws {
            try withMesh { mesh in
                let server = try Self.serve(mesh, try mesh.echo().address)
                func why(_ attributes: [String], _ more: [String] = []) throws -> (Int32, String) {
                    let arguments =
                        [TestMesh.binaries + "/mesh", "why", "--control", server.controlPath, "--from", Self.alice]
                        + attributes.flatMap { ["--attribute", $0] } + ["--to", "echo"] + more
                    let result = try runProgram(arguments)
                    return (result.status, result.output)
                }
                var (status, text) = try why(["groups=admins"], ["--as-node", "edge"])
                try demand(status == 0 && text.hasPrefix("allowed: \(Self.alice) may connect to echo\n"), text)
                try demand(text.contains("allow act-as from node:edge"), text)
                (status, text) = try why(["groups=users"], ["--as-node", "edge"])
                try demand(status == 3 && text.contains("(unmapped_identity)"), text)
                try demand(text.contains("it needs groups admins, the token has users"), text)
                (status, text) = try why(["groups=admins"], ["--as-node", "other"])
                try demand(status == 3 && text.contains("(act_as_missing)"), text)
                (status, text) = try why(["groups=admins"], ["--as-node", "poor"])
                try demand(status == 3 && text.contains("(node_not_allowed)"), text)
                // Without a node in between.
                (status, text) = try why(["groups=admins"])
                try demand(status == 0 && !text.contains("through"), text)
                (status, text) = try why(["groups"])
                try demand(status == 2 && text.contains("NAME=VALUE"), text)
                (status, text) = try why(["groups=admins"], ["--as-node", "edge", "--verb", "discover"])
                try demand(status != 0 && text.contains("for connect by somebody"), text)
            }
        }
    }
}
