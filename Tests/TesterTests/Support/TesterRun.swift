import Foundation
import JSON

/// One run of the tester.
struct TesterRun {
    let code: Int32
    let output: String
    let errors: String

    /// Runs it with these arguments in the directory of the certificates.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = Programs.tester
        process.arguments = arguments
        process.currentDirectoryURL = try TestAuthority.shared.get().directory
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        self.output = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        self.errors = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        code = process.terminationStatus
    }

    /// Runs it against `url` as JSON.
    static func json(
        _ url: String, as name: String? = "Tester", node: String? = nil, caKey: Bool = false, _ more: [String] = []
    ) throws -> TesterRun {
        var arguments = [url, "--ca", "ca.crt", "--json"]
        if let name { arguments += ["--cert", "\(name).crt", "--key", "\(name).key"] }
        if let node { arguments += ["--node", node] }
        if caKey { arguments += ["--ca-key", "ca.key"] }
        return try TesterRun(arguments + more)
    }

    private var document: JSONValue? { try? JSONReader.parse(Array(output.utf8)) }

    private var checks: [JSONValue] { document?["checks"]?.array ?? [] }

    /// Ids in the order of the report.
    var ids: [String] { checks.compactMap { $0["id"]?.string } }

    /// The ids with that verdict.
    func ids(_ verdict: String) -> Set<String> {
        Set(checks.filter { $0["verdict"]?.string == verdict }.compactMap { $0["id"]?.string })
    }

    /// One check.
    func check(_ id: String) -> JSONValue? { checks.first { $0["id"]?.string == id } }

    func verdict(_ id: String) -> String? { check(id)?["verdict"]?.string }
    func answer(_ id: String) -> String? { check(id)?["answer"]?.string }
    func detail(_ id: String) -> String { check(id)?["detail"]?.string ?? "" }

    var summary: JSONValue? { document?["summary"] }
    var target: String? { document?["target"]?.string }
}
