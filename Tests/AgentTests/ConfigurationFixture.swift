import Agent
import JSON
import Testing

/// A configuration without mistakes and warnings, to which tests add what they are about.
enum ConfigurationFixture {
    static let base = """
        identity: { certificate: "n.crt", key: "n.key" }, trust: { ca: "ca.crt" }, policy: { file: "p.json" },
        """

    static let directory = "directory: { serve: true }, listen: { mesh: \"127.0.0.1:7400\" },"

    /// The base, a directory on this node, and `members` from line 4 on.
    static func text(_ members: String) -> String {
        "{\(base)\n\(directory)\n\n\(members)\n}"
    }

    static func load(
        _ text: String, flags: [String: String] = [:], environment: [String: String] = [:], name: String = "mesh.json"
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        try ConfigurationLoader.load(Array(text.utf8), name: name, flags: flags, environment: environment)
    }

    static func configuration(_ members: String) throws(ConfigurationError) -> Configuration {
        try load(text(members)).configuration
    }

    /// The problems of a text, each as `line:column key code`.
    static func problems(_ text: String, flags: [String: String] = [:], environment: [String: String] = [:]) -> [String]
    {
        do {
            _ = try load(text, flags: flags, environment: environment)
            return []
        } catch {
            return error.issues.map(short)
        }
    }

    static func short(_ issue: ConfigurationIssue) -> String {
        let place =
            switch issue.origin {
            case .file(_, let line, let column)?: "\(line):\(column) "
            case let origin?: "\(origin) "
            case nil: ""
            }
        return "\(place)\(issue.key.isEmpty ? "" : "\(issue.key) ")\(issue.code.rawValue)"
    }
}
