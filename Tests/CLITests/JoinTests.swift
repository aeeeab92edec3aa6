import Foundation
import JSON
import Testing

/// `mesh join` at the CA that alpha serves.
@Suite struct JoinTests {
    private let agents: TestMesh
    private let workspace: Workspace

    init() throws {
        agents = try TestMesh.shared.get()
        workspace = try Workspace()
    }

    /// A token for a node, in a file of its name.
    private func token(_ node: String) throws -> String {
        let file = workspace.path("\(node)-\(UUID().uuidString).token")
        let made = try agents.run(["ca", "token", "create", "--node", node, "--out", file], at: "alpha")
        #expect(made.status == 0, "\(made.errors)")
        return file
    }

    private func join(_ token: String, _ directory: String, _ more: [String] = []) throws -> Finished {
        try mesh(["join", "--token-file", token, "--out", directory] + more, in: workspace)
    }

    /// The CA of another mesh, in `other`.
    private func makeOther(_ domain: String) throws {
        let domain = ["--trust-domain", domain]
        let made = try mesh(["ca", "init", "--no-passphrase", "--out", "other"] + domain, in: workspace)
        #expect(made.status == 0, "\(made.errors)")
    }

    private func files(_ directory: String) throws -> [String: Data] {
        let names = try FileManager.default.contentsOfDirectory(atPath: workspace.path(directory))
        return try Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, try Data(contentsOf: URL(fileURLWithPath: workspace.path("\(directory)/\($0)"))))
            })
    }

    /// The CA of another mesh stays as it is, and so does the token.
    @Test(arguments: ["other.mesh", "mesh.local"]) func aDirectoryWithAnotherCA(_ domain: String) throws {
        try makeOther(domain)
        let before = try files("other")
        let token = try token("join-a")
        for more in [[], ["--force"]] {
            let refused = try join(token, "other", more)
            #expect(refused.status == 3 && refused.errors.contains("(other_mesh)"), "\(refused.errors)")
            #expect(refused.errors.contains("other/ca.crt"), "\(refused.errors)")
            #expect(refused.errors.contains("hint: choose another directory with --out\n"), "\(refused.errors)")
            #expect(try files("other") == before)
        }
        #expect(try mesh(["ca", "issue", "n", "--ca-dir", "other", "--out", "n"], in: workspace).status == 0)
        let joined = try join(token, "own")
        #expect(joined.status == 0, "\(joined.errors)")
    }

    /// Somebody else's root without its key: only who says so trusts both.
    @Test(arguments: ["other.mesh", "mesh.local"]) func aDirectoryWithAnotherRoot(_ domain: String) throws {
        try makeOther(domain)
        let root = try workspace.read("other/ca.crt")
        try FileManager.default.createDirectory(atPath: workspace.path("certs"), withIntermediateDirectories: false)
        try workspace.write(root, to: "certs/ca.crt")
        let token = try token("join-b")
        let refused = try join(token, "certs")
        #expect(refused.status == 3, "\(refused.errors)")
        let why = "has another root, of \(domain), than this CA of mesh.local;"
        #expect(refused.errors.contains(why), "\(refused.errors)")
        #expect(refused.errors.contains("--force adds this CA's root to it"), "\(refused.errors)")
        #expect(try files("certs").keys.sorted() == ["ca.crt"])
        #expect(try workspace.read("certs/ca.crt") == root)
        #expect(try join(token, "certs", ["--force"]).status == 0)
        #expect(try workspace.read("certs/ca.crt").hasPrefix(root))
    }

    /// The same mesh again, also beside its own CA and with a partner's root.
    @Test func aDirectoryOfTheSameMesh() throws {
        #expect(try join(try token("join-c"), "certs").status == 0)
        #expect(try join(try token("join-c"), "certs", ["--force"]).status == 0)
        #expect(try join(try token("join-d"), "certs").status == 0)
        let root = try agents.workspace.read("certs/ca.crt")
        #expect(try workspace.read("certs/ca.crt") == root)
        try workspace.write(try agents.workspace.read("certs/ca.key"), to: "certs/ca.key", mode: 0o600)
        #expect(try join(try token("join-e"), "certs").status == 0)
        try makeOther("other.mesh")
        try workspace.write(root + (try workspace.read("other/ca.crt")), to: "certs/ca.crt")
        #expect(try join(try token("join-f"), "certs").status == 0)
    }
}
