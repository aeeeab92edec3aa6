import Foundation
import JSON
import Link
import Testing

extension EndToEnd {
    @Suite struct Clocks {
        private static let hour: Int64 = 3600

        /// A node whose clock is two hours ahead: it is shown, and a certificate that is refused for its time is explained.
        @Test func wrongClocksAreShownAndExplain() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                // A little more than is said, since texts round down.
                let ahead = try LinkEnd(mesh, as: "Ahead", to: node, clockAhead: 2 * Self.hour + 20)
                // Something is said and answered, the agent's PING among it.
                let stream = try ahead.open(OpenRequest(service: "nothing"))
                guard case .refused = try ahead.next(of: stream) else { throw Failure("there is no such service") }
                func offset() throws -> Int64? {
                    let links = try node.control.get("/v1/links").json["links"]?.array ?? []
                    let link = links.first { (link: JSONValue) in link["node"]?.string == "Ahead" }
                    return link?["clockOffsetMilliseconds"]?.integer
                }
                try Deadline.until("the offset is known") { try offset() != nil }
                let shown = try offset() ?? 0
                try demand((shown - 2 * Self.hour * 1000).magnitude < 60_000, "\(shown) ms")
                let metric = try node.metric(#"mesh_link_clock_offset_seconds{node="Ahead"}"#) ?? 0
                try demand(abs(metric - Double(2 * Self.hour)) < 60, "\(metric) s")
                let table = try runProgram([TestMesh.binaries + "/mesh", "links", "--control", node.controlPath])
                try demand(table.output.contains("CLOCK") && table.output.contains("+7"), table.output)

                // Valid in an hour by this host's clock, which is alone with its opinion.
                _ = try? LinkEnd(mesh, as: "Late", to: node, issuedAhead: Self.hour)
                let refused = try node.waitFor("handshake_failed") { $0["reason"] == "not_yet_valid" }
                try demand(
                    refused["detail"]?.hasSuffix("; this host's clock is 2 h behind that of a linked node") == true,
                    refused.value.text())
                try demand(refused["hint"]?.contains("timedatectl") == true, refused.value.text())

                // Valid in a day: no clock that is known explains that.
                _ = try? LinkEnd(mesh, as: "Later", to: node, issuedAhead: 24 * Self.hour)
                let other = try node.waitFor("handshake_failed", skipping: 1) { $0["reason"] == "not_yet_valid" }
                try demand(other["detail"]?.contains("clock is") == false, other.value.text())
                withExtendedLifetime(ahead) {}
            }
        }
    }
}
