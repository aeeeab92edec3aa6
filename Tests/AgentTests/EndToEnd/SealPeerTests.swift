import Audit
import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Seals of an audit log that are left with another node: what the log and everything beside it hide shows there.
    @Suite struct SealPeers {
        private func nodes(_ mesh: TestMesh) throws -> (kept: TestNode, keeper: TestNode) {
            let keeper = try mesh.node("Directory", directory: true)
            let kept = try mesh.node("Kept") { node in
                node.set("audit.sealPeers", ["Directory"])
                node.set("audit.checkpointInterval", "200ms")
            }
            try mesh.start()
            try kept.waitLinked(to: keeper)
            return (kept, keeper)
        }

        private func left(_ node: TestNode) throws -> Int64 {
            let audit = try node.control.request("GET", "/v1/audit", "").json
            return audit["sealsLeft"]?.array?.first?["through"]?.integer ?? 0
        }

        private func verify(_ node: TestNode, _ more: [String] = []) throws -> JSONValue {
            try JSONReader.parse(try node.mesh(["audit", "verify", "--json"] + more).output)
        }

        /// Waits until everything that was written up to now is left with the other node; gives the last record's number.
        private func waitLeft(_ node: TestNode) throws -> Int64 {
            try demandEqual(try node.reload().status, 200)
            let wanted = Int64(try node.metric("mesh_audit_sequence") ?? 0)
            return try Deadline.wait("the seal is left") {
                let through = try left(node)
                return through >= wanted && through > 0 ? through : nil
            }
        }

        @Test func anEndThatWasCutOffShows() throws {
            try withMesh { mesh in
                let (kept, keeper) = try nodes(mesh)
                _ = try waitLeft(kept)
                let state = kept.directory + "/state"
                let copy = mesh.directory + "/before"
                try FileManager.default.copyItem(atPath: state, toPath: copy)
                // Enough that a node that goes on from before does not get past it at once.
                for _ in 0..<20 { try demandEqual(try kept.reload().status, 200) }
                _ = try waitLeft(kept)
                try demandEqual(try verify(kept, ["--seals-from", "Directory"])["ok"]?.bool, true)
                // Somebody puts log, key and the seal beside it back to what they were, so that here nothing is missing.
                try kept.stop()
                for name in ["audit", "audit.key.seal"] {
                    try FileManager.default.removeItem(atPath: "\(state)/\(name)")
                    try FileManager.default.copyItem(atPath: "\(copy)/\(name)", toPath: "\(state)/\(name)")
                }
                let hidden = try JSONReader.parse(
                    try kept.mesh(["audit", "verify", state + "/audit", "--json"]).output)
                try demandEqual(hidden["ok"]?.bool, true, "here it cannot be seen: \(hidden)")
                // What the other node keeps, as a receipt.
                let printed = try keeper.mesh(["audit", "kept", "Kept"])
                try demandEqual(printed.status, 0, printed.output)
                let receipts = mesh.directory + "/kept.seals"
                try printed.output.write(toFile: receipts, atomically: true, encoding: .utf8)
                let shown = try JSONReader.parse(
                    try kept.mesh(["audit", "verify", state + "/audit", "--json", "--receipt", receipts]).output)
                let kinds = Set(shown["findings"]?.array?.compactMap { $0["kind"]?.string } ?? [])
                try demand(kinds.contains("truncated"), "\(shown)")
                // The node that goes on from there contradicts itself, and both sides say so.
                try kept.start()
                try kept.waitReady()
                try kept.waitFor("audit_seal_contradicted")
                try keeper.waitFor("audit_seal_goes_back")
                try demand(try keeper.metric("mesh_audit_seal_contradictions_total") ?? 0 >= 1, "not counted")
                try demandEqual(try verify(kept, ["--seals-from", "Directory"])["ok"]?.bool, false)
                // On purpose, as from a backup: the other node is told to begin anew.
                try demandEqual(try keeper.mesh(["audit", "kept", "Kept", "--forget"]).status, 0)
                try Deadline.until("a seal is left again") { try left(kept) > 0 }
            }
        }

        @Test func whoKeepsThemKeepsThemThroughARestart() throws {
            try withMesh { mesh in
                let (kept, keeper) = try nodes(mesh)
                let through = try waitLeft(kept)
                try keeper.stop()
                try keeper.start()
                try keeper.waitReady()
                let shown = try keeper.control.request("GET", "/v1/audit/kept/Kept", "").json
                let seals = shown["seals"]?.array ?? []
                try demand(seals.contains { $0["seal"]?["through"]?.integer == through }, "\(shown)")
                let file = keeper.directory + "/state/seals/Kept.json"
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                try demandEqual(mode, 0o600)
                try kept.waitLinked(to: keeper)
                // Nobody keeps seals here for whoever did not ask.
                try demandEqual(try kept.mesh(["audit", "verify", "--seals-from", "Directory"]).status, 0)
                try demandEqual(try keeper.mesh(["audit", "verify", "--seals-from", "Kept"]).status, 4)
            }
        }

        /// What is damaged of one node stops the seals of no other, is never written over, and is told.
        @Test func aDamagedFileStopsNobodyElse() throws {
            try withMesh { mesh in
                let keeper = try mesh.node("Directory", directory: true)
                let (bad, good) = try (
                    mesh.node("Bad") { $0.set("audit.sealPeers", ["Directory"]) },
                    mesh.node("Good") { $0.set("audit.sealPeers", ["Directory"]) }
                )
                for node in [bad, good] { node.set("audit.checkpointInterval", "200ms") }
                try mesh.start()
                for node in [bad, good] {
                    try node.waitLinked(to: keeper)
                    _ = try waitLeft(node)
                }
                try keeper.stop()
                let file = keeper.directory + "/state/seals/Bad.json"
                try "[{]".write(toFile: file, atomically: true, encoding: .utf8)
                chmod(file, 0o600)
                try keeper.start()
                try keeper.waitReady()
                _ = try waitLeft(good)
                let record = try keeper.waitFor("audit_seals_damaged")
                try demandEqual(record["node"], "Bad")
                try demandEqual(try keeper.metric("mesh_audit_seals_damaged"), 1)
                let list = try keeper.mesh(["audit", "kept"])
                try demandEqual(list.status, 0, list.output)
                try demand(list.output.contains("Bad.json"), list.output)
                let shown = try keeper.mesh(["audit", "kept", "Bad"])
                try demand(shown.status != 0 && shown.output.contains("mesh audit kept Bad --forget"), shown.output)
                try demandEqual(try String(contentsOfFile: file, encoding: .utf8), "[{]", "it was written over")
                try demandEqual(try keeper.mesh(["audit", "kept", "Bad", "--forget"]).status, 0)
                _ = try waitLeft(bad)
                try demandEqual(try keeper.metric("mesh_audit_seals_damaged"), 0)
            }
        }

        /// What cannot be read at the moment is no damage: nobody is told to throw it away, and it counts again without a restart.
        @Test func aFileThatCannotBeRead() throws {
            try withMesh { mesh in
                let (kept, keeper) = try nodes(mesh)
                let before = try waitLeft(kept)
                try keeper.stop()
                let file = keeper.directory + "/state/seals/Kept.json"
                rename(file, file + ".away")
                // Too many levels of symbolic links, as good as EIO or EMFILE.
                symlink(file, file)
                try keeper.start()
                try keeper.waitReady()
                // Something to be sealed.
                try demandEqual(try kept.reload().status, 200)
                let record = try keeper.waitFor("audit_seals_unread")
                try demandEqual(record["node"], "Kept")
                try demandEqual(try keeper.metric("mesh_audit_seals_unread"), 1)
                try demandEqual(try keeper.metric("mesh_audit_seals_damaged"), 0)
                let shown = try keeper.mesh(["audit", "kept", "Kept"])
                try demand(shown.status != 0 && shown.output.contains("read again"), shown.output)
                try demand(!shown.output.contains("--forget"), "it is to be thrown away: \(shown.output)")
                let list = try keeper.mesh(["audit", "kept"])
                try demand(list.output.contains("Kept.json"), list.output)
                rename(file + ".away", file)
                try keeper.waitFor("audit_seals_read_again") { $0["node"] == "Kept" }
                _ = try waitLeft(kept)
                try demand(try seals(keeper).contains(before), "what was kept before is gone")
                try demandEqual(try keeper.metric("mesh_audit_seals_unread"), 0)
                try demandEqual(keeper.count("audit_seals_unread"), 1, "told once")
            }
        }

        /// The same where nobody leaves seals: it is read again for whoever looks.
        @Test func aFileThatIsReadAgainForWhoeverLooks() throws {
            try withMesh { mesh in
                let (kept, keeper) = try nodes(mesh)
                _ = try waitLeft(kept)
                for node in [kept, keeper] { try node.stop() }
                let file = keeper.directory + "/state/seals/Kept.json"
                rename(file, file + ".away")
                symlink(file, file)
                try keeper.start()
                try keeper.waitReady()
                var list = try keeper.mesh(["audit", "kept"])
                try demand(list.status == 0 && list.output.contains("Kept.json"), list.output)
                rename(file + ".away", file)
                list = try keeper.mesh(["audit", "kept"])
                try demand(list.status == 0 && !list.output.contains("Kept.json"), list.output)
                try demandEqual(keeper.count("audit_seals_read_again"), 1)
                try demandEqual(try keeper.metric("mesh_audit_seals_unread"), 0)
            }
        }

        /// The same of the whole directory: it is not taken for one without seals, which then would be written over.
        @Test func aDirectoryThatCannotBeRead() throws {
            try withMesh { mesh in
                let (kept, keeper) = try nodes(mesh)
                let before = try waitLeft(kept)
                try keeper.stop()
                let directory = keeper.directory + "/state/seals"
                rename(directory, directory + ".away")
                symlink(directory, directory)
                try keeper.start()
                try keeper.waitReady()
                try demandEqual(try kept.reload().status, 200)
                try keeper.waitFor("audit_seals_unread")
                let list = try keeper.mesh(["audit", "kept"])
                try demand(list.status != 0 && list.output.contains("read again"), list.output)
                rename(directory, directory + ".loop")
                rename(directory + ".away", directory)
                try keeper.waitFor("audit_seals_read_again")
                _ = try waitLeft(kept)
                try demand(try seals(keeper).contains(before), "what was kept before is gone")
            }
        }

        /// The last records of the seals that a node keeps of `Kept`.
        private func seals(_ keeper: TestNode) throws -> [Int64] {
            let shown = try keeper.control.request("GET", "/v1/audit/kept/Kept", "").json
            return shown["seals"]?.array?.compactMap { $0["seal"]?["through"]?.integer } ?? []
        }
    }
}
