import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What `mesh` signs where the agent lies about what is in force.
    @Suite struct Signing {
        /// One agent, an operator with his key, and a socket that lies before the agent's own.
        private struct Desk {
            let mesh: TestMesh
            let node: TestNode
            let operators: TestOperator
            let front: ControlFront

            init(_ mesh: TestMesh, _ configure: (TestNode) throws -> Void = { _ in }) throws {
                self.mesh = mesh
                operators = try TestOperator(mesh)
                node = try mesh.node("Directory", directory: true, configure)
                try node.start()
                try node.waitReady()
                try operators.write()
                try node.take(operators.list)
                front = try ControlFront(node)
            }

            func mesh(_ arguments: [String], at control: String? = nil) throws -> CommandResult {
                let run = try runProgram(
                    [TestMesh.binaries + "/mesh", "--control", control ?? node.controlPath] + arguments)
                return CommandResult(status: run.status, output: run.output)
            }

            /// Runs a command that must be refused with a reason at the lying socket.
            func demandRefused(_ arguments: [String], _ reason: String, _ text: String) throws {
                let run = try mesh(arguments + ["--json"], at: front.path)
                try demandEqual(run.reason, reason, "\(arguments): \(run.output)")
                try demandEqual(run.status, 3, run.output)
                try demand(run.output.contains(text), run.output)
            }

            func revoke(_ what: String, _ more: [String] = ["--reason", "test", "--force"]) -> [String] {
                ["revoke", what, "--key", operators.keyFile] + more
            }

            func inForce(_ kind: DocumentKind) throws -> SignedDocument {
                try SignedDocument(envelope: Array(try node.control.get("/v1/documents/\(kind.rawValue)").text.utf8))
            }

            /// The envelope in force with another content and the old signature.
            func forge(_ kind: DocumentKind, _ payload: [UInt8]) {
                front.alter("/v1/documents/\(kind.rawValue)") { text in
                    var object = try JSONReader.parse(Array(text.utf8)).requireObject()
                    object["payload"] = .string(
                        Data(payload).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                            .replacing("=", with: ""))
                    return JSONValue.object(object).text()
                }
            }

            /// A directory with the same key, in which nothing was seen yet.
            func anotherDesk() throws -> String {
                let directory = mesh.directory + "/desk"
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                for name in ["operator.key", "ca.crt"] {
                    try FileManager.default.copyItem(
                        atPath: mesh.directory + "/" + name, toPath: "\(directory)/\(name)")
                }
                return directory + "/operator.key"
            }
        }

        /// What is asked about a node before it is revoked keeps no revocation back, and makes no time up that is signed.
        @Test func whatOthersSayOfARevokedNode() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh)
                defer { desk.front.stop() }
                desk.front.fail("/v1/links")
                desk.front.fail("/v1/ca/nodes")
                let known =
                    #"{"nodes":[{"node":"evil","certificates":[{"begins":9223372036854775807,"serial":"0a"}]}]}"#
                for target in ["/v1/documents/nodes", "/v1/documents/nodes?ask=evil"] {
                    desk.front.alter(target) { _ in known }
                }
                let made = try desk.mesh(desk.revoke("evil", ["--reason", "test"]), at: desk.front.path)
                try demand(made.output.contains("revoked node:evil"), made.output)
                let entry = try RevocationSet(payload: try desk.inForce(.revocations).payload).entry(ofNode: "evil")
                guard case .node(_, let time)? = entry?.target else { throw Failure("no entry") }
                try demand(time < Int64(Foundation.time(nil)) + 3_600, "valid from before \(time)")
                desk.front.fail("/v1/documents/nodes")
                let forced = try desk.mesh(desk.revoke("worse"), at: desk.front.path)
                try demandEqual(try desk.node.documentVersion(.revocations), 2, forced.output)
                _ = try desk.mesh(desk.revoke("worse", ["--undo"]), at: desk.front.path)
                try demandEqual(try desk.node.documentVersion(.revocations), 3)
            }
        }

        /// A list of revocations from which an entry is missing is not signed again.
        @Test func aRevocationThatIsMissing() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh)
                defer { desk.front.stop() }
                let first = try desk.mesh(desk.revoke("evil"))
                try demand(
                    first.output.contains("version 1 of the list of revocations (the first):\n  + node:evil (test)"),
                    first.output)
                let old = try desk.inForce(.revocations)
                let second = try desk.mesh(desk.revoke("worse"))
                try demand(
                    second.output.contains("version 2 of the list of revocations (follows version 1):\n  + node:worse"),
                    second.output)
                // Altered; by a key of the liar's own; none; an older one that was signed well.
                desk.forge(.revocations, RevocationSet.payload([]))
                try desk.demandRefused(desk.revoke("multi"), "bad_document_signature", "nothing was signed")
                let shown = ["revoke", "--list", "--key", desk.operators.keyFile]
                try desk.demandRefused(shown, "bad_document_signature", "the list of revocations is not believed")
                desk.front.alter("/v1/documents/revocations", nil)
                let own = try PrivateKey.generate(.ed25519)
                desk.front.show(try desk.operators.sign(.revocations, 9, #"{"revoked":[]}"#, by: own))
                try desk.demandRefused(desk.revoke("multi"), "unknown_operator", "--former")
                desk.front.show(old)
                try desk.demandRefused(desk.revoke("multi"), "rolled_back", "version 2 was seen before")
                try desk.demandRefused(shown, "rolled_back", "version 1 of the list of revocations")
                desk.front.alter("/v1/documents/revocations", nil)
                desk.front.alterVersion(.revocations, nil)
                try desk.demandRefused(desk.revoke("multi"), "rolled_back", "shows none of the list of revocations")
                try demandEqual(try desk.inForce(.revocations).version, 2)
                // The truth is signed, and what goes is said.
                let undone = try desk.mesh(desk.revoke("evil", ["--undo"]))
                try demand(
                    undone.output.contains("version 3 of the list of revocations (follows version 2):\n  - node:evil"),
                    undone.output)
                let list = try JSONReader.parse(try desk.mesh(shown + ["--json"]).output)
                try demandEqual(list["verified"]?.bool, true)
                try demandEqual(list["revoked"]?.array?.count, 1)
                // What was seen is nobody else's business to change.
                for (name, mode) in [
                    ("seen", 0o700), ("seen/e2e.test/revocations.json", 0o600), ("seen/e2e.test/operators.json", 0o600),
                ] {
                    let found = try FileManager.default.attributesOfItem(atPath: mesh.directory + "/" + name)
                    try demandEqual((found[.posixPermissions] as? Int).map { $0 & 0o777 }, mode, name)
                }
            }
        }

        /// Nor is what the liar's operators have signed: who they are, a root says.
        @Test func operatorsOfALiar() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh)
                defer { desk.front.stop() }
                let own = try PrivateKey.generate(.ed25519)
                desk.forge(.operators, OperatorList([.init(name: "mallory", key: own.publicKey)]).payload)
                try desk.demandRefused(
                    desk.revoke("multi"), "bad_document_signature", "the list of operators is not believed")
                try desk.demandRefused(
                    ["operator", "list", "--ca", mesh.directory + "/ca.crt"], "bad_document_signature",
                    "not that of the root")
                desk.front.show(try desk.operators.list(2, [("mallory", own)], by: own))
                try desk.demandRefused(
                    desk.revoke("multi"), "unknown_operator", "the list of operators is not believed")
                // A root of the same name and mesh is another one all the same.
                desk.front.alter("/v1/documents/operators", nil)
                desk.front.show(try TestRoots(mesh).signedByAStranger())
                try desk.demandRefused(desk.revoke("multi"), "root_not_vouched", "the list of roots is not believed")
                // Another mesh is not signed for, and without a root nothing is.
                desk.front.alter("/v1/documents/trust", nil)
                desk.front.alter("/v1/documents") { $0.replacing(TestMesh.trustDomain, with: "other.test") }
                try desk.demandRefused(desk.revoke("multi"), "other_mesh", "holds no root of that mesh")
                unlink(mesh.directory + "/ca.crt")
                let bare = try desk.mesh(desk.revoke("multi") + ["--json"])
                try demandEqual(bare.reason, "no_root", bare.output)
                try demandEqual(bare.status, 4, bare.output)
                try demandEqual(try desk.node.documentVersion(.revocations), nil)
            }
        }

        /// A policy that was forged is neither compared with nor followed; one that another agent has not got yet can be passed.
        @Test func policy() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh)
                defer { desk.front.stop() }
                let file = mesh.directory + "/next.json"
                func write(_ text: String) throws { try text.write(toFile: file, atomically: true, encoding: .utf8) }
                let apply = ["policy", "apply", file, "--key", desk.operators.keyFile]
                try write(mesh.policy.text)
                try demandEqual(try desk.mesh(apply).status, 0)
                let old = try desk.inForce(.policy)
                try write(mesh.policy.text + "\n// second\n")
                let second = try desk.mesh(apply)
                try demand(
                    second.output.contains("version 2 of the policy (follows version 1):\n  + // second"), second.output
                )
                desk.forge(.policy, Array(mesh.policy.text.utf8))
                try desk.demandRefused(apply, "bad_document_signature", "the policy is not believed")
                let diff = ["policy", "diff", file, "--ca", mesh.directory + "/ca.crt"]
                try desk.demandRefused(diff, "bad_document_signature", "the policy is not believed")
                desk.front.show(old)
                try desk.demandRefused(apply, "rolled_back", "version 2 was seen before")
                // Who names the number knows that the agent is behind.
                let passed = try desk.mesh(apply + ["--version", "5", "--base", "2"], at: desk.front.path)
                try demand(passed.output.contains("policy version 5 is in force here"), passed.output)
                desk.front.alter("/v1/documents/policy", nil)
                // One by an operator who was removed can be replaced, without having been seen.
                let other = try PrivateKey.generate(.ed25519)
                try desk.node.take(try desk.operators.list(2, [("tester", desk.operators.key), ("other", other)]))
                try desk.node.take(try desk.operators.sign(.policy, 6, mesh.policy.text, by: other))
                try desk.node.take(try desk.operators.list(3, [("tester", desk.operators.key)]))
                let replaced = try desk.mesh(["policy", "apply", file, "--key", try desk.anotherDesk()])
                try demand(replaced.output.contains("what changes cannot be shown"), replaced.output)
                try demand(replaced.output.contains("policy version 7 is in force here"), replaced.output)
            }
        }

        /// What a removed operator revoked goes on where it was seen before, or somebody names the list that had him.
        @Test func aRemovedOperator() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh)
                defer { desk.front.stop() }
                let other = try PrivateKey.generate(.ed25519)
                let both = try desk.operators.list(2, [("tester", desk.operators.key), ("other", other)])
                try desk.node.take(both)
                let payload = RevocationSet.payload([.init(.node("evil", validBefore: 5), revoked: 5, reason: "old")])
                try desk.node.take(
                    try desk.operators.sign(.revocations, 1, String(decoding: payload, as: UTF8.self), by: other))
                // Somebody has looked while he was an operator.
                let look = try desk.mesh(["revoke", "--list", "--key", desk.operators.keyFile])
                try demand(look.output.contains("node:evil"), look.output)
                try desk.node.take(try desk.operators.list(3, [("tester", desk.operators.key)]))
                let stranger = try desk.anotherDesk()
                let refused = try desk.mesh([
                    "revoke", "multi", "--reason", "test", "--force", "--key", stranger, "--json",
                ])
                try demandEqual(refused.reason, "unknown_operator", refused.output)
                try demandEqual(refused.status, 3, refused.output)
                // Whoever looked knows which list it was, and needs no more.
                let seen = try desk.mesh(["revoke", "--list", "--json", "--key", desk.operators.keyFile])
                try demandEqual(try JSONReader.parse(seen.output)["verified"]?.bool, true, seen.output)
                let former = mesh.directory + "/former.json"
                try SafeFile.write(both.envelope, to: former, mode: 0o644)
                let named = try desk.mesh([
                    "revoke", "multi", "--reason", "test", "--force", "--key", stranger, "--former", former,
                ])
                try demand(named.output.contains("revoked node:multi (revocations version 2)"), named.output)
                let list = try RevocationSet(payload: try desk.inForce(.revocations).payload)
                try demandEqual(list.entries.map(\.name), ["node:evil", "node:multi"])
                // From now on it is the tester's, whom every desk believes.
                try demandEqual(try desk.mesh(desk.revoke("evil", ["--undo"])).status, 0)
            }
        }

        /// No step of a rotation lets a root sign what the agent made up.
        @Test func aRootSignsNothingThatIsMadeUp() throws {
            try withMesh { mesh in
                let desk = try Desk(mesh) { try $0.serveCA() }
                defer { desk.front.stop() }
                let certs = mesh.directory + "/certs"
                try FileManager.default.createDirectory(atPath: certs, withIntermediateDirectories: true)
                try mesh.authority.write(
                    certificateFile: certs + "/ca.crt", keyFile: certs + "/ca.key",
                    passphrase: Passphrase("correct horse"))
                let passphrase = mesh.directory + "/passphrase"
                try mesh.writeSecret(Array("correct horse\n".utf8), to: passphrase)
                func step(_ name: String) -> [String] {
                    ["ca", "rotate", name, "--next", mesh.directory + "/next", "--passphrase-file", passphrase]
                        + (name == "prepare" ? ["--ca-dir", certs] : ["--force"])
                }
                let mallory = try PrivateKey.generate(.ed25519)
                let members = [
                    OperatorList.Member(name: "tester", key: desk.operators.key.publicKey),
                    OperatorList.Member(name: "mallory", key: mallory.publicKey),
                ]
                desk.forge(.operators, OperatorList(members).payload)
                try desk.demandRefused(
                    step("prepare"), "bad_document_signature", "the list of operators is not believed")
                desk.front.alter("/v1/documents/operators", nil)
                let prepared = try desk.mesh(step("prepare"), at: desk.front.path)
                try demandEqual(prepared.status, 0, prepared.output)
                try demand(prepared.output.contains("  + CN=E2E root"), prepared.output)
                // The next root signs neither operators nor roots that nobody has signed.
                desk.forge(.operators, OperatorList(members).payload)
                try desk.demandRefused(
                    step("activate"), "bad_document_signature", "the list of operators is not believed")
                desk.front.alter("/v1/documents/operators", nil)
                let list = try RootList(payload: desk.inForce(.trust).payload, trustDomain: TestMesh.trustDomain)
                let liars = try RootList(
                    list.entries.map { .init($0.certificate, $0.state == .active ? .retiring : .active) },
                    crossSigned: list.crossSigned, trustDomain: TestMesh.trustDomain)
                desk.forge(.trust, liars.payload)
                try desk.demandRefused(step("activate"), "bad_document_signature", "the list of roots is not believed")
                try desk.demandRefused(
                    ["ca", "rotate", "status", "--ca", certs + "/ca.crt"], "bad_document_signature", "the list of roots"
                )
                desk.front.alter("/v1/documents/trust", nil)
                desk.front.alter("/v1/roots") { $0.replacing("prepared", with: "active") }
                try desk.demandRefused(
                    ["ca", "rotate", "status", "--ca", certs + "/ca.crt"], "unsigned_roots", "other roots")
                desk.front.alterVersion(.trust, nil)
                try desk.demandRefused(step("activate"), "rolled_back", "version 1 was seen before")
                desk.front.alter("/v1/documents", nil)
                try demandEqual(try desk.node.documentVersion(.trust), 1)
                try demandEqual(try desk.node.documentVersion(.operators), 1)
                let active = try desk.mesh(step("activate"))
                try demandEqual(active.status, 0, active.output)
                let operators = try desk.inForce(.operators)
                try demandEqual(operators.version, 2)
                try demandEqual(try OperatorList(payload: operators.payload).members.map(\.name), ["tester"])
                // The operator's root of before leads to the one that signs now.
                let revoked = try desk.mesh(desk.revoke("evil"))
                try demandEqual(revoked.status, 0, revoked.output)
            }
        }
    }
}
