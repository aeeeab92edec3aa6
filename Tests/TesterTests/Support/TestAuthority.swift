import Foundation
import PKI

/// A directory with a CA, certificates of nodes and a policy, for all tests of one kind.
///
/// The CA has no name constraints and no SPIFFE ID of its own, as one made with plain `openssl` would not, so that
/// certificates of other trust domains are a matter of the agent's own check alone.
final class TestAuthority: Sendable {
    let directory: URL
    let authority: CertificateAuthority

    static let domain = "test.mesh"
    static let shared = Result { try TestAuthority() }

    private static let now = Int64(Date().timeIntervalSince1970)
    private static let root = URL(fileURLWithPath: NSTemporaryDirectory()).appendingPathComponent(
        "conduit-tester-tests-\(getpid())")

    init() throws {
        directory = Self.root
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(at: TestAuthority.root) }
        let key = try PrivateKey.generate()
        var builder = CertificateBuilder(
            subject: [.organization("Tests"), .commonName("test CA")], publicKey: key.publicKey,
            notBefore: Self.now - 3600, notAfter: Self.now + 30 * 86_400)
        builder.basicConstraints = BasicConstraints(isCA: true)
        builder.keyUsage = [.keyCertSign, .cRLSign]
        builder.extendedKeyUsage = nil
        authority = try CertificateAuthority(
            chain: [builder.build(signedBy: .own(key))], key: key, trustDomain: Self.domain)
        try authority.write(certificateFile: path("ca.crt"), keyFile: path("ca.key"), passphrase: nil)
        for name in ["Directory", "Worker", "Tester", "Stranger"] {
            try authority.issueCredentials(IssueRequest(node: name), now: Self.now)
                .write(certificateFile: path("\(name).crt"), keyFile: path("\(name).key"))
        }
        try authority.issueServiceCredentials(validity: 86_400, now: Self.now)
            .write(certificateFile: path("service.crt"), keyFile: path("service.key"))
        try Data(Self.policy.utf8).write(to: directory.appendingPathComponent("policy.json"))
    }

    func path(_ file: String) -> String { directory.appendingPathComponent(file).path }

    /// Everything that is known but for Stranger, who may do nothing.
    private static let policy = """
        {
          identities: [
            { match: { node: "Directory" }, permissions: ["mesh-node", "mesh-directory"] },
            { match: { node: "Worker" }, services: ["worker"], permissions: ["mesh-node"] },
            { match: { node: "Tester" }, services: ["tester"], groups: ["testers"], permissions: ["mesh-node"] },
          ],
          rules: [ { allow: ["register", "provide"], from: ["node:Directory"], to: ["db"] } ],
        }
        """
}

/// A running node.
final class TestNode: Sendable {
    let address: String
    let url: String
    private let program: BackgroundProgram

    /// - Parameters:
    ///   - name: whose certificate it uses; "Directory" serves the directory.
    ///   - skipping: the check that is left out.
    ///   - directory: where the directory is, for other nodes.
    init(_ name: String = "Directory", skipping: String? = nil, directory: TestNode? = nil, tls: String = "{}") throws {
        let home = try TestAuthority.shared.get()
        let host = "127.0.3.1"
        address = "\(host):\(try freePort(on: host))"
        url = "wss://\(address)/mesh"
        let state = home.directory.appendingPathComponent("\(name)-\(UUID().uuidString.prefix(8))")
        let place =
            directory.map { "{ node: \"Directory\", address: \"\($0.address)\" }" } ?? "{ serve: true }"
        let services = name == "Directory" ? "[ { name: \"db\", target: \"127.0.3.1:9\" } ]" : "[]"
        let configuration = """
            {
              node: { name: "\(name)", stateDirectory: "\(state.path)", advertise: ["\(address)"] },
              identity: { certificate: "\(name).crt", key: "\(name).key" },
              trust: { ca: "ca.crt", domain: "\(TestAuthority.domain)" },
              listen: { mesh: "\(address)", control: "\(state.path)/c/s" },
              directory: \(place), services: \(services), tls: \(tls), policy: { file: "policy.json" },
              workers: 1,
            }
            """
        let file = home.directory.appendingPathComponent("\(state.lastPathComponent).json")
        try Data(configuration.utf8).write(to: file)
        program = try BackgroundProgram(
            Programs.agent, ["--config", file.path], in: home.directory,
            environment: skipping.map { ["MESH_FAULT_SKIP_CHECK": $0] } ?? [:],
            readyAfter: directory == nil ? "\"event\":\"started\"" : "\"event\":\"directory_reached\"")
    }

    /// What it has logged.
    var log: String { program.text }

    /// Waits until all these words are in its log.
    func logs(_ words: [String]) -> Bool { program.waits(for: words) }
}
