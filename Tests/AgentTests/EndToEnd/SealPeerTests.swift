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
                // Nobody keeps seals here for whoever did not ask.
                try demandEqual(try kept.mesh(["audit", "verify", "--seals-from", "Directory"]).status, 0)
                try demandEqual(try keeper.mesh(["audit", "verify", "--seals-from", "Kept"]).status, 4)
            }
        }
    }
}
