import Documents
import Enrolment
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What stands between a host and its first or next identity, and the way back.
    @Suite struct Recovery {
        private func ends(_ node: TestNode, _ arguments: [String] = []) throws -> (status: Int32, output: String) {
            try node.launch(arguments)
            node.expectEnd()
            let status = try node.running().wait(within: 60 * Deadline.slowness)
            return (status, try node.running().output)
        }

        private func ca(_ mesh: TestMesh, ttl: String = "1h", renewExpiredFor: String = "1h") throws -> TestNode {
            let ca = try mesh.node("Directory", directory: true) {
                try $0.serveCA(ttl: ttl, renewExpiredFor: renewExpiredFor)
            }
            try ca.start()
            try ca.waitReady()
            return ca
        }

        /// A CA that is away is no reason to stay down: the exit code is not one of those after which systemd gives up.
        @Test func aCAThatIsAwayIsAskedAgain() throws {
            try withMesh { mesh in
                try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node") {
                    $0.joinsByToken()
                    $0.set("identity.join.patience", "200ms")
                }
                let token = try JoinToken(
                    address: "\(mesh.network).99:7443", fingerprint: mesh.authority.root.fingerprintSHA256,
                    node: "Node")
                try SafeFile.write(token.text(), to: node.tokenFile, mode: 0o600)
                try node.writeFiles()
                let end = try ends(node)
                try demandEqual(end.status, 5, end.output)
                try demand(end.output.contains("ca_unreachable"), end.output)
                let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                    .appendingPathComponent("../../../deploy/systemd/mesh-agent.service")
                let unit = try String(contentsOf: root, encoding: .utf8)
                let line = unit.split(separator: "\n").first { $0.hasPrefix("RestartPreventExitStatus=") }
                try demandEqual(line.map(String.init), "RestartPreventExitStatus=78 6")
            }
        }

        /// Who is told to stop while the CA is waited for ends at once and in order, and says so: nothing was served yet, and systemd shall
        /// not take it for a failure.
        @Test(arguments: [SIGTERM, SIGINT]) func aStartThatWaitsForTheCAIsStopped(signal: Int32) throws {
            try withMesh { mesh in
                try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node") {
                    $0.joinsByToken()
                    $0.set("identity.join.patience", "1d")
                }
                let token = try JoinToken(
                    address: "\(mesh.network).99:7443", fingerprint: mesh.authority.root.fingerprintSHA256,
                    node: "Node")
                try SafeFile.write(token.text(), to: node.tokenFile, mode: 0o600)
                try node.writeFiles()
                try stopsWhileItWaits(node, signal)
                // The same key asks again, so that a token which the CA has counted as used by then is not lost.
                try demand(SafeFile.exists(node.identityDirectory + "/node.key.next"), "the key is kept")
            }
        }

        /// The same where the CA has taken the connection and does not answer, about an identity that ended while the host was off.
        @Test(arguments: [SIGTERM, SIGINT]) func aStartThatRenewsFirstIsStopped(signal: Int32) throws {
            try withMesh { mesh in
                try mesh.node("Directory", directory: true)
                let silent = try ListeningSocket(host: "\(mesh.network).99", port: 7443)
                let node = try mesh.node("Node") {
                    $0.set("identity.renew.address", .string(silent.address))
                    $0.set("identity.join.patience", "1d")
                }
                try node.issue(IssueRequest(node: "Node", validity: 100), now: Int64(time(nil)) - 200)
                try node.writeFiles()
                try stopsWhileItWaits(node, signal, after: "identity_expired")
            }
        }

        private func stopsWhileItWaits(_ node: TestNode, _ signal: Int32, after event: String = "join_delayed") throws {
            try node.launch()
            node.expectEnd()
            try node.waitFor(event)
            try node.running().signal(signal)
            try demandEqual(try node.running().wait(), 0, "the exit status")
            try demandEqual(
                node.records.filter { $0.event == "stopped" }.map { $0["why"] },
                [signal == SIGINT ? "SIGINT" : "SIGTERM"])
        }

        /// Roots that are another mesh's are told from those of the token's CA before it hears of the token, by the agent as by
        /// `mesh join`.
        @Test func rootsOfAnotherMeshAreNotAddedTo() throws {
            try withMesh { mesh in
                let ca = try ca(mesh)
                let node = try mesh.node("Node") { $0.joinsByToken() }
                let directory = node.directory + "/other"
                let roots = directory + "/ca.crt"
                node.set("trust.ca", .string(roots))
                try node.writeFiles()
                try ca.createToken(for: "Node", in: node.tokenFile)
                let other = try CertificateAuthority.createRoot(
                    name: "Other root", trustDomain: "other.test", now: Int64(time(nil)))
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
                func refused(_ why: String) throws {
                    let before = try String(contentsOfFile: roots, encoding: .utf8)
                    for (arguments, status) in [(["--check"], 78), ([], 6)] as [([String], Int32)] {
                        let end = try ends(node, arguments)
                        try demandEqual(end.status, status, end.output)
                        try demand(end.output.contains("(other_mesh)"), end.output)
                        try demand(end.output.contains("\(roots) \(why)"), end.output)
                        try demand(end.output.contains("the token is not used"), end.output)
                        try demand(end.output.contains("hint: ") && !end.output.contains("--force"), end.output)
                    }
                    try demandEqual(try String(contentsOfFile: roots, encoding: .utf8), before)
                    try demandEqual(try ca.metric("mesh_ca_open_tokens"), 1)
                }
                try other.write(certificateFile: roots, keyFile: directory + "/ca.key", passphrase: nil)
                try refused("is the root of another CA")
                unlink(directory + "/ca.key")
                try refused("has another root, of other.test, than")
                // So it is where the file that joining would write is not there yet, and another one is.
                node.set("trust.ca", [.string(node.directory + "/new.crt"), .string(roots)])
                try refused("has another root, of other.test, than")
                // Whoever names both trusts both.
                let own = node.directory + "/own.crt"
                try mesh.authority.root.pem.write(toFile: own, atomically: true, encoding: .utf8)
                node.set("trust.ca", [.string(roots), .string(own)])
                try node.start()
                try node.waitReady()
            }
        }

        /// A token that is another node's is told from the right one before anybody hears of it.
        @Test func anotherNodesTokenIsNotUsedUp() throws {
            try withMesh { mesh in
                let ca = try ca(mesh)
                let node = try mesh.node("Node") { $0.joinsByToken() }
                try node.writeFiles()
                let missing = try ends(node, ["--check"])
                try demandEqual(missing.status, 78, missing.output)
                try demand(missing.output.contains("mesh ca token create"), missing.output)
                try ca.createToken(for: "Other", in: node.tokenFile)
                for arguments in [["--check"], []] {
                    let end = try ends(node, arguments)
                    try demandEqual(end.status, 78, end.output)
                    try demand(end.output.contains("is for Other"), end.output)
                }
                try demandEqual(try ca.metric("mesh_ca_open_tokens"), 1)
                // The identity of another name lies in the way.
                node.set("node.name", "Other")
                try node.start()
                try node.waitReady()
                try node.stop()
                node.set("node.name", .null)
                node.set("node.name", "Node")
                try node.writeFiles()
                let named = try ends(node)
                try demandEqual(named.status, 6, named.output)
                try demand(named.output.contains("remove the directory \(node.identityDirectory)"), named.output)
            }
        }

        /// A token file that is gone from the configuration after the node has joined is not missed.
        @Test func theTokenIsNotNeededAfterwards() throws {
            try withMesh { mesh in
                let ca = try ca(mesh)
                let node = try mesh.node("Node") { $0.joinsByToken() }
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try node.stop()
                node.set("identity.join.tokenFile", .null)
                try node.start()
                try node.waitReady()
            }
        }

        @Test func aFreshTokenBringsBackAnExpiredNode() throws {
            try withMesh { mesh in
                let bound = Deadline.lifetime(2)
                let ca = try ca(mesh, ttl: "\(Deadline.lifetime(3))s", renewExpiredFor: "\(bound)s")
                let node = try mesh.node("Node") { $0.joinsByToken() }
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try node.stop()
                let end = try Certificate.load(file: node.identityDirectory + "/node.crt")[0].notAfter
                try Deadline.until("it has ended beyond renewal") {
                    Date().timeIntervalSince1970 > Double(end + bound) + 0.5
                }
                let stuck = try ends(node)
                try demandEqual(stuck.status, 6, stuck.output)
                for words in [
                    "not_authenticated", "token_used", "mesh ca token create --node Node", "ca.renewExpiredFor",
                    "put it into \(node.tokenFile) and start again",
                ] {
                    try demand(stuck.output.contains(words), "\(words): \(stuck.output)")
                }
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.launch()
                try node.waitReady()
                try demandEqual(node.count("joined"), 1)
                // The CA being away then is a matter of time.
                try node.stop()
                ca.kill()
                try Deadline.until("it has ended again") {
                    let end = try Certificate.load(file: node.identityDirectory + "/node.crt")[0].notAfter
                    return Date().timeIntervalSince1970 > Double(end) + 0.5
                }
                node.set("identity.join.patience", "200ms")
                try node.writeFiles()
                let away = try ends(node)
                try demandEqual(away.status, 5, away.output)
            }
        }

        /// What stops a start stops a check as well.
        @Test func aCheckSeesDamagedDocuments() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try node.take(operators.list)
                try node.take(try operators.sign(.policy, 1, mesh.policy.text))
                try node.stop()
                let good = try ends(node, ["--check"])
                try demandEqual(good.status, 0, good.output)
                let file = node.directory + "/state/documents/policy.json"
                try "{}".write(toFile: file, atomically: true, encoding: .utf8)
                for arguments in [["--check"], []] {
                    let end = try ends(node, arguments)
                    try demandEqual(end.status, 78, end.output)
                    try demand(end.output.contains("\(file) cannot be used"), end.output)
                }
            }
        }

        /// Tokens are made from any node that may, by way of its own agent.
        @Test func tokensAreMadeFromAnotherNode() throws {
            try withMesh { mesh in
                let ca = try ca(mesh)
                let node = try mesh.node("Node")
                try node.start()
                try node.waitReady()
                let arguments = ["ca", "token", "create", "--node", "New", "--at", "Directory", "--json"]
                let denied = try node.mesh(arguments)
                try demandEqual(denied.status, 3, denied.output)
                try demand(denied.output.contains("node:Node needs connect to mesh.agent"), denied.output)
                ca.policy.connect("node:Node", to: "mesh.agent")
                ca.policy.rules.append(["allow": ["administer"], "from": ["node:Node"], "to": ["Directory"]])
                node.policy = ca.policy
                try node.writeFiles()
                try ca.writeFiles()
                try demandEqual(try node.reload().status, 200)
                try demandEqual(try ca.reload().status, 200)
                let made = try node.mesh(arguments)
                try demandEqual(made.status, 0, made.output)
                try demandEqual(try ca.metric("mesh_ca_open_tokens"), 1)
                let listed = try node.mesh(["ca", "token", "list", "--at", "Directory"])
                try demand(listed.output.contains("New"), listed.output)
            }
        }
    }
}
