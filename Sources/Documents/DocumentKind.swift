/// What a mesh document says. Each kind has versions of its own.
public enum DocumentKind: String, Sendable, Hashable, CaseIterable {
    /// Who may sign the other kinds. Signed by a root of the mesh.
    case operators
    /// Which certificates, keys and nodes are not believed any more.
    case revocations
    /// Identity mappings and rules.
    case policy
    /// The mesh's roots, and where each stands in a rotation. Signed by a root of the mesh.
    case trust

    /// A root signs it; the others an operator does.
    public var isRootSigned: Bool { self == .operators || self == .trust }

    /// The number of the kind in HELLO (docs/link-protocol.md, "Documents"). Never changes its meaning.
    var code: UInt8 {
        switch self {
        case .operators: 1
        case .revocations: 2
        case .policy: 3
        case .trust: 4
        }
    }

    /// The kind with a number; nil for those that this version does not know.
    init?(code: UInt8) {
        guard let kind = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = kind
    }

    /// The order in which documents travel and are loaded: roots come before what they signed, who may sign before
    /// what they signed, and what takes rights away before what gives them.
    public static let inOrder: [DocumentKind] = [.trust, .operators, .revocations, .policy]
}
