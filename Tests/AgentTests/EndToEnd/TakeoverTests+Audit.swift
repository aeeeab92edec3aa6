import Audit
import Foundation
import JSON
import Testing

/// What takeovers that come to nothing leave to the audit log.
extension EndToEnd.Takeovers {
    /// The files come back while the disk is full, with a record behind the last seal, of a process that was killed: it is said that the
    /// log cannot be written, although nobody has done anything since, and there is a seal as soon as there is room.
    @Test(.enabled(if: getuid() == 0)) func theFirstSealWaitsForRoom() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("audit.onFailure", "closed")
                node.set("audit.checkpointInterval", .string(Deadline.milliseconds(200)))
            }
            node.hasSmallAuditDisk()
            try mesh.start()
            // The test is the process that takes over, up to where the files are its own.
            let wire = try Wire("unix:" + node.takeoverPath)
            try wire.send(Self.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
            try wire.send(Self.message(#"{"type":"freeze","descriptors":0}"#))
            var said: String?
            repeat { said = try Self.type(of: wire) } while said == "offer" || said == "listener"
            try demandEqual(said, "frozen")
            let place = "/proc/\(try node.running().pid)/root\(node.directory)/state/audit"
            let unsealed = try appendRecord(to: place)
            let filler = try node.fillAuditDisk()
            wire.close()
            try node.waitFor("takeover_failed")
            let told = try node.waitFor("audit_not_written")
            try demand(told["detail"]?.contains("No space left") == true, told["detail"] ?? "no detail")
            try demand(node.isReady, "nothing of anybody waits, and the node is closed")
            try FileManager.default.removeItem(atPath: filler)
            try Deadline.until("it is sealed") {
                let last = try node.auditRecords().last
                return last?["event"]?.string == AuditChain.checkpointEvent
                    && last?["seq"]?.integer == Int64(unsealed) + 1
            }
            try node.waitFor("audit_written_again")
            let copy = mesh.directory + "/copy"
            try FileManager.default.copyItem(atPath: place, toPath: copy)
            let verified = try node.mesh(
                ["audit", "verify", copy, "--key", node.directory + "/state/audit.key.pub", "--json"])
            try demandEqual(verified.status, 0, verified.output)
        }
    }

    /// Writes a record behind the last one, without a seal, that fills the file's last page: nothing fits behind it once the disk is
    /// full. Gives its number.
    private func appendRecord(to place: String) throws -> UInt64 {
        let name = try demandValue(FileManager.default.contentsOfDirectory(atPath: place).max(), "file")
        let file = try #require(FileHandle(forUpdatingAtPath: place + "/" + name))
        let bytes = try [UInt8](file.readToEnd() ?? Data())
        var verifier = AuditVerifier(key: nil)
        verifier.read(file: name, bytes)
        let end = AuditChain(log: verifier.log ?? "", sequence: verifier.last, hash: verifier.hash)
        func record(_ padding: Int) -> [UInt8] {
            var chain = end
            return chain.append(
                time: "2026-01-01T00:00:00Z", event: "reloaded", category: .policy, severity: "info",
                fields: ["message": .string(String(repeating: "x", count: padding))])
        }
        let page = Int(getpagesize())
        let padding = page - (bytes.count + record(0).count) % page
        try file.write(contentsOf: record(padding))
        try demandEqual(Int(try file.offset()) % page, 0, "bytes behind the last full page")
        try file.close()
        return end.sequence + 1
    }

    /// Processes that want to take over give a disk that does not answer no more time: what has waited for it goes on to wait. Only the
    /// time for which the files are to be another process' counts for nothing.
    @Test(.enabled(if: getuid() == 0)) func aTakeoverThatFailsGivesADiskNoTime() throws {
        try withMesh { mesh in
            nonisolated(unsafe) let node = try mesh.node("Directory", directory: true) {
                $0.set("audit.maxDelay", "3600s")
            }
            try mesh.start()
            func delay() throws -> Double {
                try demandValue(try node.metric("mesh_audit_delay_seconds"), "mesh_audit_delay_seconds")
            }
            try Deadline.until("all is written") { try delay() == 0 }
            let thread = try HeldThread("audit", of: try node.running())
            try demandEqual(try node.reload().status, 200)
            let (start, before) = try Deadline.wait("it waits") { () -> (Double, Double)? in
                let now = Deadline.now
                let waited = try delay()
                return waited >= 2 ? (now, waited) : nil
            }
            let attempt = Background { try node.failToTakeOver() }
            try Deadline.until("nothing waits for the disk while another process may have the files", every: 0.05) {
                try delay() == 0
            }
            let failed = try attempt.value(within: Deadline.patience)
            try demand(failed.output.contains("the audit log's disk does not answer"), failed.output)
            let after = try delay()
            let passed = Deadline.now - start
            try demand(after >= before, "it has waited for \(after) s now, and for \(before) s before")
            // Five seconds are what the disk gets for letting the files go.
            try demand(
                after <= before + passed - 5 + 0.01, "in \(passed) s it has waited \(after) s instead of \(before) s")
            try thread.release()
            try Deadline.until("it is written") { try delay() == 0 }
            try demand(try node.audited().contains { $0["event"]?.string == "reloaded" }, "it is not in the log")
            let verified = try node.mesh(["audit", "verify"])
            try demandEqual(verified.status, 0, verified.output)
        }
    }
}
