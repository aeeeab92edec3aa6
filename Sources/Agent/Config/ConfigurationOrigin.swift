/// Where an effective value comes from.
public enum ConfigurationOrigin: Sendable, Hashable, CustomStringConvertible {
    /// A flag, with its dashes: `--listen-mesh`.
    case flag(String)
    /// An environment variable: `MESH_LISTEN_MESH`.
    case environment(String)
    /// A configuration file, as it was named, and the place in it.
    case file(String, line: Int, column: Int)
    /// Nothing said otherwise.
    case `default`

    /// `flag --listen-mesh`, `environment MESH_LISTEN_MESH`, `mesh.json:12:5`, `default`
    public var description: String {
        switch self {
        case .flag(let name): "flag \(name)"
        case .environment(let name): "environment \(name)"
        case .file(let name, let line, let column): "\(name):\(line):\(column)"
        case .default: "default"
        }
    }
}
