import Agent
import Foundation
import JSON
import Testing

/// Loads configurations of fronts, with short words for what comes out.
enum FrontFixture {
    static func load(
        _ flags: [String: String], _ environment: [String: String] = [:]
    ) throws(ConfigurationError) -> EffectiveFront {
        var flags = flags
        if flags["to"] == nil, flags["config"] == nil { flags["to"] = "ws://127.0.0.1:8690" }
        return try FrontLoader.load(flags: flags, environment: environment)
    }

    /// The problems, each as `origin key code`.
    static func problems(_ flags: [String: String], _ environment: [String: String] = [:]) -> [String] {
        do {
            _ = try load(flags, environment)
            return []
        } catch {
            return error.issues.map(short)
        }
    }

    static func warnings(_ flags: [String: String], _ environment: [String: String] = [:]) throws -> [String] {
        try load(flags, environment).warnings.map(short)
    }

    static func short(_ issue: ConfigurationIssue) -> String {
        var parts: [String] = []
        switch issue.origin {
        case .file(_, let line, let column)?: parts.append("\(line):\(column)")
        case let origin?: parts.append("\(origin)")
        case nil: break
        }
        if !issue.key.isEmpty { parts.append(issue.key) }
        return (parts + [issue.code.rawValue]).joined(separator: " ")
    }

    /// A value and its origin, as `--check` shows them.
    static func value(_ key: String, _ effective: EffectiveFront) -> String {
        guard let entry = effective.entries.first(where: { $0.key == key }) else { return "no \(key)" }
        return "\(entry.text) <- \(entry.origin)"
    }

    /// Runs `body` with a file of that content.
    static func withFile<Result>(_ content: String, _ body: (String) throws -> Result) throws -> Result {
        let file = NSTemporaryDirectory() + "/front-\(UUID().uuidString)"
        try content.write(toFile: file, atomically: true, encoding: .utf8)
        defer { unlink(file) }
        return try body(file)
    }
}

extension EffectiveFront {
    var listener: Configuration.EdgeListener { front.configuration.edge.listeners[0] }
    var route: Configuration.EdgeRoute { front.configuration.edge.routes[0] }
    var target: FrontTarget { front.targets[0] }
}
