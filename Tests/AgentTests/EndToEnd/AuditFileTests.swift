import Audit
import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Somebody does something to the audit log's open file while the agent runs: it says so, and goes on in a new one.
    @Suite struct AuditFiles {
        private func directory(_ node: TestNode) -> String { node.directory + "/state/audit" }

        private func files(_ node: TestNode) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: directory(node)).sorted().map {
                directory(node) + "/" + $0
            }
        }

        private func withNode(_ body: (TestNode, _ file: String) throws -> Void) throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { $0.set("audit.onFailure", "closed") }
                try mesh.start()
                try node.waitAudited("started")
                try body(node, try demandValue(files(node).last, "file"))
            }
        }

        /// Reloads, and waits for the record of it.
        private func act(_ node: TestNode) throws {
            let before = try node.auditRecords(["--event", "reloaded"]).count
            try demandEqual(try node.reload().status, 200)
            try Deadline.until("the reload is in the log") {
                try node.auditRecords(["--event", "reloaded"]).count > before
            }
        }

        /// What is told of a change, and that the log goes on; gives the last record before it.
        private func demandTold(_ node: TestNode, _ change: String, _ file: String) throws -> Int64 {
            let told = try node.waitFor("audit_file_changed")
            try demandEqual(told["level"], "error")
            try demandEqual(told["change"], change)
            try demandEqual(told["file"], (file as NSString).lastPathComponent)
            // Where there is no file, nobody can look for the record yet.
            try Deadline.until("a new file") {
                let newest = (try? files(node))?.last
                return newest != nil && newest != file
            }
            let record = try node.waitAudited("audit_file_changed", ["change": change])
            try demandEqual(try node.metric("mesh_audit_files_changed_total"), 1)
            try demandEqual(try node.metric("mesh_audit_lost_total"), 0)
            try demandEqual(try node.metric("mesh_audit_failing"), 0)
            try demand(node.isReady, "records are written, and the node is closed")
            return try demandValue(record["fields"]?["last"]?.integer, "last record")
        }

        private func findings(_ node: TestNode) throws -> [String] {
            let result = try node.mesh(["audit", "verify", "--json", directory(node)])
            return try JSONReader.parse(result.output)["findings"]?.array?.compactMap {
                "\($0["kind"]?.string ?? ""): \($0["message"]?.string ?? "")"
            } ?? []
        }

        /// A start finds nothing new, and goes on in the newest file.
        private func demandGoesOn(_ node: TestNode) throws {
            let (before, names) = (try findings(node), try files(node))
            try node.stop()
            try node.launch()
            try node.waitReady()
            try act(node)
            try demandEqual(try findings(node), before, "after a restart")
            try demandEqual(try files(node), names, "files after a restart")
            try demandEqual(node.count("audit_truncated") + node.count("audit_damaged"), 0)
        }

        /// Nothing is written meanwhile.
        @Test func aFileThatIsRemoved() throws {
            try withNode { node, file in
                try FileManager.default.removeItem(atPath: file)
                let last = try demandTold(node, "removed", file)
                try act(node)
                try demand(!FileManager.default.fileExists(atPath: file), "it is there again")
                try demandEqual(
                    try findings(node),
                    ["removed: records 1 to \(last) are missing, and the log says nothing of files that were removed"])
                try demandEqual(try files(node), [directory(node) + "/" + AuditFileName.name(first: UInt64(last) + 1)])
                try demandGoesOn(node)
            }
        }

        /// An older copy takes its place, and the next record comes at once.
        @Test func aFileThatIsReplaced() throws {
            try withNode { node, file in
                try act(node)
                let text = try String(contentsOfFile: file, encoding: .utf8)
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                let copy = lines.joined(separator: "\n") + "\n"
                try act(node)
                try act(node)
                let beside = node.directory + "/copy"
                try copy.write(toFile: beside, atomically: true, encoding: .utf8)
                try demandEqual(rename(beside, file), 0)
                try demandEqual(try node.reload().status, 200)
                let last = try demandTold(node, "replaced", file)
                try act(node)
                try demandEqual(try String(contentsOfFile: file, encoding: .utf8), copy, "what was put there")
                try demandEqual(try findings(node), ["removed: records \(lines.count + 1) to \(last) are missing"])
                try demandGoesOn(node)
                try demandEqual(try String(contentsOfFile: file, encoding: .utf8), copy, "after a restart")
            }
        }

        /// As tools do that empty a log in its place.
        @Test func aFileThatIsEmptied() throws {
            try withNode { node, file in
                try demandEqual(truncate(file, 0), 0)
                let last = try demandTold(node, "altered", file)
                try act(node)
                try demandEqual(try Data(contentsOf: URL(fileURLWithPath: file)).count, 0, "it is left alone")
                try demandEqual(
                    try findings(node),
                    ["removed: records 1 to \(last) are missing, and the log says nothing of files that were removed"])
                try demandGoesOn(node)
            }
        }

        /// The directory goes with everything in it; a second agent is kept out of the one that is made for it.
        @Test func aDirectoryThatIsRemoved() throws {
            try withNode { node, file in
                try FileManager.default.moveItem(atPath: directory(node), toPath: node.directory + "/moved")
                let last = try demandTold(node, "removed", file)
                try act(node)
                let mode = try FileManager.default.attributesOfItem(atPath: directory(node))[.posixPermissions] as? Int
                try demandEqual(mode, 0o700)
                let second = try runProgram([TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile])
                try demandEqual(second.status, 1, second.output)
                try demand(second.output.contains("runs already"), second.output)
                // Put back, the files are one log.
                let name = (file as NSString).lastPathComponent
                try FileManager.default.moveItem(atPath: node.directory + "/moved/" + name, toPath: file)
                try demandEqual(try findings(node), [])
                try demand(last > 0, "no record before")
                try demandGoesOn(node)
            }
        }

        /// Removed again and again while records come: what was not written before is in the files that follow, and nothing is there twice.
        @Test func filesThatAreRemovedWhileItWrites() throws {
            try withNode { node, _ in
                let (control, answered) = (node.control, Counter())
                let isOver = Counter()
                let load = Background {
                    while isOver.value == 0 {
                        guard try control.request("POST", "/v1/reload", "").status == 200 else { return }
                        answered.add(1)
                    }
                }
                var removed: [(handle: FileHandle, size: UInt64)] = []
                for _ in 0..<10 {
                    let goal = answered.value + 3
                    try Deadline.until("it writes") { answered.value >= goal }
                    let file = try Deadline.wait("a file has records") {
                        try files(node).last { !((FileManager.default.contents(atPath: $0) ?? Data()).isEmpty) }
                    }
                    let handle = try demandValue(FileHandle(forReadingAtPath: file), "file")
                    try FileManager.default.removeItem(atPath: file)
                    removed.append((handle, try handle.seekToEnd()))
                    let count = removed.count
                    try Deadline.until("it is noticed") {
                        try node.metric("mesh_audit_files_changed_total") == Double(count)
                    }
                }
                isOver.add(1)
                try load.value(within: 30)
                try act(node)
                try node.stop()
                var records: [Int64] = []
                func read(_ data: Data) throws {
                    for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
                        let json = try JSONReader.parse(String(line.drop { $0 != "{" }))
                        records.append(try demandValue(json["seq"]?.integer, "number"))
                    }
                }
                for (handle, size) in removed {
                    try demand(try handle.seekToEnd() <= size, "records that nobody can find")
                    try handle.seek(toOffset: 0)
                    try read(try handle.readToEnd() ?? Data())
                }
                for file in try files(node) { try read(try Data(contentsOf: URL(fileURLWithPath: file))) }
                try demandEqual(records, Array(1...Int64(records.count)), "records, in order")
            }
        }
    }
}
