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
                /// Asks for so many bytes without reading them; whether the edge has given its whole answer then, though a
                /// part may still wait to be sent.
                func ask(_ count: Int) throws -> (EdgeEnd, isGiven: Bool) {
                    let end = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).90"))
                    end.host = edge.address
                    try end.sendRequest("GET", "/big/\(count)")
                    // Who moves nothing for several looks has nothing to move: a busy machine may stand still for one.
                    var (last, since): ([Double?], Int) = ([], 0)
                    try Deadline.until("nothing moves", every: 0.05 * Deadline.slowness) {
                        let kinds = try ["idle", "request"].map {
                            try edge.edge.metric("mesh_edge_connections{kind=\"\($0)\"}")
                        }
                        let now = kinds + [Double(edge.service.bigBytes)]
                        since = now == last && kinds != [nil, nil] ? since + 1 : 0
                        last = now
                        return since >= 4
                    }
                    return (end, last[0] == 1)
                }
                func close(_ end: EdgeEnd) throws {
                    end.close()
                    try Deadline.until("it is gone") {
                        try edge.edge.metric("mesh_edge_connections{kind=\"idle\"}") == nil
                            && edge.edge.metric("mesh_edge_connections{kind=\"request\"}") == nil
                    }
                }
                // How much the sockets hold differs. Just below what is too much to be given, a part of the answer waits.
                var (given, tooMuch) = (0, 16 << 20)
                while tooMuch - given > 64 << 10 {
                    let count = (given + tooMuch) / 2
                    let (end, isGiven) = try ask(count)
                    if isGiven { given = count } else { tooMuch = count }
                    try close(end)
                }
                // Neither the edge nor the kernel holds more for somebody who does not read.
                try demand((100_000..<1_500_000).contains(given), "\(given) bytes")
                var (slow, isGiven) = try ask(given)
                // It differs from one connection to the next, too.
                while !isGiven {
                    try close(slow)
                    given -= 32 << 10
                    try demand(given > 100_000, "\(given) bytes")
                    (slow, isGiven) = try ask(given)
                }
                func other() throws -> EdgeEnd {
                    let end = try edge.ask("/head")
                    try demandEqual(try end.answer().status, 200, "another client")
                    return end
                }
                var others = [try other(), try other()]
                // The third one is one too many: the second client has waited longest of those with nothing to take.
                others.append(try other())
                try Deadline.until("one made room") {
                    try edge.edge.metric("mesh_edge_ended_total{reason=\"evicted\"}") == 1
                }
                try demandEqual(try slow.answer().body.count, given, "the whole answer")
                withExtendedLifetime(others) {}
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
                // A connection for each loop, in their order; the first one is at work.
                let busy = try edge.ask("/events")
                try demandEqual(try busy.head().status, 200, "events")
                let waiting = try (0..<3).map { _ in
                    let end = try edge.ask("/head")
                    try demandEqual(try end.answer().status, 200, "another client")
                    return end
                }
                if let refused = try? edge.ask("/head") { try? refused.waitEnd() }
                try Deadline.until("it is counted") {
                    try edge.edge.metric("mesh_edge_refusals_total{reason=\"too_many_connections\"}") == 1
                }
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
