import Arguments
import JSON

/// Reads a front's settings from the variables of a server that it stands in front of.
///
/// There are two styles, told apart by what is set:
/// - `PREFIX_WS_TLS_ENABLED`, `_WS_CERT_FILE`, `_WS_KEY_FILE`, `_WS_CA_FILE`, `_WS_VERIFY_CLIENT`, as WebSocket servers
///   have them;
/// - `PREFIX_TRANSPORT`, `_HOST`, `_PORT`, `_CERTIFICATE_FILE`, `_PRIVATE_KEY_FILE`, as MCP servers have them. Host and
///   port alone do not count: many servers have variables of these names for themselves.
struct FrontEnvironment {
    /// The variables' common beginning, without the final underscore.
    let prefix: String
    let environment: [String: String]

    private static let webSocket: [(suffix: String, name: FrontSettings.Name)] = [
        ("_WS_TLS_ENABLED", .tlsEnabled), ("_WS_CERT_FILE", .certificateFile), ("_WS_KEY_FILE", .privateKeyFile),
        ("_WS_CA_FILE", .caFile), ("_WS_VERIFY_CLIENT", .verifyClient),
    ]
    private static let server: [(suffix: String, name: FrontSettings.Name)] = [
        ("_TRANSPORT", .transport), ("_HOST", .host), ("_PORT", .port), ("_CERTIFICATE_FILE", .certificateFile),
        ("_PRIVATE_KEY_FILE", .privateKeyFile),
    ]

    /// What is wrong with a prefix; nil when nothing is.
    static func problem(_ prefix: String) -> (message: String, hint: String)? {
        let letters = prefix.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_")
        }
        if !prefix.isEmpty, letters, !prefix.hasSuffix("_"), prefix.utf8.first.map({ $0 > 0x40 }) == true { return nil }
        let upper = prefix.uppercased().map { $0.isLetter || $0.isNumber ? $0 : "_" }
        let trimmed = String(String(upper).reversed().drop { $0 == "_" }.reversed())
        let example = trimmed.isEmpty ? "MAHAVISHNU" : trimmed
        return (
            "\"\(prefix)\" is no beginning of a variable's name",
            "capital letters, digits and underscores, without the last one: --env-prefix \(example)"
        )
    }

    /// Reads what is set into `settings`; what looks wrong goes to `warnings`.
    func read(into settings: inout FrontSettings, warnings: inout [ConfigurationIssue]) {
        let hasWebSocket = Self.webSocket.contains { value($0.suffix) != nil }
        let style = hasWebSocket ? Self.webSocket : hasServer ? Self.server : []
        for (suffix, name) in style {
            guard let text = value(suffix) else { continue }
            settings.set(
                name,
                .init(
                    text: text, source: .environment(prefix + suffix), position: JSONPosition(line: 1, column: 1),
                    rank: .environment))
        }
        if style.isEmpty {
            warnings.append(
                ConfigurationIssue(
                    .unknownVariable, .flag("--env-prefix"), "", "no variable of \(prefix) is set",
                    hint:
                        "it reads \((Self.webSocket + Self.server).map { prefix + $0.suffix }.joined(separator: ", "))")
            )
        }
        warnings += unread(hasWebSocket)
    }

    private var hasServer: Bool {
        Self.server.contains { suffix, name in
            value(suffix) != nil && (prefix.hasSuffix("_SERVER") || name != .host && name != .port)
        }
    }

    /// Warnings of variables that look as if they were meant, and are not read.
    private func unread(_ hasWebSocket: Bool) -> [ConfigurationIssue] {
        let known = Self.webSocket.map { prefix + $0.suffix }
        var unread = environment.keys.filter { $0.hasPrefix("\(prefix)_WS_") && !known.contains($0) }.sorted().map {
            ConfigurationIssue(
                .unknownVariable, .environment($0), "", "this variable is not read",
                hint: Suggestion.closest(to: $0, among: known).map { "did you mean \($0)?" })
        }
        if hasWebSocket {
            for suffix in ["_CERTIFICATE_FILE", "_PRIVATE_KEY_FILE"] where value(suffix) != nil {
                unread.append(
                    ConfigurationIssue(
                        .conflict, .environment(prefix + suffix), "",
                        "this variable is not read, as \(prefix)_WS_… variables are set", hint: "use one style only"))
            }
        }
        return unread
    }

    /// A variable that is set and not empty.
    private func value(_ suffix: String) -> String? {
        guard let text = environment[prefix + suffix], !text.isEmpty else { return nil }
        return text
    }
}
