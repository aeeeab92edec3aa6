import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Who makes room for whom when there are too many connections.
    @Suite struct EdgeRoom {
        /// A client that is still taking its answer is not the one who has to go.
        @Test func anAnswerOnItsWayIsNotCutShort() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["tls": "disabled", "certificates": []], route: ["require": "none"]
                ) {
                    $0.set("edge.limits.connections", 3)
                    $0.set("workers", 1)
                }
                // Far more than the sockets hold: answers are given as long as they are taken, and a part waits here.
                let (count, answers) = (100_000, 100)
                let slow = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).90"))
                slow.host = edge.address
                for _ in 0..<answers { try slow.sendRequest("GET", "/big/\(count)") }
                var given = 0
                try Deadline.until("it waits", every: 0.3) {
                    let now = edge.service.heads.count
                    defer { given = now }
                    return now > 0 && now == given
                }
                try demand(given < answers, "\(given) answers were given")
                try demandEqual(try edge.edge.metric("mesh_edge_connections{kind=\"idle\"}"), 1)
                func other() throws -> EdgeEnd {
                    let end = try EdgeEnd(Wire(edge.address))
                    end.host = edge.address
                    try end.sendRequest("GET", "/head")
                    try demandEqual(try end.answer().status, 200, "another client")
                    return end
                }
                var others = [try other(), try other()]
                // The third one is one too many: the second client has waited longest of those with nothing to take.
                others.append(try other())
                try Deadline.until("one made room") {
                    try edge.edge.metric("mesh_edge_ended_total{reason=\"evicted\"}") == 1
                }
                try others[0].waitEnd()
                for number in 0..<answers { try demandEqual(try slow.answer().body.count, count, "answer \(number)") }
            }
        }

        /// The loop on which a newcomer is refused has nobody who waits: one of the other loops closes one, and only one.
        @Test func oneRefusedNewcomerCostsOneConnection() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["tls": "disabled", "certificates": []], route: ["require": "none"]
                ) {
                    $0.set("edge.limits.connections", 4)
                    $0.set("workers", 4)
                }
                func connect(_ target: String) throws -> EdgeEnd {
                    let end = try EdgeEnd(Wire(edge.address))
                    end.host = edge.address
                    try end.sendRequest("GET", target)
                    return end
                }
                // A connection for each loop, in their order; the first one is at work.
                let busy = try connect("/events")
                try demandEqual(try busy.head().status, 200, "events")
                let waiting = try (0..<3).map { _ in
                    let end = try connect("/head")
                    try demandEqual(try end.answer().status, 200, "another client")
                    return end
                }
                if let refused = try? connect("/head") { try? refused.waitEnd() }
                try demandEqual(try edge.edge.metric("mesh_edge_refusals_total{reason=\"too_many_connections\"}"), 1)
                try Deadline.until("one made room") {
                    try edge.edge.metric("mesh_edge_ended_total{reason=\"evicted\"}") ?? 0 > 0
                }
                var left = 0
                for end in waiting {
                    guard (try? end.sendRequest("GET", "/head")) != nil, let answer = try? end.answer() else {
                        continue
                    }
                    left += answer.status == 200 ? 1 : 0
                }
                try demandEqual(left, 2, "those who may stay")
                try demandEqual(try edge.edge.metric("mesh_edge_ended_total{reason=\"evicted\"}"), 1)
            }
        }
    }
}
