/// The links in use of one worker, by node and lane. A node rarely has more than a few here, so they are a list.
struct LinkTable {
    private var nodes: [String: [LinkConnection]] = [:]

    /// The link of a lane.
    subscript(lane: Lane) -> LinkConnection? {
        get { nodes[lane.node]?.first { $0.lane.number == lane.number } }
        set {
            var links = nodes[lane.node] ?? []
            links.removeAll { $0.lane.number == lane.number }
            if let newValue {
                let place = links.firstIndex { $0.lane.number > lane.number } ?? links.endIndex
                links.insert(newValue, at: place)
            }
            nodes[lane.node] = links.isEmpty ? nil : links
        }
    }

    /// The links of a node, by the numbers of their lanes.
    func of(_ node: String) -> [LinkConnection] { nodes[node] ?? [] }

    /// All links.
    var values: [LinkConnection] { nodes.values.flatMap(\.self) }
}
