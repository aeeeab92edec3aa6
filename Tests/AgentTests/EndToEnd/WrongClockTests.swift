import Enrolment
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Hosts whose clocks are wrong, as their users see it.
    @Suite(.enabled(if: ShiftedClock.isPossible)) struct WrongClocks {
        private static let hour: Int64 = 3600

        /// A host two hours ahead finds a certificate of an hour expired. Both ends say that it may be a clock, and once they are
        /// linked, whose.
        @Test func aHostThatIsAhead() throws {
            try withMesh { mesh in
                let hub = try mesh.node("Directory", directory: true)
                let ahead = try mesh.node("Ahead") { node in
                    node.environment.merge(try ShiftedClock.environment(mesh, ahead: 2 * Self.hour + 20)) { $1 }
                    node.set("links.reconnectMaxPermanent", "100ms")
                }
                try hub.issue(IssueRequest(node: "Directory", validity: Self.hour))
                try hub.start()
                try hub.waitReady()
                try ahead.start()
                let refused = try ahead.waitFor("dial_failed") { $0["reason"] == "expired" }
                try demand(refused["detail"]?.contains("no other node's clock is known") == true, refused.value.text())
                try demand(refused["hint"]?.contains("timedatectl") == true, refused.value.text())
                let told = try hub.waitFor("handshake_failed") { $0["reason"] == "refused_by_peer" }
                try demand(
                    told["detail"]?.contains("one of the two clocks is wrong") == true, told.value.text())

                // A certificate that lasts: the link shows how far the clocks are apart.
                try hub.issue(IssueRequest(node: "Directory"))
                try hub.reload()
                try ahead.waitLinked(to: hub)
                try Deadline.until("the offset is shown", every: 0.05) {
                    let offset = try hub.link(to: ahead)?["clockOffsetMilliseconds"]?.integer ?? 0
                    return (offset - (2 * Self.hour + 20) * 1000).magnitude < 60_000
                }
                for (node, text) in [(hub, "+7"), (ahead, "-7")] {
                    let table = try runProgram([TestMesh.binaries + "/mesh", "links", "--control", node.controlPath])
                    try demand(table.output.contains("CLOCK") && table.output.contains(text), table.output)
                }
                try hub.issue(IssueRequest(node: "Directory", validity: Self.hour))
                try hub.reload()
                try ahead.waitFor("handshake_failed") {
                    $0["detail"]?.contains("this host's clock is 2 h ahead of that of a linked node") == true
                }
                try Deadline.until("the other end knows why it was refused") {
                    hub.records.contains { (record: LogRecord) in
                        record["detail"]?.contains(
                            "by the clock of node Ahead, which was 2 h ahead of this host's when it was linked last, this "
                                + "node's certificate has expired") == true
                    }
                }
            }
        }

        /// A host two hours behind starts, and what it says of its own certificate is the clock; when the clock is right, it links.
        @Test func aHostThatIsBehind() throws {
            try withMesh { mesh in
                try mesh.node("Directory", directory: true)
                try mesh.start()
                let behind = try mesh.node("Behind") { node in
                    node.environment.merge(try ShiftedClock.environment(mesh, ahead: -2 * Self.hour)) { $1 }
                }
                try behind.start()
                behind.expectEnd()
                try demand(
                    try behind.running().wait(within: Deadline.patience) != 0,
                    "it runs with a certificate of the future")
                let output = try behind.running().output
                try demand(output.contains("not_yet_valid") && output.contains("timedatectl"), output)
            }
        }

        /// Joining: the CA's own certificate, made a moment ago, is of the future here.
        @Test func aNodeThatJoinsByAWrongClock() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try mesh.start()
                let node = try mesh.node("Behind") { $0.joinsByToken() }
                try ca.createToken(for: "Behind", in: node.tokenFile)
                let wrong = try ShiftedClock.environment(mesh, ahead: -2 * Self.hour)
                let joined = try runProgram(
                    [
                        TestMesh.binaries + "/mesh", "join", "--json", "--token-file", node.tokenFile, "--out",
                        node.directory + "/joined",
                    ], environment: wrong)
                try demandEqual(joined.status, 5, joined.output)
                try demand(
                    joined.output.contains("wrong_clock") && joined.output.contains("timedatectl"), joined.output)
                // An agent asks again, and has lost nothing once its clock is right.
                node.environment.merge(wrong) { $1 }
                node.set("identity.join.patience", "1h")
                try node.start()
                let delayed = try node.waitFor("join_delayed")
                try demandEqual(delayed["reason"], "wrong_clock", delayed.value.text())
                node.kill()
                node.environment["TEST_CLOCK_SHIFT"] = "0"
                try node.start()
                try node.waitReady()
            }
        }
    }
}
