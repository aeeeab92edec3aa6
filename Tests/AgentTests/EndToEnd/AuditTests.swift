import Audit
import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// The audit log of running agents: what gets in, what is found when somebody changes it, and what a full disk does.
    @Suite struct AuditLogs {
        private func directory(_ node: TestNode) -> String { node.directory + "/state/audit" }

        private func files(_ node: TestNode) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: directory(node)).sorted().map {
                directory(node) + "/" + $0
            }
        }

        private func verify(_ node: TestNode, offline: Bool = false, _ more: [String] = []) throws -> JSONValue {
            let result = try node.mesh(["audit", "verify", "--json"] + (offline ? [directory(node)] : []) + more)
            let value = try JSONReader.parse(result.output)
            try demandEqual(result.status, value["ok"]?.bool == true ? 0 : 1, result.output)
            return value
        }

        private func demandGood(_ node: TestNode, offline: Bool = false) throws {
            let value = try verify(node, offline: offline)
            try demand(value["ok"]?.bool == true && value["signaturesChecked"]?.bool == true, "\(value)")
        }

        private func kinds(_ node: TestNode) throws -> Set<String> {
            Set(try verify(node, offline: true)["findings"]?.array?.compactMap { $0["kind"]?.string } ?? [])
        }

        /// Somebody starts the agent once more, by mistake: it says so, and has written nothing into the running agent's log.
        @Test func aSecondAgentLeavesTheLogAlone() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try node.waitAudited("started")
                let before = try node.auditRecords().count
                for _ in 1...2 {
                    let second = try runProgram([
                        TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile,
                    ])
                    try demandEqual(second.status, 1, second.output)
                    try demand(second.output.contains("runs already"), second.output)
                }
                try demandEqual(try node.auditRecords().count, before, "records")
                try demandEqual(try node.reload().status, 200)
                try Deadline.until("the running agent writes on") { try node.auditRecords().count > before }
                try demandGood(node)
                // The lock goes with the process, also with one that is killed.
                node.kill()
                try node.launch()
                try node.waitReady()
                try demandGood(node)
            }
        }

        /// What happens gets in, with modes that an open umask does not change; and the commands show and check it.
        @Test func whatHappensIsThere() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                node.prefix = ["sh", "-c", "umask 000; exec \"$@\"", "sh"]
                try mesh.start()
                try node.take(operators.list)
                try node.take(try operators.sign(.policy, 1, mesh.policy.text))
                _ = try node.offer(try operators.sign(.policy, 1, mesh.policy.text + " "))
                try node.createToken(for: "a", in: mesh.directory + "/token")
                try demandEqual(try node.join(mesh.directory + "/token").status, 0)
                try Wire(node.meshAddress).send("this is no TLS at all, whatever it is, and long enough\r\n\r\n")
                try node.waitFor("handshake_failed")
                let expected = [
                    "started", "document_taken", "document_refused", "token_created", "certificate_issued",
                    "handshake_failed",
                ]
                try Deadline.until("everything is in the log") {
                    let events = Set(try node.auditRecords().compactMap { $0["event"]?.string })
                    return events.isSuperset(of: expected)
                }
                try demandGood(node)
                let ca = try node.auditRecords(["--category", "ca"])
                try demand(ca.allSatisfy { $0["category"]?.string == "ca" } && ca.count >= 2, "\(ca)")
                let issued = try node.auditRecords(["--event", "certificate_issued", "--node", "a"])
                try demandEqual(issued.count, 1)
                try demandEqual(try node.auditRecords(["--since", "2199-01-01"]).count, 0)
                try demand(try node.auditRecords(["--since", "1h"]).count > 5, "an hour ago")
                try demandEqual(try node.auditRecords(["--since", "1ms"]).count, 0)
                for text in ["yesterday", "2026-13-01", "2026-11-29T25:00", "1", "-1h"] {
                    let refused = try node.mesh(["audit", "tail", "--since=\(text)"])
                    try demandEqual(refused.status, 2, "\(text): \(refused.output)")
                }
                for file in try files(node) + [
                    node.directory + "/state/audit.key", node.directory + "/state/audit.key.seal",
                ] {
                    let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                    try demandEqual(mode, 0o600, file)
                }
                let mode = try FileManager.default.attributesOfItem(atPath: directory(node))[.posixPermissions] as? Int
                try demandEqual(mode, 0o700)
                try demand(try node.metric(#"mesh_audit_records_total{category="policy"}"#) ?? 0 >= 3, "not counted")
                // A token's text, which is a secret, is in no record.
                let token = try String(contentsOfFile: mesh.directory + "/token", encoding: .utf8)
                for file in try files(node) {
                    let text = try String(contentsOfFile: file, encoding: .utf8)
                    try demand(!text.contains(token.dropFirst(20).prefix(40)), "a token in \(file)")
                }
                try node.stop()
                try demand(try kinds(node).isEmpty, "after the end")
            }
        }

        /// The host's syslog gets the same events; without it nothing waits.
        @Test func syslog() throws {
            try withMesh { mesh in
                let path = mesh.directory + "/log"
                let node = try mesh.node("Directory", directory: true) { $0.set("audit.syslog", .string(path)) }
                try mesh.start()
                // Nobody listens yet.
                try Deadline.until("it is dropped") { try node.metric("mesh_audit_syslog_dropped_total") ?? 0 >= 1 }
                let socket = try DatagramSocket(path)
                try demandEqual(try node.reload().status, 200)
                let text = try socket.receive()
                try demand(text.hasPrefix("<86>mesh-agent[\(try node.running().pid)]: reloaded {"), text)
                try demand(text.contains(#""category":"policy""#), text)
            }
        }

        /// Keys are in the memory of an agent: no core dump, unless somebody wants to debug.
        @Test func coreDumps() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                node.prefix = ["sh", "-c", "ulimit -S -c unlimited 2>/dev/null; exec \"$@\"", "sh"]
                try mesh.start()
                func softLimit() throws -> String {
                    let text = try String(
                        contentsOfFile: "/proc/\(try node.running().pid)/limits", encoding: .utf8)
                    let line = text.split(separator: "\n").first { $0.hasPrefix("Max core file size") } ?? ""
                    return String(line.dropFirst(18).trimmingCharacters(in: .whitespaces).prefix { $0 != " " })
                }
                try demandEqual(try softLimit(), "0")
                try demandEqual(node.count("core_dumps_allowed"), 0)
                try node.stop()
                node.set("node.coreDumps", true)
                try node.start()
                try node.waitReady()
                try node.waitFor("core_dumps_allowed")
                // Sanitizers forbid dumps of their own accord.
                guard ProcessInfo.processInfo.environment["MESH_SANITIZED"] != "1" else { return }
                try demandEqual(try softLimit(), "unlimited")
            }
        }

        /// Each kind of damage is found by the command, in what an agent has written.
        @Test func damageIsFound() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                for _ in 0..<6 { try demandEqual(try node.reload().status, 200) }
                try node.stop()
                try demandGood(node, offline: true)
                let file = try demandValue(files(node).last, "file")
                let text = try String(contentsOfFile: file, encoding: .utf8)
                let lines = text.split(separator: "\n").map(String.init)
                func damage(_ change: (inout [String]) -> Void, _ kind: String) throws {
                    var changed = lines
                    change(&changed)
                    try (changed.joined(separator: "\n") + "\n").write(toFile: file, atomically: true, encoding: .utf8)
                    let found = try kinds(node)
                    try demand(found.contains(kind), "\(kind) is not found: \(found)")
                }
                try damage({ $0[3] = $0[3].replacingOccurrences(of: "reloaded", with: "reloadee") }, "changed")
                try damage({ $0.remove(at: 3) }, "removed")
                try damage({ $0.swapAt(3, 4) }, "reordered")
                try damage({ $0.removeLast(2) }, "truncated")
                // The agent goes on, and does not cover it up.
                try node.launch()
                try node.waitReady()
                try node.waitFor("audit_truncated")
                try node.stop()
                let found = try kinds(node)
                try demand(found.contains("removed"), "the missing end is forgotten: \(found)")
            }
        }

        /// Killed while it writes, again and again: the chain is whole each time, and goes on.
        @Test func killedWhileWriting() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true) { $0.set("audit.maxFileSize", "64KiB") }
                for round in 0..<8 {
                    try node.start()
                    try node.waitReady()
                    if round == 0 { try node.take(operators.list) }
                    let forged = try operators.sign(.policy, 1, mesh.policy.text, domain: "other.test")
                    let (control, text) = (node.control, String(decoding: forged.envelope, as: UTF8.self))
                    let answered = Counter()
                    let load = Background {
                        while (try? control.request("PUT", "/v1/documents/policy", text)) != nil { answered.add(1) }
                    }
                    try Deadline.until("it writes") { answered.value >= 10 + 5 * round }
                    node.kill()
                    node.expectEnd()
                    try load.value(within: 30)
                    try demandGood(node, offline: true)
                }
                let last = try verify(node, offline: true)["last"]?.integer ?? 0
                try node.start()
                try node.waitReady()
                let value = try verify(node)
                try demand(value["ok"]?.bool == true && (value["records"]?.integer ?? 0) > 50, "\(value)")
                try demand(
                    value["sealedThrough"]?.integer ?? 0 >= last, "what was killed is not sealed: \(value), \(last)")
                print("audit: \(value["records"] ?? 0) records in \(try files(node).count) files after eight kills")
            }
        }

        /// Files have a bound, and so has the log; what was removed for it is said.
        @Test func rotation() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true) {
                    $0.set("audit.maxFileSize", "64KiB")
                    $0.set("audit.maxTotalSize", "128KiB")
                }
                try mesh.start()
                try node.take(operators.list)
                let forged = try operators.sign(.policy, 1, mesh.policy.text, domain: "other.test")
                // 600 in a minute are written one by one; reloads always are.
                for _ in 0..<400 { _ = try node.offer(forged) }
                try Deadline.until("the first file is gone", within: 60 * Deadline.slowness) {
                    for _ in 0..<20 { _ = try node.reload() }
                    return try !files(node).contains { $0.hasSuffix("audit-0000000000000001.log") }
                }
                try demandGood(node)
                try demand(try node.metric("mesh_audit_bytes") ?? 0 < 262_144, "the bound does not hold")
                try demandEqual(try node.auditRecords(["--event", "audit_files_removed"]).isEmpty, false)
                // One more than the log says.
                let first = try demandValue(files(node).first, "file")
                try FileManager.default.removeItem(atPath: first)
                try demand(try kinds(node).contains("removed"), "a removed file is not found")
            }
        }

        /// Floods are counted, not written one by one: those of strangers, and those of somebody known.
        @Test func floodsFillNothing() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try node.take(operators.list)
                for _ in 0..<150 { try Wire(node.meshAddress).send("no TLS, but long enough to be looked at\r\n\r\n") }
                let forged = try operators.sign(.policy, 1, mesh.policy.text, domain: "other.test")
                // 600 in a minute are written one by one, however long these take.
                var offers = 0
                while try offers < 700 || node.metric("mesh_audit_aggregated_total") ?? 0 < 200 {
                    for _ in 0..<50 { try demandEqual(try node.offer(forged).reason, "other_mesh") }
                    offers += 50
                    try demand(offers < 20_000, "nothing is counted instead of written")
                }
                try node.stop()
                let list = try node.mesh(["audit", "tail", directory(node), "--json", "-n", "50000"]).output
                let all = try list.split(separator: "\n").map { try JSONReader.parse(String($0)) }
                let strangers = all.filter { $0["event"]?.string == "handshake_failed" }
                try demand((1...40).contains(strangers.count), "\(strangers.count) records of strangers")
                let refused = all.filter { $0["event"]?.string == "document_refused" }
                let single = refused.count { $0["fields"]?["count"] == nil }
                try demand(single < offers, "\(single) records one by one")
                let counted = refused.compactMap { $0["fields"]?["count"]?.integer }.reduce(0, +)
                try demandEqual(single + Int(counted), offers, "events in all")
            }
        }

        /// The disk is full: strangers cannot switch anything off; what somebody known does closes the node, if it is told to,
        /// until there is room again.
        @Test func aFullDisk() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.identity("shop", of: "Directory")
                mesh.policy.connect("service:shop", to: "echo")
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("audit.onFailure", "closed")
                    node.offer("echo", service.address)
                }
                let upstream = node.upstream("echo", as: "shop", port: 8001)
                let place = directory(node)
                node.hasSmallAuditDisk()
                try mesh.start()
                try node.waitInstances(of: "echo", at: ["Directory"])
                let kept = try Wire(upstream)
                try kept.echo("before")
                let filler = try node.fillAuditDisk()
                for _ in 0..<30 { try Wire(node.meshAddress).send("no TLS, but long enough to be looked at\r\n\r\n") }
                try node.waitFor("audit_not_written")
                try demandEqual(try node.metric("mesh_audit_failing"), 1)
                try demand(node.isReady, "strangers have switched the node off")
                try Wire(upstream).echo("strangers do not matter")
                // Somebody known.
                try demandEqual(try node.reload().status, 200)
                try Deadline.until("the node is closed") { !node.isReady }
                try demand(try node.metrics.get("/readyz").text.contains("audit_not_written"), "no reason")
                let refused = try node.control.request("POST", "/v1/reload", "")
                try demandEqual(refused.reason, "audit_not_written", refused.text)
                try demandEqual(try Wire(upstream).receive(), .reset, "a new stream")
                try kept.echo("an old one goes on")
                try FileManager.default.removeItem(atPath: filler)
                try node.waitFor("audit_written_again")
                try node.waitReady()
                try Wire(upstream).echo("after")
                try demandEqual(try node.metric("mesh_audit_lost_total"), 0)
                let copy = mesh.directory + "/copy"
                try FileManager.default.copyItem(
                    atPath: "/proc/\(try node.running().pid)/root\(place)", toPath: copy)
                let verified = try node.mesh(
                    ["audit", "verify", copy, "--key", node.directory + "/state/audit.key.pub", "--json"])
                try demandEqual(verified.status, 0, verified.output)
            }
        }

        /// The newest seal cannot be put beside the key, from the first one on: that is said, the log is written and sealed all the same,
        /// and the next seal is put there.
        @Test func aSealThatCannotBePut() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("audit.onFailure", "closed")
                    node.set("audit.checkpointInterval", .string(Deadline.milliseconds(200)))
                }
                let file = node.directory + "/state/audit.key.seal"
                try FileManager.default.createDirectory(
                    atPath: file, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                try mesh.start()
                try demandEqual(try node.waitFor("audit_seal_not_written")["file"], file)
                try demandEqual(try node.metric("mesh_audit_failing"), 0)
                rmdir(file)
                try demandEqual(try node.reload().status, 200)
                let last = Int64(try node.metric("mesh_audit_sequence") ?? 0)
                try Deadline.until("the next seal is there") {
                    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return false }
                    return try AuditSeal(json: JSONReader.parse(text)).sequence >= last
                }
                try demandGood(node)
                try node.stop()
                try demandGood(node, offline: true)
            }
        }

        /// The disk takes the records and not the checkpoint behind them: that is said, closes nothing, and the checkpoint comes
        /// when there is room again, whether there are new records or not.
        @Test func aCheckpointThatFindsNoRoom() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("audit.onFailure", "closed")
                    node.set("audit.checkpointInterval", .string(Deadline.milliseconds(300)))
                }
                node.hasSmallAuditDisk()
                try mesh.start()
                var (filler, last) = ("", Int64(0))
                // A page that the log has already begun has room left: not each checkpoint needs another one.
                try Deadline.until("a checkpoint finds no room", within: 60 * Deadline.slowness) {
                    if !filler.isEmpty { try FileManager.default.removeItem(atPath: filler) }
                    let before = Int64(try node.metric("mesh_audit_sequence") ?? 0)
                    try demandEqual(try node.reload().status, 200)
                    try Deadline.until("the record is written") {
                        last = Int64(try node.metric("mesh_audit_sequence") ?? 0)
                        return last > before
                    }
                    filler = try node.fillAuditDisk()
                    return
                        (try? Deadline.until("it fails", within: 0.8 * Deadline.slowness) {
                            try node.metric("mesh_audit_failing") == 1
                        }) != nil
                }
                try node.waitFor("audit_not_written")
                try demand(node.isReady, "no record is missing, yet the node is closed")
                // Asked again each second, and not taken for done.
                let before = node.count("audit_written_again")
                Thread.sleep(forTimeInterval: 2.5)
                try demandEqual(node.count("audit_written_again"), before, "it was not written")
                try FileManager.default.removeItem(atPath: filler)
                try node.waitFor("audit_written_again", skipping: before)
                let text = try String(contentsOfFile: node.directory + "/state/audit.key.seal", encoding: .utf8)
                let seal = try AuditSeal(json: JSONReader.parse(text))
                try demand(seal.sequence >= last, "the seal covers \(seal.sequence) of \(last)")
                try demandEqual(try node.metric("mesh_audit_failing"), 0)
            }
        }

        /// The disk says nothing at all: the node closes in a bounded time, and opens when there is an answer.
        @Test(.enabled(if: getuid() == 0)) func aDiskThatDoesNotAnswer() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.identity("shop", of: "Directory")
                mesh.policy.connect("service:shop", to: "echo")
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("audit.onFailure", "closed")
                    node.set("audit.maxDelay", .string(Deadline.milliseconds(500)))
                    node.offer("echo", service.address)
                }
                let upstream = node.upstream("echo", as: "shop", port: 8001)
                try mesh.start()
                try node.waitInstances(of: "echo", at: ["Directory"])
                try Wire(upstream).echo("before")
                try Deadline.until("all is written") { try node.metric("mesh_audit_delay_seconds") == 0 }
                let thread = try HeldThread("audit", of: try node.running())
                // Strangers do not matter, nor does that nothing is to be written.
                for _ in 0..<30 { try Wire(node.meshAddress).send("no TLS, but long enough to be looked at\r\n\r\n") }
                try node.waitFor("handshake_failed")
                try demandEqual(try node.metric("mesh_audit_delay_seconds"), 0)
                try demandEqual(try node.reload().status, 200)
                try Deadline.until("the node is closed") { !node.isReady }
                try demand(try node.metric("mesh_audit_delay_seconds") ?? 0 >= 0.5, "the delay is shown")
                try demandEqual(try node.metric("mesh_audit_failing"), 1)
                let told = try node.waitFor("audit_not_written")
                try demand(told["detail"]?.contains("audit.maxDelay") == true, told["detail"] ?? "no detail")
                let refused = try node.control.request("POST", "/v1/reload", "")
                try demandEqual(refused.reason, "audit_not_written", refused.text)
                try demandEqual(try Wire(upstream).receive(), .reset, "a new stream")
                try thread.release()
                try node.waitFor("audit_written_again")
                try node.waitReady()
                try Wire(upstream).echo("after")
                try demandEqual(try node.metric("mesh_audit_delay_seconds"), 0)
                try demandEqual(try node.metric("mesh_audit_lost_total"), 0)
                try demandGood(node)
            }
        }
    }
}

/// A Unix datagram socket, as a syslog daemon has one.
private final class DatagramSocket {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard descriptor >= 0, status == 0 else { throw Failure("cannot bind \(path)") }
        var patience = timeval(tv_sec: Int(Deadline.patience), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func receive() throws -> String {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw Failure("nothing came") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
