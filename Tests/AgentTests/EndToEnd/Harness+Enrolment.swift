import Agent
import Enrolment
import Foundation
import JSON
import PKI
import TLS

/// What `mesh` said and how it ended.
struct CommandResult {
    let status: Int32
    let output: String

    /// The stable reason of a failure.
    var reason: String? { (try? JSONReader.parse(output))?["error"]?.string }
}

extension TestMesh {
    /// A CA, at the node Directory, and the node Node, which has joined by a token. Both run.
    func joinedNode(ttl: String, renewExpiredFor: String = "1h") throws -> (ca: TestNode, node: TestNode) {
        let ca = try self.node("Directory", directory: true) {
            try $0.serveCA(ttl: ttl, renewExpiredFor: renewExpiredFor)
        }
        let node = try self.node("Node") { $0.joinsByToken() }
        try ca.start()
        try ca.waitReady()
        try ca.createToken(for: "Node", in: node.tokenFile)
        try node.start()
        try node.waitReady()
        return (ca, node)
    }
}

extension TestNode {
    /// Makes the node the mesh's CA; it issues its own certificate.
    func serveCA(ttl: String = "1h", renewExpiredFor: String = "1h") throws {
        try mesh.authority.write(
            certificateFile: mesh.directory + "/issuer.crt", keyFile: mesh.directory + "/issuer.key",
            passphrase: Passphrase("correct horse"))
        set("ca.certificate", .string(mesh.directory + "/issuer.crt"))
        set("ca.key", .string(mesh.directory + "/issuer.key"))
        set("ca.passphraseVariable", "TEST_CA_PASSPHRASE")
        set("ca.listen", .string("\(host):7443"))
        set("ca.ttl", .string(ttl))
        set("ca.renewExpiredFor", .string(renewExpiredFor))
        environment["TEST_CA_PASSPHRASE"] = "correct horse"
        hasNoFiles()
    }

    /// The node starts with a token instead of a certificate.
    func joinsByToken() {
        set("identity.join.tokenFile", .string(tokenFile))
        hasNoFiles()
    }

    var tokenFile: String { directory + "/token" }
    var identityDirectory: String { directory + "/state/identity" }

    private func hasNoFiles() {
        for key in ["identity.certificate", "identity.key", "trust.ca"] { set(key, .null) }
    }

    /// Runs `mesh` against this node's control socket.
    func mesh(_ arguments: [String]) throws -> CommandResult {
        let run = try runProgram([TestMesh.binaries + "/mesh", "--control", controlPath] + arguments)
        return CommandResult(status: run.status, output: run.output)
    }

    /// Makes a token for `node` in the file that its agent reads, or in another one.
    func createToken(for node: String, in file: String, _ more: [String] = []) throws {
        let made = try mesh(["ca", "token", "create", "--node", node, "--out", file, "--force"] + more)
        try demandEqual(made.status, 0, made.output)
    }

    /// `mesh join` on this node's host.
    func join(_ file: String, out: String? = nil) throws -> CommandResult {
        try mesh(["join", "--json", "--token-file", file, "--out", out ?? "\(directory)/\(UUID().uuidString)"])
    }
}

/// The result of something asynchronous.
func waitFor<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
    let box = ResultBox<Value>()
    let done = DispatchSemaphore(value: 0)
    Task.detached {
        do {
            let value = try await body()
            box.set { value }
        } catch {
            box.set { throw error }
        }
        done.signal()
    }
    guard done.wait(timeout: .now() + Deadline.patience) == .success else {
        throw Failure("nothing came of it in \(Deadline.patience) s")
    }
    return try box.value(within: 10)
}

/// The reason for which a first certificate was refused; nil where it was issued.
func joinReason(_ token: JoinToken, key: PrivateKey, request: [UInt8]) throws -> String? {
    do {
        let terms = try TLSProfile.modern.enrolmentTerms()
        _ = try waitFor {
            try await EnrolmentClient.join(token, key: key, request: request, under: terms).credentials.leaf.serialHex
        }
        return nil
    } catch let error as EnrolmentError {
        return error.code
    }
}
