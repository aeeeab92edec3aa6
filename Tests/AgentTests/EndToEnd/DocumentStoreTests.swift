import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What a node keeps of documents on its disk, and what it does where the disk does not.
    @Suite struct DocumentStores {
        private func documents(_ node: TestNode) -> String { node.directory + "/state/documents" }

        /// A directory in the place of a file: nobody can write it, also not root.
        private func block(_ path: String) throws {
            try? FileManager.default.removeItem(atPath: path)
            try FileManager.default.createDirectory(atPath: path + "/full", withIntermediateDirectories: true)
        }

        /// A running node that has a list of operators, and a policy by one of them.
        private func directory(_ mesh: TestMesh, policy: Bool = true) throws -> (TestNode, TestOperator) {
            let operators = try TestOperator(mesh)
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            try node.take(operators.list)
            if policy { try node.take(try operators.sign(.policy, 1, mesh.policy.text)) }
            return (node, operators)
        }

        private func endsWith78(_ node: TestNode, _ words: String) throws {
            try node.launch()
            node.expectEnd()
            try demandEqual(try node.running().wait(within: Deadline.patience), 78)
            let output = try node.running().output
            try demand(output.contains(words), output)
        }

        /// What an operator hands over is stored or refused; a revocation counts at once and is stored as soon as that is
        /// possible.
        @Test func aDiskThatTakesNothing() throws {
            try withMesh { mesh in
                let (node, operators) = try directory(mesh, policy: false)
                try block(documents(node) + "/policy.json")
                let refused = try node.offer(try operators.sign(.policy, 1, mesh.policy.text))
                try demandEqual(refused.status, 507, refused.text)
                try demandEqual(refused.reason, "document_not_stored")
                try demandEqual(try node.documentVersion(.policy), nil)
                try block(documents(node) + "/revocations.json")
                let taken = try node.offer(try operators.revocations(1, [.node("Ghost", validBefore: 5)]))
                try demandEqual(taken.status, 200, taken.text)
                try demandEqual(taken.json["stored"]?.bool, false)
                try demandEqual(try node.metric("mesh_documents_unstored"), 1)
                try node.waitFor("document_not_stored")
                try FileManager.default.removeItem(atPath: documents(node) + "/revocations.json")
                try FileManager.default.removeItem(atPath: documents(node) + "/policy.json")
                try Deadline.until("it is stored") { try node.metric("mesh_documents_unstored") == 0 }
                try node.take(try operators.sign(.policy, 1, mesh.policy.text))
                node.kill()
                try node.start()
                try node.waitReady()
                try demandEqual(try node.documentVersion(.revocations), 1)
                try demandEqual(try node.documentVersion(.policy), 1)
            }
        }

        /// A revocation does not wait for the disk: what it ends has ended before this node tries to store it.
        @Test func aRevocationDoesNotWaitForTheDisk() throws {
            try withMesh { mesh in
                let (node, operators) = try directory(mesh, policy: false)
                let ghost = try LinkEnd(mesh, as: "Ghost", to: node)
                try node.waitFor("link_established") { $0["node"] == "Ghost" }
                try block(documents(node) + "/revocations.json")
                try node.take(
                    try operators.revocations(1, [.node("Ghost", validBefore: Int64(time(nil)) + 3_600)]))
                try node.waitFor("document_not_stored")
                let events = node.records.map(\.event)
                let ended = try demandValue(events.firstIndex(of: "identity_revoked"), "end of the link")
                let refused = try demandValue(events.firstIndex(of: "document_not_stored"), "failure of the disk")
                try demand(ended < refused, "the disk came first")
                try ghost.waitClosed()
            }
        }

        /// Files that somebody removes are written again; those that are gone or older at a start are a failure.
        @Test func filesThatSomebodyElseTouches() throws {
            try withMesh { mesh in
                let (node, operators) = try directory(mesh)
                let file = documents(node) + "/policy.json"
                let first = try Data(contentsOf: URL(fileURLWithPath: file))
                try FileManager.default.removeItem(atPath: file)
                try node.waitFor("document_file_changed") { $0["kind"] == "policy" }
                try Deadline.until("it is written again") { FileManager.default.contents(atPath: file) == first }
                try node.take(try operators.sign(.policy, 2, mesh.policy.text))
                node.kill()
                let second = try Data(contentsOf: URL(fileURLWithPath: file))
                try first.write(to: URL(fileURLWithPath: file))
                try endsWith78(node, "version 2 was in force")
                try FileManager.default.removeItem(atPath: file)
                try endsWith78(node, "it is missing")
                try second.write(to: URL(fileURLWithPath: file))
                try node.launch()
                try node.waitReady()
                try demandEqual(try node.documentVersion(.policy), 2)
            }
        }

        /// An operator who was removed: what he signed outlives a restart by the list that named him, and without that list it
        /// is not believed.
        @Test func aRemovedOperator() throws {
            try withMesh { mesh in
                let (node, operators) = try directory(mesh)
                let next = try PrivateKey.generate(.ed25519)
                try node.take(try operators.list(2, [("next", next)]))
                try node.waitFor("document_signer_retired") { $0["kind"] == "policy" }
                try demandEqual(
                    try node.offer(try operators.sign(.policy, 2, mesh.policy.text)).reason, "unknown_operator")
                node.kill()
                try node.start()
                try node.waitReady()
                try demandEqual(try node.documentVersion(.policy), 1)
                try node.waitFor("document_signer_retired") { $0["kind"] == "policy" }
                node.kill()
                let witness = documents(node) + "/policy.operators.json"
                let list = try Data(contentsOf: URL(fileURLWithPath: witness))
                try FileManager.default.removeItem(atPath: witness)
                try endsWith78(node, "unknown_operator")
                try list.write(to: URL(fileURLWithPath: witness))
                try node.launch()
                try node.waitReady()
                try node.take(try operators.sign(.policy, 2, mesh.policy.text, by: next))
                try demand(!FileManager.default.fileExists(atPath: witness), "the old list is kept for nothing")
            }
        }

        /// A list that removes the operator while what he signed is on its way to the disk: what is written late was decided before the
        /// list, and leaves no files behind that the next start refuses.
        @Test(.enabled(if: getuid() == 0)) func aLateWriteKeepsTheWitnesses() throws {
            try withMesh { mesh in
                let (started, operators) = try directory(mesh)
                nonisolated(unsafe) let node = started
                let revocations = try operators.revocations(1, [.node("Ghost", validBefore: 5)])
                let thread = try HeldThread("documents", of: try node.running())
                let late = Background { try node.offer(revocations) }
                try node.waitDocument(.revocations, version: 1)
                // Workers have it, and behind that the write begins.
                try node.settle()
                try node.take(try operators.list(2, [("next", try PrivateKey.generate(.ed25519))]))
                try demandEqual(try node.metric("mesh_documents_unstored"), 1)
                try thread.release()
                let answer = try late.value(within: Deadline.patience)
                try demandEqual(answer.json["stored"]?.bool, true, answer.text)
                node.kill()
                try node.start()
                try node.waitReady()
                for kind in ["revocations", "policy"] {
                    try node.waitFor("document_signer_retired") { $0["kind"] == kind }
                }
                try demandEqual(try node.documentVersion(.operators), 2)
                try demandEqual(try node.documentVersion(.revocations), 1)
            }
        }

        /// A root that a changed file takes away vouches for no operator any more, without a reload.
        @Test func aRootThatIsTakenAway() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root 2", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                guard case .issuer(_, let otherKey) = other.signer else { throw Failure("the CA has no key") }
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.ca", .string(node.directory + "/roots.crt"))
                }
                let roots = node.directory + "/roots.crt"
                try (mesh.authority.root.pem + other.root.pem).write(toFile: roots, atomically: true, encoding: .utf8)
                try mesh.start()
                let list = try operators.list(1, [("tester", operators.key)], by: otherKey)
                try node.take(list)
                try node.take(try operators.sign(.policy, 1, mesh.policy.text))
                try mesh.authority.root.pem.write(toFile: roots, atomically: true, encoding: .utf8)
                try node.waitFor("operators_not_vouched")
                try demandEqual(
                    try node.offer(try operators.sign(.policy, 2, mesh.policy.text)).reason, "no_operators")
                try demandEqual(try node.documentVersion(.policy), 1)
                try node.take(try operators.list(2, [("tester", operators.key)]))
                try node.take(try operators.sign(.policy, 2, mesh.policy.text))
            }
        }

        /// Two operators at one agent: who started from something else is told, and undoes nothing.
        @Test func twoOperators() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try operators.write()
                let file = mesh.directory + "/next.json"
                try mesh.policy.text.write(toFile: file, atomically: true, encoding: .utf8)
                func apply(_ more: [String]) throws -> CommandResult {
                    try node.mesh(["policy", "apply", file, "--json", "--key", operators.keyFile] + more)
                }
                try demandEqual(try apply(["--base", "1"]).reason, "document_changed")
                try demandEqual(try apply(["--base", "0"]).status, 0)
                try (mesh.policy.text + "// second\n").write(toFile: file, atomically: true, encoding: .utf8)
                try demandEqual(try apply([]).status, 0)
                try (mesh.policy.text + "// another second\n").write(toFile: file, atomically: true, encoding: .utf8)
                let late = try apply(["--base", "1"])
                try demandEqual(late.reason, "document_changed", late.output)
                try demandEqual(try node.documentVersion(.policy), 2)
                try demandEqual(try apply(["--base", "2", "--version", "40"]).status, 0)
                try demandEqual(try node.documentVersion(.policy), 40)
                try demandEqual(try apply(["--version", "9007199254740991"]).reason, "version_too_far_ahead")
                let bad = try node.control.request("PUT", "/v1/documents/policy", "{}", headers: ["If-Match": "7"])
                try demandEqual(bad.status, 400, bad.text)
            }
        }

        /// A node whose certificate has another name than policy gives it is revoked by the name that `mesh links` shows.
        @Test func aMappedName() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                mesh.policy.identities.insert(["match": ["node": "host-17"], "node": "Mapped"], at: 0)
                let server = try mesh.node("Directory", directory: true)
                try mesh.start()
                try operators.write()
                let link = try LinkEnd(mesh, as: "host-17", to: server)
                try Deadline.until("it is linked by the name that policy gives") {
                    try server.control.get("/v1/links").json["links"]?.array?.contains {
                        $0["node"]?.string == "Mapped"
                    } == true
                }
                let revoked = try server.mesh(
                    ["revoke", "Mapped", "--reason", "a test", "--key", operators.keyFile])
                try demandEqual(revoked.status, 0, revoked.output)
                try server.waitFor("link_lost") { $0["node"] == "Mapped" && $0["reason"] == "identity_revoked" }
                try link.waitClosed()
                try demand(throws: { _ = try LinkEnd(mesh, as: "host-17", to: server) }, "it is linked again")
                // Clocks of CAs that are ahead of this host's are allowed for.
                let list = try JSONReader.parse(try server.mesh(["revoke", "--list", "--json"]).output)
                let before = try demandValue(list["revoked"]?.array?.first?["validBefore"]?.integer, "an entry")
                try demand(before >= Int64(time(nil)) + 15 * 60 - 60, "\(list)")
            }
        }
    }
}
