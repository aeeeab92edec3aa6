/// The path prefixes of one host, as a tree of segments in one array.
struct PathTree: Sendable {
    struct Entry: Sendable {
        let route: Int
        /// Number of segments of the prefix.
        let depth: Int
        /// What stands in the place of the prefix; nil where it stays.
        let replacement: String?
    }

    private struct Node: Sendable {
        var children: [String: Int] = [:]
        var entry: Entry?
    }

    private var nodes = [Node()]
    /// The same tree with folded segments.
    private var folded = [Node()]

    /// Adds a prefix; answers the route that has it already, if one has.
    mutating func add(_ prefix: RequestPath?, _ entry: Entry) -> Int? {
        if let other = Self.insert(prefix?.foldedKeys ?? [], entry, into: &folded) { return other }
        return Self.insert(prefix?.keys ?? [], entry, into: &nodes)
    }

    /// The longest prefix of the path.
    func find(_ path: RequestPath) -> Entry? { Self.find(path.keys, in: nodes) }

    /// The longest prefix of the path for a careless reader.
    func findFolded(_ path: RequestPath) -> Entry? { Self.find(path.foldedKeys, in: folded) }

    private static func insert(_ prefix: [String], _ entry: Entry, into nodes: inout [Node]) -> Int? {
        var at = 0
        for segment in prefix {
            if let next = nodes[at].children[segment] {
                at = next
            } else {
                nodes[at].children[segment] = nodes.count
                at = nodes.count
                nodes.append(Node())
            }
        }
        if let other = nodes[at].entry { return other.route }
        nodes[at].entry = entry
        return nil
    }

    private static func find(_ keys: [String], in nodes: [Node]) -> Entry? {
        var at = 0
        var found = nodes[0].entry
        for key in keys {
            if nodes[at].children.isEmpty { break }
            // Nothing but parameters: for a careless reader the segment is not there. No prefix has an empty one.
            if key.isEmpty { continue }
            guard let next = nodes[at].children[key] else { break }
            at = next
            found = nodes[at].entry ?? found
        }
        return found
    }
}
