/// `docs/configuration.md`, written from the table of keys.
public enum ConfigurationDocumentation {
    /// The whole page.
    public static var markdown: String {
        var page = introduction
        var group: Substring = ""
        for key in ConfigurationTable.keys {
            let first = key.name.prefix { $0 != "." && $0 != "[" }
            if first != group {
                group = first
                page += "\n## `\(group)`\n\n"
                if let text = groups[String(group)] { page += "\(text)\n\n" }
                page += "| key | value | default | |\n| --- | --- | --- | --- |\n"
            }
            page += row(key)
        }
        return page
    }

    private static func row(_ key: ConfigurationKey) -> String {
        let isQuoted = key.defaultText.contains("`") || key.defaultText.contains(" ") || key.defaultText == "none"
        let defaultText = isQuoted ? key.defaultText : "`\(key.defaultText)`"
        let type = key.type.split(separator: "|").joined(separator: "\\|")
        let restart = key.effect == .restart ? " *Restart.*" : ""
        return "| `\(key.name)` | \(type) | \(defaultText) | \(key.summary)\(restart) |\n"
    }

    private static let groups = [
        "node": "Who this node is.",
        "identity": "The node's certificate and key: two PEM files, or one PKCS#12 file.",
        "trust": "Whom the node believes. `trust.ca` is enough unless the two directions have different CAs.",
        "listen": "Listeners. All are bound before any of them serves.",
        "directory": "Exactly one node serves the directory; the others say which one it is.",
        "services":
            "Names follow the same rule as nodes' names; `mesh` and names that begin with `mesh.` are reserved.",
        "upstreams": "Connections are opened on behalf of the service identity `as`, not of the connecting process.",
        "edge":
            "Where external clients come in with TLS and a token; [edge.md](edge.md) explains it. A reload applies new "
            + "routes, limits, issuers and certificates without touching connections.",
        "policy": "Give one of the two. Without a policy everything is denied. The format is that of policy files.",
        "links": "Timers. The pauses between reconnects are random between zero and their bound.",
        "streams": "Flow control; the defaults suit links up to some Gbit/s and some ten milliseconds.",
    ]

    private static let introduction = """
        # Configuration

        <!-- Written from the table of keys in Sources/Agent/Config: change it there, then run
             MESH_WRITE_DOCS=1 swift test --filter ConfigurationDocumentationTests -->

        `mesh-agent --config mesh.json` reads one file in JSON5: JSON with comments, trailing commas, single quotes and
        unquoted keys. Keys with dots are nested objects: `listen.mesh` is `{ "listen": { "mesh": … } }`.

        Each value comes from the first of these that has it:

        1. a flag: `listen.mesh` is `--listen-mesh`, `node.stateDirectory` is `--node-state-directory`;
        2. an environment variable: `MESH_LISTEN_MESH`, `MESH_NODE_STATE_DIRECTORY` (empty means not set);
        3. the file;
        4. the default.

        Flags and variables replace a whole value: lists of simple values are written with commas between them, other
        lists and objects in JSON5. `null` stands for "none" where a value may be missing.

        `mesh-agent --config mesh.json --check` prints every effective value and where it comes from, or everything that
        is wrong with line and column (exit code 78). Files that are missing are named all at once, by it and by a start,
        each with its key. Unknown keys are errors. Relative paths in the file start at the file's directory, those of
        flags and variables at the working directory.

        - **Durations** are strings of whole numbers with units, `ms`, `s`, `m`, `h`, `d` or `w`: `"30s"`, `"1h30m"`.
        - **Sizes** are strings of a whole number and a unit, `B`, `KiB`, `MiB` or `GiB`: `"256MiB"`.
        - **Names** of nodes, services and identities have 1 to 63 letters, digits, `.`, `-` and `_`, begin and end with
          a letter or digit and keep their case.
        - **Addresses** are `HOST:PORT`, IPv6 in brackets: `"127.0.0.1:8080"`, `"[::1]:8080"`; Unix sockets
          `"unix:/run/app.sock"`. `localhost` means 127.0.0.1.

        A reload (SIGHUP, `mesh reload`, a changed file) applies every change except those of keys marked *Restart*. A
        file with mistakes is refused as a whole and the old configuration stays in force. Editors can use
        [mesh.schema.json](mesh.schema.json).

        """
}
