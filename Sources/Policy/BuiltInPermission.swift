import JSON

/// Permissions that every policy has. Their names can't be taken.
enum BuiltInPermission: String, CaseIterable {
    /// What an ordinary node needs: links with every node, the directory, and to see all services.
    case meshNode = "mesh-node"
    /// What the directory's node needs besides: to be the directory.
    case meshDirectory = "mesh-directory"

    /// The grants of all built-in permissions, numbered from `first`.
    static func grants(from first: Int) -> [Rule] {
        var rules: [Rule] = []
        for permission in allCases {
            for (verb, target) in permission.content {
                rules.append(
                    Rule(
                        index: first + rules.count, origin: .builtIn, position: JSONPosition(line: 1, column: 1),
                        effect: .allow, verbs: [verb], from: [.permission(permission.rawValue)], to: [target], note: nil
                    ))
            }
        }
        return rules
    }

    private var content: [(Verb, Target)] {
        let node: [(Verb, Target)] = [
            (.link, .pattern(.everything)),
            (.connect, .exact(Name.directoryService)),
            (.discover, .pattern(.everything)),
        ]
        switch self {
        case .meshNode: return node
        case .meshDirectory: return node + [(.provide, .exact(Name.directoryService))]
        }
    }
}
