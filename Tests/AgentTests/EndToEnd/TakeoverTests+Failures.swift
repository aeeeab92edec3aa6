import Documents
import Foundation
import JSON
import PKI
import Testing

/// What fails, and who may not.
extension EndToEnd.Takeovers {
    @Test func aStartThatFailsChangesNothing() throws {
        try withMesh { mesh in
            let pair = try Pair(mesh, target: try mesh.echo().address)
            let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
            let client = pair.client
            let good = try String(contentsOfFile: client.configurationFile, encoding: .utf8)
            func spoil(_ text: String) throws {
                try text.write(toFile: client.configurationFile, atomically: true, encoding: .utf8)
            }
            try spoil(good.replacingOccurrences(of: "\"upstreams\"", with: "\"upstream\""))
            let bad = try client.failToTakeOver()
            try demandEqual(bad.status, 78, bad.output)
            try spoil(good.replacingOccurrences(of: client.directory + "/node.key", with: "/does/not/exist"))
            let keyless = try client.failToTakeOver()
            try demandEqual(keyless.status, 78, keyless.output)
            try demandEqual(keyless.output.components(separatedBy: "/does/not/exist").count - 1, 1, keyless.output)
            // What is found only after the old process has closed its files.
            try spoil(good.replacingOccurrences(of: client.host + ":8001", with: pair.server.meshAddress))
            let taken = try client.failToTakeOver()
            try demandEqual(taken.status, 1, taken.output)
            try demand(taken.output.contains("Address already in use"), taken.output)
            try spoil(
                try String(contentsOfFile: pair.server.configurationFile, encoding: .utf8).replacingOccurrences(
                    of: pair.server.controlPath, with: client.controlPath))
            let other = try client.failToTakeOver()
            try demandEqual(other.status, 78, other.output)
            try demand(other.output.contains("is node Client, and this one would be Server"), other.output)
            try spoil(good)
            try load.goOn(50)
            try load.finish("four takeovers that fail")
            try demandEqual(try client.metric(#"mesh_takeovers_total{result="failed"}"#), 3)
            try demandEqual(client.count("takeover_failed"), 3)
            // Nothing stays closed.
            try demandEqual(
                try client.control.request("PUT", "/v1/services/x", #"{"target":"127.0.0.1:9"}"#).status, 403)
            try demandEqual(try client.takeOver().wait(), 0, "exit status")
        }
    }

    @Test func theDirectoryGoesOnAfterAFailure() throws {
        try withMesh { mesh in
            mesh.policy.provide("late", at: "Directory")
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let claim = try ListeningSocket(host: node.host, port: 8009)
            node.upstream("late", at: claim.address)
            try node.writeFiles()
            let failed = try node.failToTakeOver()
            try demandEqual(failed.status, 1, failed.output)
            try node.waitFor("takeover_failed")
            let answer = try node.control.request("PUT", "/v1/services/late", #"{"target":"127.0.0.1:9"}"#)
            try demandEqual(answer.status, 201, answer.text)
            try demandEqual(answer.json["directory"]?.bool, true, answer.text)
        }
    }

    /// The audit log cannot be opened again when a takeover has come to nothing: the node takes on nothing, as it is told to,
    /// until it can.
    @Test func theAuditLogComesBack() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true) { $0.set("audit.onFailure", "closed") }
            try mesh.start()
            let claim = try ListeningSocket(host: node.host, port: 8009)
            let place = node.directory + "/state/audit"
            try FileManager.default.moveItem(atPath: place, toPath: place + ".away")
            try Data().write(to: URL(fileURLWithPath: place))
            let failed = try node.failToTakeOver()
            try demand(failed.status != 0, failed.output)
            try node.waitFor("audit_not_written")
            try Deadline.until("the node is closed") { !node.isReady }
            try FileManager.default.removeItem(atPath: place)
            try FileManager.default.moveItem(atPath: place + ".away", toPath: place)
            try node.waitFor("audit_written_again")
            try node.waitReady()
            // One that comes to nothing after the new process has written.
            node.upstream("late", at: claim.address)
            try node.writeFiles()
            let taken = try node.failToTakeOver()
            try demandEqual(taken.status, 1, taken.output)
            try node.waitFor("takeover_failed", skipping: 1)
            node.upstreams = []
            try demandEqual(try node.reload().status, 200)
            try Deadline.until("what came after it is in the log") {
                try node.audited().contains { $0["event"]?.string == "reloaded" }
            }
            try demand(node.isReady, "the node is closed")
            let verified = try node.mesh(["audit", "verify"])
            try demandEqual(verified.status, 0, verified.output)
        }
    }

    /// What the old process still sees while it ends is in the log that the new one keeps.
    @Test func theOldProcessIsAudited() throws {
        try withMesh { mesh in
            let edge = try EdgeMesh(mesh)
            let kept = try edge.connect()
            let old = try edge.edge.takeOver()
            try kept.sendRequest("GET", "/", headers: [("Authorization", "Bearer \(try edge.token("mallory"))")])
            try demandEqual(try kept.answer().status, 403)
            try Deadline.until("it is in the log") {
                try edge.edge.audited().contains {
                    $0["event"]?.string == "access_denied" && $0["fields"]?["process"]?.integer == Int64(old.pid)
                }
            }
            try demandEqual(try old.wait(), 0, "exit status")
            let verified = try edge.edge.mesh(["audit", "verify"])
            try demandEqual(verified.status, 0, verified.output)
        }
    }

    /// A takeover that fails for the reason `why`. As long as it lasts the control plane answers.
    private func takeoverFails(_ node: TestNode, _ why: String) throws {
        nonisolated(unsafe) let node = node
        let attempt = Background { try node.failToTakeOver() }
        try Deadline.until("the takeover fails", every: 0.05) {
            try demandEqual(try node.control.get("/v1/links").status, 200)
            return node.count("takeover_failed") == 1
        }
        let failed = try attempt.value(within: Deadline.patience)
        try demandEqual(failed.status, 1, failed.output)
        try demand(failed.output.contains(why), failed.output)
    }

    /// A disk that does not answer fails the takeover, and holds up nothing else.
    @Test(.enabled(if: getuid() == 0)) func aStuckDiskHoldsUpNothing() throws {
        try withMesh { mesh in
            nonisolated(unsafe) let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let thread = try HeldThread("audit", of: try node.running())
            try takeoverFails(node, "the audit log's disk does not answer")
            try thread.release()
            try demandEqual(try node.reload().status, 200)
            try Deadline.until("the log goes on") {
                try node.audited().contains { $0["event"]?.string == "reloaded" }
            }
            try demandEqual(try node.takeOver().wait(), 0, "exit status")
            let verified = try node.mesh(["audit", "verify"])
            try demandEqual(verified.status, 0, verified.output)
        }
    }

    /// A document that is in force and not on disk yet: the other process would go by the one before. It is waited for, a moment and
    /// not longer, and meanwhile nothing else is held up.
    @Test(.enabled(if: getuid() == 0)) func aDocumentOnItsWayToTheDisk() throws {
        try withMesh { mesh in
            let operators = try TestOperator(mesh)
            nonisolated(unsafe) let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            try node.take(operators.list)
            let revocations = try operators.revocations(1, [.node("Ghost", validBefore: 5)])
            let thread = try HeldThread("documents", of: try node.running())
            let late = Background { try node.offer(revocations) }
            try node.waitDocument(.revocations, version: 1)
            try takeoverFails(node, "a document that is in force is not on disk")
            // A disk that takes it while it is waited for.
            let wire = try Wire("unix:" + node.takeoverPath)
            try wire.send(Self.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
            try wire.send(Self.message(#"{"type":"freeze","descriptors":0}"#))
            try Deadline.until("nothing can be changed") {
                try node.control.request("PUT", "/v1/services/x", #"{"target":"127.0.0.1:9"}"#).status == 503
            }
            try thread.release()
            var answer = try Self.type(of: wire)
            while answer == "offer" || answer == "listener" { answer = try Self.type(of: wire) }
            try demandEqual(answer, "frozen")
            try demandEqual(try late.value(within: Deadline.patience).json["stored"]?.bool, true)
            wire.close()
            try node.waitFor("takeover_failed", skipping: 1)
            let old = try node.takeOver()
            try demandEqual(try node.documentVersion(.revocations), 1)
            try demandEqual(try old.wait(), 0, "exit status")
        }
    }

    @Test func onlyOneTakesOver() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let wire = try Wire("unix:" + node.takeoverPath)
            try wire.send(Self.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
            try demand(try Self.type(of: wire) == "offer", "no offer")
            let second = try node.failToTakeOver()
            try demandEqual(second.status, 1, second.output)
            try demand(second.output.contains("refused (busy)"), second.output)
            wire.close()
            try node.waitFor("takeover_failed")
            let future = try Wire("unix:" + node.takeoverPath)
            try future.send(Self.message(#"{"type":"hello","protocol":2,"descriptors":0}"#))
            try demand(try Self.type(of: future) == "refused", "another version was not refused")
            let noise = try Wire("unix:" + node.takeoverPath)
            try noise.send([UInt8](repeating: 0xFF, count: 64))
            try demandEqual(noise.receive(), .end, "noise")
            try demandEqual(try node.takeOver().wait(), 0, "exit status")
        }
    }

    static func message(_ text: String) -> [UInt8] {
        let count = UInt32(text.utf8.count)
        return (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * UInt32($0))) } + [0, 0, 0, 0]
            + Array(text.utf8)
    }

    static func type(of wire: Wire) throws -> String? {
        let head = try wire.receive(exactly: 8)
        let count = head[..<4].reduce(0) { $0 << 8 | Int($1) }
        return try JSONReader.parse(try wire.receive(exactly: count))["type"]?.string
    }

    @Test(.enabled(if: getuid() == 0)) func anotherUserMayNot() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            // Directory and socket are their owner's alone; who gets past them is asked who he is.
            let outside = try node.failToTakeOver(prefix: Self.nobody)
            try demandEqual(outside.status, 1, outside.output)
            try demand(outside.output.contains("EACCES"), outside.output)
            for path in [node.directory, node.directory + "/control"] { chmod(path, 0o755) }
            chmod(node.takeoverPath, 0o777)
            let refused = try node.failToTakeOver(prefix: Self.nobody)
            try demandEqual(refused.status, 1, refused.output)
            try demand(refused.output.contains("refused (not_permitted)"), refused.output)
            try demandEqual(try node.metric(#"mesh_takeovers_total{result="refused"}"#), 1)
            let record = try node.waitFor("takeover_refused")
            try demandEqual(record.value["uid"]?.integer, 65534)
        }
    }

    private static let nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--"]

    @Test func whereNobodyRunsItIsAnOrdinaryStart() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            try node.writeFiles()
            try node.launch(["--takeover"])
            try node.waitReady()
            try node.waitFor("takeover_none")
            // A dead agent's sockets are nobody.
            node.kill()
            try node.launch(["--takeover"])
            try node.waitReady()
            // An agent that does not know how.
            unlink(node.takeoverPath)
            let refused = try node.failToTakeOver()
            try demandEqual(refused.status, 1, refused.output)
            try demand(refused.output.contains("its version does not know how"), refused.output)
        }
    }
}
