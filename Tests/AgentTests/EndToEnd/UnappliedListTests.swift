import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// CRLs that cannot be put in force when they come, and can later.
    @Suite struct UnappliedLists {
        private struct Listed {
            let mesh: TestMesh
            let directory: TestNode
            let beta: TestNode
            let lists: CRLMaker

            init(_ mesh: TestMesh, mode: String = "soft") throws {
                self.mesh = mesh
                let lists = try CRLMaker(mesh)
                directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(lists.file)])
                    node.set("trust.revocation.mode", .string(mode))
                    node.set("identity.renew.pollInterval", "1s")
                }
                self.lists = lists
                beta = try mesh.node("Beta")
                try mesh.start()
                try directory.waitLinked(to: beta)
            }

            func unapplied() throws -> Double? { try directory.metric("mesh_crl_unapplied{source=\"files\"}") }

            func waitRevoked() throws {
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try unapplied(), 0)
            }
        }

        /// Nothing changes but the time: a list of the future counts once its time has come, and until then the one before does.
        @Test func aListOfTheFuture() throws {
            try withMesh { mesh in
                let listed = try Listed(mesh, mode: "hard")
                try listed.lists.revoke(listed.beta.directory + "/node.crt")
                // Beyond the five minutes that are borne.
                let begin = time(nil) + 300 + Int(10 * Deadline.slowness)
                var parts = tm()
                var moment = begin
                gmtime_r(&moment, &parts)
                var text = [CChar](repeating: 0, count: 32)
                strftime(&text, text.count, "%Y%m%d%H%M%SZ", &parts)
                let stamp = String(decoding: text.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
                try listed.lists.publish(["-crl_lastupdate", stamp])
                let told = try listed.directory.waitFor("crl_unusable")
                try demandEqual(told["reason"], "not_yet_valid")
                try demandEqual(told["source"], "files")
                try demandEqual(try listed.unapplied(), 1)
                try demandEqual(try listed.directory.isLinked(to: listed.beta), true, "the list before is in force")
                try listed.directory.waitFor("crl_applied")
                try listed.waitRevoked()
                try demandEqual(listed.directory.count("crl_unusable"), 1, "told once, however often it is tried")
                // The rest that came with it is read as well.
                try listed.directory.waitFor("reloaded") { $0["by"] == "CRLs that can be put in force again" }
            }
        }

        /// What is wrong is the disk, or this process: no file could be opened when the list changed.
        @Test func aListThatCouldNotBeRead() throws {
            try withMesh { mesh in
                let listed = try Listed(mesh)
                try listed.lists.revoke(listed.beta.directory + "/node.crt")
                try listed.directory.running().withoutDescriptors {
                    try listed.lists.publish()
                    let told = try listed.directory.waitFor("crl_unusable")
                    try demandEqual(told["reason"], "unreadable_file")
                }
                try listed.directory.waitFor("crl_applied")
                try listed.waitRevoked()
            }
        }

        /// A list that its issuer has not signed takes no list's place. Each change is told.
        @Test func aListOfSomebodyElse() throws {
            try withMesh { mesh in
                let listed = try Listed(mesh, mode: "hard")
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                let forged = try CRLMaker(mesh, name: "forged", of: other)
                rename(try forged.copy(), listed.lists.file)
                try listed.directory.waitFor("crl_unusable") { $0["reason"] == "bad_signature" }
                try demandEqual(try listed.unapplied(), 1)
                rename(try forged.copy(), listed.lists.file)
                try listed.directory.waitFor("crl_unusable", skipping: 1) { $0["reason"] == "bad_signature" }
                // New links are made under the list before.
                let fresh = try mesh.node("Fresh")
                try fresh.start()
                try listed.directory.waitLinked(to: fresh)
                try listed.lists.revoke(listed.beta.directory + "/node.crt")
                try listed.lists.publish()
                try listed.waitRevoked()
            }
        }

        /// A reload at which a fetched list cannot be read is refused: without it, who is revoked would get in.
        @Test func aFetchedListThatCannotBeRead() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let server = try CRLServer(mesh, lists.file)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string(server.url)])
                }
                let beta = try mesh.node("Beta")
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish()
                try directory.start()
                try directory.waitFor("crl_fetched")
                try beta.start()
                try directory.waitFor("handshake_failed") { $0["reason"] == "revoked" }
                let place = directory.directory + "/state/crl/" + CertificateRevocationList.fileName(for: server.url)
                rename(place, place + ".away")
                symlink(place, place)
                let refused = try directory.reload()
                try demand(refused.status != 200 && refused.text.contains("cannot read"), refused.text)
                rename(place + ".away", place)
                try demandEqual(try directory.reload().status, 200)
                try demandEqual(try directory.isLinked(to: beta), false)
            }
        }

        /// A list that is no good does not keep the node's own new certificate back.
        @Test func theIdentityDoesNotWaitForAList() throws {
            try withMesh { mesh in
                let listed = try Listed(mesh)
                try "no list\n".write(toFile: listed.lists.file, atomically: true, encoding: .utf8)
                try listed.directory.waitFor("crl_unusable")
                try listed.directory.issue(IssueRequest(node: "Directory"))
                try listed.directory.waitFor("identity_changed")
                try demandEqual(try listed.unapplied(), 1)
            }
        }
    }
}
