import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What `mesh revoke` asks before it revokes, whom it waits for, and how a revocation is taken back.
    @Suite struct RevokeCommands {
        private func revoke(_ node: TestNode, _ what: [String], _ operators: TestOperator) throws -> CommandResult {
            try node.mesh(["revoke"] + what + ["--json", "--key", operators.keyFile])
        }

        /// A node that is revoked by its certificate or key is not waited for, nor one that is believed again: there is
        /// nobody else.
        @Test func theRevokedNodeIsNotWaitedFor() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node")
                try mesh.start()
                try operators.write()
                let file = node.directory + "/node.crt"
                let leaf = try Certificate.load(file: file)[0]
                let prefix = "serial:\(leaf.serialHex.prefix(12))"
                for (what, undone) in [
                    ([prefix], [prefix]), (["--certificate", file], ["--certificate", file]),
                    (["spki-sha256:\(leaf.spkiSHA256)"], ["spki-sha256:\(leaf.spkiSHA256)"]),
                    (["node:Node"], ["Node"]),
                ] {
                    try directory.waitLinked(to: node)
                    let revoked = try revoke(directory, what + ["--reason", "a test"], operators)
                    try demandEqual(revoked.status, 0, "\(what): \(revoked.output)")
                    try Deadline.until("the link ends") { try !directory.isLinked(to: node) }
                    let back = try revoke(directory, undone + ["--undo"], operators)
                    try demandEqual(back.status, 0, "\(undone): \(back.output)")
                    let list = try directory.mesh(["revoke", "--list", "--json"])
                    try demandEqual(try JSONReader.parse(list.output)["revoked"]?.array?.count, 0, list.output)
                    try demandEqual(try revoke(directory, undone + ["--undo"], operators).status, 4)
                }
                try directory.waitLinked(to: node)
            }
        }

        /// Fewer digits than tell entries apart, or than anybody means, take nothing off the list.
        @Test func anAmbiguousNumberIsRefused() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                try operators.write()
                for serial in ["aabbccdd01", "aabbccdd02"] {
                    let made = try revoke(
                        directory, ["serial:\(serial)", "--issuer", "CN=Old CA", "--reason", "a test"], operators)
                    try demandEqual(made.status, 0, made.output)
                }
                let both = try revoke(directory, ["serial:aabbccdd", "--undo"], operators)
                try demandEqual(both.status, 2, both.output)
                try demand(both.output.contains("names 2 entries"), both.output)
                try demandEqual(try revoke(directory, ["serial:aabbcc", "--undo"], operators).status, 4)
                try demandEqual(try revoke(directory, ["serial:AA:BB:CC:DD:02", "--undo"], operators).status, 0)
                let rest = try directory.mesh(["revoke", "--list"])
                try demand(rest.output.contains("aabbccdd01") && !rest.output.contains("aabbccdd02"), rest.output)
            }
        }

        /// Who alone serves the directory or the CA is not revoked by a slip at another node either, whichever way it is named.
        @Test func whatTheMeshNeeds() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                try mesh.node("Directory", directory: true)
                let keeper = try mesh.node("Keeper") { try $0.serveCA() }
                let node = try mesh.node("Node") { $0.peer(keeper) }
                try mesh.start()
                try operators.write()
                try node.waitLinked(to: keeper)
                let leaf = try Certificate.load(file: keeper.identityDirectory + "/node.crt")[0]
                for (what, served) in [
                    ("Directory", "its directory"), ("Keeper", "its CA"), ("spki-sha256:\(leaf.spkiSHA256)", "its CA"),
                    ("serial:\(leaf.serialHex)", "its CA"),
                ] {
                    let refused = try revoke(node, [what, "--reason", "a slip"], operators)
                    try demandEqual(refused.reason, "needed_node", "\(what): \(refused.output)")
                    try demand(refused.output.contains(served), refused.output)
                }
                try demandEqual(try node.documentVersion(.revocations), nil)
                let meant = try node.mesh([
                    "revoke", "Directory", "--reason", "stolen", "--force", "--key", operators.keyFile,
                ])
                try demandEqual(meant.status, 0, meant.output)
                try demand(meant.output.contains("warning: Directory serves the mesh its directory"), meant.output)
                try keeper.waitDocument(.revocations, version: 1)
            }
        }

        /// The name that a node has in its certificate is a name of it, also where policy gives it another one.
        @Test func theNameOfTheCertificate() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                mesh.policy.identities.insert(["match": ["node": "host-17"], "node": "Mapped"], at: 0)
                let server = try mesh.node("Directory", directory: true)
                try mesh.start()
                try operators.write()
                let link = try LinkEnd(mesh, as: "host-17", to: server)
                try server.waitFor("link_established") { $0["node"] == "Mapped" }
                let revoked = try revoke(server, ["host-17", "--reason", "a test"], operators)
                try demandEqual(revoked.status, 0, revoked.output)
                try link.waitClosed()
            }
        }
    }
}
