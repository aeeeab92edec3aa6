import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Files that the product makes, under a umask that protects nothing, and processes that hold keys.
    @Suite struct SecretFiles {
        private static let openUmask = ["sh", "-c", "umask 000; exec \"$@\"", "sh"]

        /// What everybody may read, by the end of its name: certificates, and lists that are given away.
        private static let publicEnds = [".crt", ".pem", ".crt.ca.json", "operators.json"]

        /// Everything below a directory, with modes.
        private func modes(_ directory: String) throws -> [(path: String, type: FileAttributeType?, mode: Int)] {
            let files = FileManager.default
            return try (files.subpathsOfDirectory(atPath: directory) + [""]).compactMap { name in
                let path = name.isEmpty ? directory : "\(directory)/\(name)"
                // One that the agent replaces may be gone again.
                guard let attributes = try? files.attributesOfItem(atPath: path) else { return nil }
                return (path, attributes[.type] as? FileAttributeType, attributes[.posixPermissions] as? Int ?? 0)
            }
        }

        private func demandTight(_ directory: String, least: Int, directories: Int = 0o077) throws {
            let found = try modes(directory)
            try demand(found.count >= least, "\(found.count) files: \(found.map { $0.path })")
            for (path, type, mode) in found {
                let isPublic = Self.publicEnds.contains { path.hasSuffix($0) }
                var forbidden = isPublic ? 0o133 : 0o177
                if type == .typeDirectory { forbidden = directories }
                // The control socket is for its group, too; who calls is asked of the kernel.
                if type == .typeSocket { forbidden = 0o117 }
                if type == .typeSymbolicLink { forbidden = 0 }
                try demandEqual(mode & forbidden, 0, "\(path): \(String(mode, radix: 8))")
            }
        }

        /// The agents' state: identity, CA, directory, documents, registrations, audit log, seals of others, sockets.
        @Test func anAgentsStateIsItsOwn() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                let keeper = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                let kept = try mesh.node("Kept") { node in
                    node.joinsByToken()
                    node.set("audit.sealPeers", ["Directory"])
                    node.set("audit.checkpointInterval", "200ms")
                    node.offer("echo", service.address)
                }
                for node in mesh.nodes { node.prefix = Self.openUmask }
                try keeper.start()
                try keeper.waitReady()
                try keeper.createToken(for: "Kept", in: kept.tokenFile)
                try kept.start()
                try kept.waitReady()
                for node in mesh.nodes { try node.take(operators.list) }
                try keeper.take(try operators.sign(.policy, 1, mesh.policy.text))
                try keeper.take(try operators.revocations(1, [.node("Nobody", validBefore: Int64(time(nil)))]))
                for node in mesh.nodes { try node.waitDocument(.revocations, version: 1) }
                let seals = keeper.directory + "/state/seals/Kept.json"
                try Deadline.until("a seal is kept") { FileManager.default.fileExists(atPath: seals) }
                let file = kept.tokenFile
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                try demandEqual(mode, 0o600, "the token")
                try demandTight(keeper.directory + "/state", least: 12)
                try demandTight(kept.directory + "/state", least: 10)
            }
        }

        /// What the command makes: the CA, operators, tokens and API keys of external clients.
        @Test func whatTheCommandMakesIsTight() throws {
            try withMesh { mesh in
                let directory = mesh.directory + "/made"
                try FileManager.default.createDirectory(
                    atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                for arguments in [
                    ["ca", "init", "--trust-domain", "mesh.test", "--no-passphrase", "--intermediate"],
                    ["ca", "issue", "db-1"], ["operator", "add", "second"],
                    ["token", "init", "--issuer", "https://tokens.test", "--key", "issuer.json"],
                    ["token", "dpop", "--new", "--key", "dpop.jwk"],
                    ["apikey", "create", "robot", "--file", "keys.json"],
                    ["cert", "dev", "--name", "shop.test"],
                ] {
                    let words = ["/bin/sh", "-c", "umask 000; cd '\(directory)' && exec \"$@\"", "sh"]
                    let result = try runProgram(words + [TestMesh.binaries + "/mesh"] + arguments)
                    try demandEqual(result.status, 0, "\(arguments): \(result.output)")
                }
                // Certificates are for everybody, and lie beside the keys.
                try demandTight(directory, least: 12, directories: 0o022)
            }
        }

        /// The passphrase of the CA's key as a systemd credential.
        @Test func aPassphraseAsACredential() throws {
            try withMesh { mesh in
                let credentials = mesh.directory + "/credentials"
                try FileManager.default.createDirectory(
                    atPath: credentials, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                // As systemd has it: mode 0400.
                _ = FileManager.default.createFile(
                    atPath: credentials + "/ca-passphrase", contents: Data("correct horse\n".utf8),
                    attributes: [.posixPermissions: 0o400])
                let node = try mesh.node("Directory", directory: true) { node in
                    try node.serveCA()
                    node.set("ca.passphraseVariable", .null)
                    node.set("ca.passphraseCredential", "ca-passphrase")
                    node.environment["TEST_CA_PASSPHRASE"] = nil
                    node.environment["CREDENTIALS_DIRECTORY"] = credentials
                }
                try mesh.start()
                try demandEqual(try node.metric("mesh_ca_nodes"), 1)
                try node.stop()
                node.environment["CREDENTIALS_DIRECTORY"] = nil
                let refused = try runProgram(
                    [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check"])
                try demand(
                    refused.status != 0 && refused.output.contains("LoadCredential=ca-passphrase:PATH"), refused.output)
            }
        }

        /// A process that may not be dumped belongs to root in /proc: nobody else, its own user included, looks into it.
        @Test func itsOwnUserDoesNotLookIntoIt() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                func memory(_ program: Child) throws -> Int32 {
                    try runProgram([
                        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c",
                        "cat /proc/\(program.pid)/environ >/dev/null",
                    ]).status
                }
                let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
                let output = mesh.directory + "/sleep.log"
                // Without protection it can: the test sees what it is to see.
                let sleeper = try Child(user + ["sleep", "600"], output: output)
                mesh.whenEnded { sleeper.kill() }
                try Deadline.until("the sleeper is another user's") { try memory(sleeper) == 0 }
                let front = try Child(
                    user + [
                        TestMesh.binaries + "/mesh-agent", "front", "--listen", mesh.anyAddress, "--to",
                        "http://\(service.address)",
                    ], environment: ["TMPDIR": "/tmp"], output: mesh.directory + "/front.log")
                mesh.whenEnded { front.kill() }
                try Deadline.until("the front serves: \(front.output)") { front.output.contains("front_started") }
                try demand(try memory(front) != 0, "its own user looks into a front")
                let limits = try String(contentsOfFile: "/proc/\(front.pid)/limits", encoding: .utf8)
                let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") } ?? ""
                try demand(core.split(separator: " ").dropFirst(4).first == "0", String(core))
            }
        }

        /// A front keeps an audit log where it is told to.
        @Test func aFrontKeepsAnAuditLog() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let (directory, file) = (mesh.directory + "/front/audit", mesh.directory + "/front.json")
                let settings: JSONValue = [
                    "targets": [["url": .string("http://\(service.address)")]],
                    "edge": [
                        "listeners": [["address": .string(mesh.anyAddress), "tls": "disabled"]],
                        "routes": [["path": "/", "service": "backend", "require": "none"]],
                    ], "audit": ["directory": .string(directory)],
                ]
                try settings.text().write(toFile: file, atomically: true, encoding: .utf8)
                let front = try TestFront(mesh, ["--config", file])
                kill(front.process.pid, SIGHUP)
                try Deadline.until("reloaded") { !front.records("reloaded").isEmpty }
                kill(front.process.pid, SIGTERM)
                _ = try front.process.wait()
                let result = try runProgram(
                    [TestMesh.binaries + "/mesh", "audit", "verify", directory, "--json"])
                try demandEqual(result.status, 0, result.output)
                let shown = try runProgram([TestMesh.binaries + "/mesh", "audit", "tail", directory, "--json"]).output
                for event in ["front_started", "reloaded", "stopped"] {
                    try demand(shown.contains("\"event\":\"\(event)\""), shown)
                }
                try demandTight(mesh.directory + "/front", least: 5)
            }
        }
    }
}
