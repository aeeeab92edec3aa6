import Agent
import Documents
import EventLoop
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Single steps of a rotation of roots that go wrong, or were cut short.
    @Suite struct RootSteps {
        /// A CA, and the files of its root.
        private struct Steps {
            let mesh: TestMesh
            let ca: TestNode
            let certs: String
            let passphrase: String

            /// - Parameter text: the passphrase of the root's key; the agent's is "correct horse".
            init(_ mesh: TestMesh, passphrase text: String = "correct horse") throws {
                self.mesh = mesh
                certs = mesh.directory + "/certs"
                passphrase = mesh.directory + "/passphrase"
                ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try FileManager.default.createDirectory(atPath: certs, withIntermediateDirectories: true)
                try mesh.authority.write(
                    certificateFile: certs + "/ca.crt", keyFile: certs + "/ca.key", passphrase: Passphrase(text))
                try mesh.writeSecret(Array("\(text)\n".utf8), to: passphrase)
                try ca.start()
                try ca.waitReady()
            }

            func rotate(
                _ step: String, from: String? = nil, to next: String? = nil, _ more: [String] = [],
                control: String? = nil
            ) throws -> CommandResult {
                let arguments =
                    ["ca", "rotate", step, "--json", "--next", next ?? mesh.directory + "/next"]
                    + ["--passphrase-file", passphrase] + (step == "prepare" ? ["--ca-dir", from ?? certs] : []) + more
                guard let control else { return try ca.mesh(arguments) }
                let run = try runProgram([TestMesh.binaries + "/mesh", "--control", control] + arguments)
                return CommandResult(status: run.status, output: run.output)
            }

            func step(_ step: String, _ more: [String] = []) throws {
                let run = try rotate(step, more)
                try demandEqual(run.status, 0, run.output)
            }

            /// The files of the CA, and whether it still issues.
            var issuing: [String: Data?] {
                var files: [String: Data?] = [:]
                for name in ["issuer.crt", "issuer.key"] {
                    files[name] = FileManager.default.contents(atPath: mesh.directory + "/" + name)
                }
                return files
            }

            func demandIssues(_ node: String) throws {
                let token = mesh.directory + "/token-\(node)"
                try ca.createToken(for: node, in: token)
                let joined = try ca.join(token)
                try demandEqual(joined.status, 0, joined.output)
            }

            func exists(_ name: String) -> Bool { access(mesh.directory + "/" + name, F_OK) == 0 }

            /// Whose a file is, and its mode.
            func owner(_ name: String) throws -> [UInt32] {
                var status = stat()
                guard stat(mesh.directory + "/" + name, &status) == 0 else { throw Failure("\(name) is not there") }
                return [status.st_uid, status.st_gid, status.st_mode & 0o777]
            }
        }

        /// `activate` lets the agent look at the next files before it replaces anything, and they stay the agent's.
        @Test func activateLooksFirst() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh, passphrase: "another horse")
                try steps.step("prepare")
                let before = steps.issuing
                let refused = try steps.rotate("activate")
                try demandEqual(refused.reason, "bad_passphrase", refused.output)
                try demandEqual(refused.status, 6, refused.output)
                try demand(refused.output.contains("nothing was changed"), refused.output)
                try demand(before == steps.issuing, "the CA's files were changed")
                for name in ["issuer.key.candidate", "issuer.crt.candidate", "issuer.key.previous"] {
                    try demand(!steps.exists(name), "\(name) was left")
                }
                try demandEqual(try steps.ca.documentVersion(.trust), 1)
                try steps.demandIssues("Before")
                // With the agent's passphrase it goes on.
                let key = mesh.directory + "/next/ca.key"
                let made = try runProgram([
                    "openssl", "pkey", "-in", key, "-passin", "pass:another horse", "-aes256", "-passout",
                    "pass:correct horse", "-out", key + ".new",
                ])
                try demandEqual(made.status, 0, made.output)
                rename(key + ".new", key)
                try mesh.writeSecret(Array("correct horse\n".utf8), to: steps.passphrase)
                if getuid() == 0 {
                    // As where the agent is no root; here it may read everything.
                    for name in ["issuer.key", "issuer.crt"] { chown(mesh.directory + "/" + name, 65_534, 65_534) }
                }
                try steps.step("activate")
                if getuid() == 0 {
                    for name in ["issuer.key", "issuer.key.previous"] {
                        try demandEqual(try steps.owner(name), [65_534, 65_534, 0o600], name)
                    }
                }
                try demandEqual(try steps.ca.documentVersion(.trust), 2)
                try steps.demandIssues("After")
            }
        }

        /// A node that is revoked is not waited for, by no step.
        @Test func aRevokedNodeHoldsNothingUp() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Node")
                try node.start()
                try steps.ca.waitLinked(to: node)
                try steps.ca.take(operators.list)
                try steps.ca.take(
                    try operators.revocations(1, [.node("Node", validBefore: Int64(time(nil)) + 1)]))
                try steps.ca.waitFor("link_lost") { $0["node"] == "Node" && $0["reason"] == "identity_revoked" }
                try steps.step("prepare")
                let status = try JSONReader.parse(steps.ca.mesh(["ca", "rotate", "status", "--json"]).output)
                let entry = status["nodes"]?.array?.first { $0["node"]?.string == "Node" }
                try demandEqual(entry?["revoked"]?.string, "node:Node", "\(status)")
                try demandEqual(status["next"]?.string, "mesh ca rotate activate")
                let table = try steps.ca.mesh(["ca", "rotate", "status"]).output
                let line = table.split(separator: "\n").first { $0.hasPrefix("Node ") }
                try demand(line?.hasSuffix("revoked") == true, table)
                try steps.step("activate")
                // The CA's own node renews later.
                let refused = try steps.rotate("retire")
                try demandEqual(refused.reason, "nodes_not_ready", refused.output)
                try demand(refused.output.contains(": Directory\""), refused.output)
            }
        }

        /// Each step says what the next one waits for, for how long, and why.
        @Test func whatTheNextStepWaitsFor() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                let node = try mesh.node("Node") { $0.peer(steps.ca) }
                try node.start()
                try steps.ca.waitLinked(to: node)
                func next(_ run: CommandResult) throws -> String {
                    try demandEqual(run.status, 0, run.output)
                    return try JSONReader.parse(run.output)["next"]?.string ?? ""
                }
                let status = ["ca", "rotate", "status", "--json"]
                try steps.step("prepare")
                try node.waitDocument(.trust, version: 1)
                try demandEqual(try next(steps.ca.mesh(status)), "mesh ca rotate activate")
                let activated = try next(steps.rotate("activate"))
                try demand(activated.contains("within 10 minutes from now (a twentieth of"), activated)
                // The CA's own node renews; this one has its certificate from elsewhere.
                try node.waitDocument(.trust, version: 2)
                let waiting = try next(steps.ca.mesh(status))
                try demand(waiting.contains("Node (renews by 20"), waiting)
                try demand(waiting.contains("ten minutes at most"), waiting)
                try node.stop()
                try Deadline.until("it is not linked") { try !steps.ca.isLinked(to: node) }
                let away = try next(steps.ca.mesh(status))
                try demand(away.contains("Node (not linked: renews when it comes back, by 20"), away)
            }
        }

        /// After `activate` the list of operators beside the old root is not the one in force, and is not changed any more; whoever knows
        /// that: the next root's directory, the agent, or what was seen.
        @Test func operatorsGoOnBesideTheNextRoot() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                let (next, nobody) = (steps.certs + "-next", mesh.directory + "/no.sock")
                let operators = try TestOperator(mesh)
                let file = steps.certs + "/operators.json"
                try SafeFile.write(operators.list.envelope, to: file, mode: 0o644)
                try steps.ca.take(operators.list)
                func add(_ name: String, in directory: String, at control: String? = nil) throws -> CommandResult {
                    let run = try runProgram(
                        [
                            TestMesh.binaries + "/mesh", "--control", control ?? steps.ca.controlPath, "operator",
                            "add", name,
                        ]
                            + ["--json", "--ca-dir", directory, "--passphrase-file", steps.passphrase])
                    return CommandResult(status: run.status, output: run.output)
                }
                func demandRefused(_ run: CommandResult, _ words: [String]) throws {
                    try demandEqual(run.reason, "stale_list", run.output)
                    for words in words { try demand(run.output.contains(words), "\(words): \(run.output)") }
                    try demand(!steps.exists("certs/bob.key"), "a key was made")
                    try demandEqual(
                        FileManager.default.contents(atPath: file), Data(operators.list.envelope),
                        "the list was written")
                }
                func rotate(_ step: String) throws {
                    let run = try steps.rotate(step, to: next)
                    try demandEqual(run.status, 0, run.output)
                }
                try rotate("prepare")
                try rotate("activate")
                try steps.ca.waitDocument(.operators, version: 2)
                let version = "version 2 ("
                try demandRefused(
                    try add("bob", in: steps.certs, at: nobody),
                    [version, "was seen by the key in \(next)", "--ca-dir \(next)"])
                // A directory in which nothing of it is known.
                let moved = mesh.directory + "/moved"
                try FileManager.default.moveItem(atPath: next, toPath: moved)
                try demandRefused(
                    try add("bob", in: steps.certs), [version, "is in force at the agent", "mesh ca rotate activate"])
                let listed = try steps.ca.mesh(["operator", "list", "--ca", steps.certs + "/ca.crt"])
                try demandEqual(listed.status, 0, listed.output)
                try demandRefused(
                    try add("bob", in: steps.certs, at: nobody), [version, "was seen by the key in \(steps.certs)"])
                // There it goes on.
                let made = try add("bob", in: moved)
                try demandEqual(made.status, 0, made.output)
                // What is not applied yet is nothing that the agent hides.
                for _ in 0..<2 {
                    let shown = try steps.ca.mesh(["operator", "list", "--json", "--ca", moved + "/ca.crt"])
                    try demandEqual(shown.status, 0, shown.output)
                    try demandEqual(try JSONReader.parse(shown.output)["version"]?.integer, 2)
                }
                let applied = try steps.ca.mesh(["operator", "apply", moved + "/operators.json"])
                try demandEqual(applied.status, 0, applied.output)
                try demandEqual(try steps.ca.documentVersion(.operators), 3)
            }
        }

        /// A root that `mesh ca init` has made has a first list of operators beside it, which is not the mesh's.
        @Test func aNextRootsOwnListIsNotTheMeshs() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                let operators = try TestOperator(mesh)
                try steps.ca.take(operators.list)
                let next = mesh.directory + "/next"
                // Of two of one version the ledgers of agents go by the larger digest.
                repeat {
                    let made = try runProgram([
                        TestMesh.binaries + "/mesh", "ca", "init", "--out", next, "--force", "--passphrase-file",
                        steps.passphrase, "--trust-domain", TestMesh.trustDomain,
                    ])
                    try demandEqual(made.status, 0, made.output)
                } while try SignedDocument(envelope: SafeFile.read(next + "/operators.json")).stamp
                    < operators.list.stamp
                try steps.step("prepare")
                try steps.step("activate")
                try steps.ca.waitDocument(.operators, version: 2)
                let listed = try steps.ca.mesh(["operator", "list", "--json", "--ca", next + "/ca.crt"])
                try demandEqual(listed.status, 0, listed.output)
                try demand(listed.output.contains("tester"), listed.output)
            }
        }

        /// Where the agent refuses the files in the end, those of before are put back.
        @Test func whatTheAgentRefusesIsPutBack() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                try steps.step("prepare")
                let before = steps.issuing
                let front = try ControlFront(steps.ca).refusingOnce("/v1/ca/reload")
                defer { front.stop() }
                let refused = try steps.rotate("activate", control: front.path)
                try demandEqual(refused.reason, "out_of_luck", refused.output)
                try demand(refused.output.contains("those of before again"), refused.output)
                try demand(before == steps.issuing, "the CA's files were not put back")
                try demand(steps.exists("issuer.key.previous"), "nothing was kept")
                try demandEqual(try steps.ca.documentVersion(.trust), 1)
                try demandEqual(try steps.ca.mesh(["ca", "reload"]).status, 0)
                try steps.demandIssues("Before")
                try steps.step("activate")
                try steps.demandIssues("After")
            }
        }

        /// The time to renew in counts from when the list was made, not from when an agent takes it, or starts.
        @Test func theTimeToRenewCountsFromTheList() throws {
            try withMesh { mesh in
                // Ten minutes at most; a list of an hour ago makes it one.
                let (ca, node) = try mesh.joinedNode(ttl: "24h")
                let roots = try TestRoots(mesh)
                let list = try roots.sign(1, roots.list(.retiring, .active), by: mesh.authority, age: 3_600)
                try node.waitLinked(to: ca)
                func demandSoon(_ node: TestNode) throws {
                    // Whoever has asked by now has got a certificate below the same root, and waits for the next window.
                    guard node.count("identity_changed") == 0 else { return }
                    let due = try demandValue(
                        try node.control.get("/v1/agent").json["identity"]?["renewal"]?.string, "time of the renewal")
                    let latest = Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds() + 60_000)
                    try demand(
                        due <= latest || node.count("identity_changed") > 0, "\(node.name): \(due), not by \(latest)")
                }
                try ca.force(list)
                for node in [ca, node] {
                    try node.waitDocument(.trust, version: 1)
                    try demandSoon(node)
                }
                let status = try ca.mesh(["ca", "rotate", "status", "--json"])
                try demand(status.output.contains("(overdue: unless it came back within"), status.output)
                for _ in 0..<3 {
                    try node.stop()
                    try node.start()
                    try node.waitReady()
                    try demandSoon(node)
                }
            }
        }

        /// `prepare` that was cut short goes on where it stopped: with the intermediate.
        @Test func prepareGoesOn() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                let next = mesh.directory + "/next"
                try FileManager.default.createDirectory(atPath: next, withIntermediateDirectories: true)
                let root = try CertificateAuthority.createRoot(
                    name: "Half made", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                try root.write(
                    certificateFile: next + "/ca.crt", keyFile: next + "/ca.key",
                    passphrase: Passphrase("correct horse"))
                try mesh.writeSecret(Array("half a pair".utf8), to: next + "/intermediate.key")
                try steps.step("prepare", ["--intermediate"])
                let made = try CertificateAuthority.load(
                    certificateFile: next + "/intermediate.crt", keyFile: next + "/intermediate.key",
                    passphrase: Passphrase("correct horse"))
                try demandEqual(made.root, root.root)
                try steps.step("activate")
                let issuer = try steps.ca.mesh(["ca", "reload", "--json"])
                try demand(issuer.output.contains("CN=Half made intermediate"), issuer.output)
            }
        }

        /// More rotations than a list of roots has room for: what was retired stays retired.
        @Test func retiredRootsAreRemembered() throws {
            try withMesh { mesh in
                let steps = try Steps(mesh)
                var present = steps.certs
                for number in 1...RootList.maximumRoots {
                    let next = mesh.directory + "/next\(number)"
                    for step in ["prepare", "activate", "retire"] {
                        let more = ["--force"] + (step == "prepare" ? ["--late-for", "1s"] : [])
                        let run = try steps.rotate(step, from: present, to: next, more)
                        try demand([0, 5].contains(run.status), "\(number), \(step): \(run.output)")
                    }
                    present = next
                }
                let envelope = try steps.ca.control.get("/v1/documents/trust").text
                let document = try SignedDocument(envelope: Array(envelope.utf8))
                let list = try RootList(payload: document.payload, trustDomain: TestMesh.trustDomain)
                try demandEqual(list.entries.count, RootList.maximumRoots)
                try demandEqual(list.gone, [mesh.authority.root.spkiSHA256])
                try demandEqual(list.applied(to: [mesh.authority.root]).contains(mesh.authority.root), false)
            }
        }
    }
}
