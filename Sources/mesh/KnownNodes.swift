import Arguments
import Documents
import HTTP
import JSON

/// What the agent knows of the mesh's nodes: their names, what they prove themselves with, what they serve. For commands that change
/// who is believed.
struct KnownNodes {
    /// A node, and what it proved itself with last, its own certificate first.
    struct Node {
        let name: String
        /// The name in its certificate, where policy gives it another one.
        let certificateName: String?
        let certificates: [JSONValue]
        /// The serial number of the newest certificate that a CA served here has given it.
        let issuedSerial: String?
        /// `ca`, `directory`.
        let serves: Set<String>

        /// Whether `target` covers it: by its names, its certificate, its key, or one above it.
        func isHit(by target: RevocationEntry.Target) -> Bool {
            switch target {
            case .node(let node, let validBefore):
                guard node == name || node == certificateName else { return false }
                // Whoever has a newer certificate is believed again.
                return certificates.first?["begins"]?.integer.map { $0 < validBefore } ?? true
            case .certificate(_, let serial):
                return place(of: target) != nil || issuedSerial == RevocationEntry.canonicalSerial(serial)
            case .key: return place(of: target) != nil
            }
        }

        /// Where the certificate or key is in the node's chain; 0 is the node's own.
        func place(of target: RevocationEntry.Target) -> Int? {
            certificates.firstIndex { certificate in
                switch target {
                case .certificate(let issuer, let serial):
                    certificate["issuer"]?.string == issuer
                        && certificate["serial"]?.string == RevocationEntry.canonicalSerial(serial)
                case .key(let digest): certificate["spkiSHA256"]?.string == digest
                case .node: false
                }
            }
        }
    }

    /// The agent's node.
    let own: String
    /// All that are known, by name. Empty where the caller may not ask.
    let nodes: [Node]
    /// Other names by which somebody knows a node: those that it was to be linked with, and those that a CA served here has admitted.
    private let others: Set<String>

    /// Asks the agent, over connections that are given up with what is not answered.
    ///
    /// - Parameters:
    ///   - asked: a node that is to say itself what it serves.
    ///   - isForced: it is done whatever the answers are.
    init(_ context: CommandContext, asking asked: String? = nil, isForced: Bool) throws(CommandFailure) {
        own = try ControlClient(context).call(.get, "/v1/documents").text(of: "node")
        let all = { () throws(CommandFailure) in try OperatorFiles.nodes(ControlClient(context), asking: asked) }
        let known = try isForced ? Self.answered(all) : all()
        let links = Self.answered { () throws(CommandFailure) in
            try ControlClient(context).call(.get, "/v1/links").elements(of: "links")
        }
        let admitted = Self.answered { () throws(CommandFailure) in
            try ControlClient(context).call(.get, "/v1/ca/nodes").elements(of: "nodes")
        }
        var serials: [String: String] = [:]
        for node in admitted { serials[node.text(of: "node")] = node["serial"]?.string }
        nodes = known.map { node in
            let name = node.text(of: "node")
            return Node(
                name: name, certificateName: node["certificateName"]?.string,
                certificates: node.elements(of: "certificates"), issuedSerial: serials[name],
                serves: Set(node.elements(of: "serves").compactMap(\.string)))
        }
        others = Set((links + admitted).map { $0.text(of: "node") })
    }

    /// Who may not look, or asks where no CA is or where its database fails, gets nothing: that is no reason not to revoke.
    private static func answered(_ ask: () throws(CommandFailure) -> [JSONValue]) -> [JSONValue] {
        (try? ask()) ?? []
    }

    /// Every name that a node has or had, as far as it is known.
    var names: Set<String> {
        others.union(nodes.map(\.name)).union(nodes.compactMap(\.certificateName)).union([own])
    }

    /// Every certificate that a node proved itself with.
    var certificates: [JSONValue] { nodes.flatMap(\.certificates) }

    /// The nodes that these targets cover. A name that is not known counts as a node's, too.
    func hit(by targets: some Sequence<RevocationEntry.Target>) -> Set<String> {
        var found: Set<String> = []
        for target in targets {
            found.formUnion(nodes.filter { $0.isHit(by: target) }.map(\.name))
            if case .node(let node, _) = target, !nodes.contains(where: { $0.name == node }) { found.insert(node) }
        }
        return found
    }
}
