import Foundation
import JSON
import Link
import Testing

extension EndToEnd {
    /// A node at its limits: who comes is told why and when to come again, and what goes on goes on.
    @Suite struct Overload {
        /// The node has all the links it takes. It names a delay, which holds whatever the other node's applications do.
        @Test func theNamedDelayHoldsForApplicationsToo() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { _, server in server.set("limits.maxLinks", 1) }
                // The one link of the server is the directory's. The first application makes the client dial.
                let first = try Wire(pair.upstream)
                try demandEqual(first.receive(), .reset, "the first application sees")
                let refused = try pair.client.waitFor("dial_failed") { $0["node"] == "Server" }
                try demandEqual(refused["reason"], "overloaded")
                func refusals() -> [LogRecord] {
                    pair.server.records.filter { $0.event == "handshake_failed" && $0["node"] == "Client" }
                }
                try pair.server.waitFor("handshake_failed") { $0["node"] == "Client" }
                try demandEqual(refusals().count, 1)
                // An application in a loop: told at once, and nothing is dialled.
                for _ in 0..<100 {
                    try demandEqual(try Wire(pair.upstream).receive(), .reset, "another application sees")
                }
                let told = try pair.client.waitFor("open_failed", skipping: 1)
                try demand(told["detail"]?.contains("all the links it takes") == true, told.value.text())
                try demand(told["detail"]?.contains("is dialled again in") == true, told.value.text())
                // On and on, until it has been dialled again: not before the delay was over.
                try Deadline.until("the server is asked again", every: 0.02) {
                    _ = try Wire(pair.upstream).receive()
                    return refusals().count > 1
                }
                let times = try refusals().prefix(2).map { try milliseconds($0) }
                try demand(times[1] - times[0] >= 5_000, "asked again after \(times[1] - times[0]) ms")
                let held = try pair.client.metric(#"mesh_link_wishes_held_total{outcome="refused"}"#) ?? 0
                try demand(held >= 100, "\(held) wishes were held")
                try Deadline.until("two handshakes and no more", every: 0.02) {
                    try pair.client.metric(#"mesh_handshake_failures_total{reason="overloaded"}"#) == 2
                }
            }
        }

        /// A hub with room for one node comes back: the other one waits as long as it was told, without any application.
        @Test func theLoserOfARestartedHubWaits() throws {
            try withMesh { mesh in
                let hub = try mesh.node("Directory", directory: true) { $0.set("limits.maxLinks", 1) }
                let nodes = try ["Alpha", "Beta"].map { try mesh.node($0) }
                for node in mesh.nodes { try node.start() }
                func refusals(since count: Int) -> [LogRecord] {
                    Array(
                        hub.records.filter { $0.event == "handshake_failed" && $0["reason"] == "overloaded" }
                            .dropFirst(count))
                }
                try Deadline.until("one of them is refused") { !refusals(since: 0).isEmpty }
                hub.kill()
                for node in nodes { try node.waitFor("dial_failed") { $0["reason"] == "connect_refused" } }
                // Its output goes to another file.
                try hub.launch()
                try Deadline.until("one of them is refused twice") { refusals(since: 0).count >= 2 }
                let times = try refusals(since: 0).prefix(2).map { try milliseconds($0) }
                try demand(times[1] - times[0] >= 5_000, "it came again after \(times[1] - times[0]) ms")
            }
        }

        /// Waits until a connection to `upstream` is carried again: there is somebody who answers.
        func waitCarried(by upstream: String, _ what: String) throws {
            try Deadline.until(what, every: 0.02) {
                let wire = try Wire(upstream)
                try? wire.send("?")
                if case .bytes = wire.receive() { return true } else { return false }
            }
        }

        private func milliseconds(_ record: LogRecord) throws -> Int64 {
            let formatter = ISO8601DateFormatter()
            formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
            guard let text = record["time"], let date = formatter.date(from: text) else {
                throw Failure("no time in \(record.value.text())")
            }
            return Int64((date.timeIntervalSince1970 * 1000).rounded())
        }
    }
}
