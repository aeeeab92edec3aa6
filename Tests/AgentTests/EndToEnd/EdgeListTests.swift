import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// CRLs of an edge listener's clients.
    @Suite struct EdgeLists {
        private struct Clients {
            let edge: EdgeMesh
            let lists: CRLMaker
            let laptop: Credentials
            let desk: Credentials
            let laptopFile: String

            init(_ mesh: TestMesh, mode: JSONValue) throws {
                mesh.policy.rules.append(
                    ["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop", "node:desk"]])
                mesh.policy.connect("node:laptop", to: "web")
                mesh.policy.connect("node:desk", to: "web")
                lists = try CRLMaker(mesh)
                edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "clientCertificates": [
                            "mode": "required", "ca": .string(mesh.authorityFile),
                            "revocation": ["files": .string(lists.file), "mode": mode],
                        ]
                    ], route: ["require": "certificate"])
                let now = Int64(time(nil))
                laptop = try mesh.authority.issueCredentials(IssueRequest(node: "laptop"), now: now)
                desk = try mesh.authority.issueCredentials(IssueRequest(node: "desk"), now: now)
                laptopFile = mesh.directory + "/laptop.crt"
                try laptop.write(certificateFile: laptopFile, keyFile: mesh.directory + "/laptop.key")
            }

            func socket(_ credentials: Credentials) throws -> EdgeEnd {
                let end = try edge.connect(credentials: credentials)
                try demandEqual(try end.upgrade("/ws").status, 101)
                return end
            }

            /// Whether a new client gets an answer.
            func isServed(_ credentials: Credentials) -> Bool {
                guard let end = try? edge.connect(credentials: credentials) else { return false }
                defer { end.close() }
                guard (try? end.sendRequest("GET", "/head")) != nil else { return false }
                return (try? end.answer().status) == 200
            }

            func ended(_ reason: String) throws -> Double {
                try edge.edge.metric("mesh_edge_ended_total{reason=\"\(reason)\"}") ?? 0
            }
        }

        /// The process before this one has connections, too, until it ends.
        @Test func aListThatChangesWhileTheOldProcessDrains() throws {
            try withMesh { mesh in
                let clients = try Clients(mesh, mode: "soft")
                let (socket, other) = (try clients.socket(clients.laptop), try clients.socket(clients.desk))
                let old = try clients.edge.edge.takeOver()
                try socket.sendText("still here")
                try demandEqual(try socket.frame().payload, Array("still here".utf8), "echo")
                try clients.lists.revoke(clients.laptopFile)
                try clients.lists.publish()
                try socket.waitEnd()
                try other.sendText("still here")
                try demandEqual(try other.frame().payload, Array("still here".utf8), "somebody else")
                try demand(old.isRunning, "the old process has ended")
                old.signal(SIGTERM)
                try demandEqual(try old.wait(), 0, "exit status")
            }
        }

        /// What is connected ends when the list changes, and only that.
        @Test func aListThatChangesEndsConnections() throws {
            try withMesh { mesh in
                let clients = try Clients(mesh, mode: "soft")
                let (socket, idle) = (
                    try clients.socket(clients.laptop), try clients.edge.connect(credentials: clients.laptop)
                )
                let other = try clients.socket(clients.desk)
                try idle.sendRequest("GET", "/head")
                try demandEqual(try idle.answer().status, 200)
                try clients.lists.revoke(clients.laptopFile)
                try clients.lists.publish()
                let start = Deadline.now
                let record = try clients.edge.edge.waitFor("edge_certificate_revoked")
                try demandEqual(record["reason"], "revoked")
                try demand(Deadline.now - start < 2 * Deadline.slowness, "it took \(Deadline.now - start) s")
                try socket.waitEnd()
                try idle.waitEnd()
                try other.sendText("still here")
                try demandEqual(try other.frame().payload, Array("still here".utf8), "somebody else")
                try demand(!clients.isServed(clients.laptop), "it does not get in again")
                try demand(clients.isServed(clients.desk), "others do")
                try Deadline.until("both are counted") { try clients.ended("certificate_revoked") == 2 }
                let labels =
                    "{issuer=\"\(mesh.authority.root.subject)\",use=\"edge\",name=\"\(clients.edge.address)\"}"
                let text = try clients.edge.edge.exposition()
                try demand(text.contains("mesh_crl_entries\(labels) 1\n"), text)
                let due = "mesh_crl_next_update_timestamp_seconds\(labels) "
                let line = text.split(separator: "\n").first { $0.hasPrefix(due) }
                try demand(
                    Double(line?.dropFirst(due.count) ?? "") ?? 0 > Double(time(nil)),
                    "when the next one is due: \(text)")
            }
        }

        /// Under `hard` a list that has ended locks everybody out: the metric that the alert goes by says so.
        @Test func aStaleListUnderHard() throws {
            try withMesh { mesh in
                let clients = try Clients(mesh, mode: "hard")
                let socket = try clients.socket(clients.desk)
                try clients.lists.publish(ended: true)
                try clients.edge.edge.waitFor("revocation_unknown")
                try socket.waitEnd()
                try demand(!clients.isServed(clients.desk), "nobody gets in")
                try Deadline.until("it is counted") { try clients.ended("revocation_unknown") == 1 }
                let text = try clients.edge.edge.exposition()
                let line = text.split(separator: "\n").first {
                    $0.hasPrefix("mesh_crl_next_update_timestamp_seconds{") && $0.contains("use=\"edge\"")
                }
                let next = Double(line?.split(separator: " ").last ?? "") ?? .infinity
                try demand(next < Double(time(nil)), "it is overdue: \(line ?? "no line")")
                // What is no list leaves the one before in force, which here helps nobody; a good one does.
                try "no list\n".write(toFile: clients.lists.file, atomically: true, encoding: .utf8)
                try clients.edge.edge.waitFor("edge_certificates_refused")
                try clients.lists.publish()
                try Deadline.until("clients get in again") { clients.isServed(clients.desk) }
            }
        }
    }
}
