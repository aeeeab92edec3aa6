import JSON

/// What the process that leaves knows and its successor could not read from files.
struct TakeoverState: Sendable, Equatable {
    /// A link that was in use.
    struct Link: Sendable, Equatable {
        /// The peer.
        let node: String
        /// This node had dialled it, so it may be that the peer cannot.
        let wasDialled: Bool
    }

    /// An operator has taken the node out of service (`mesh drain`).
    var isOutOfService = false
    var links: [Link] = []
    /// Services whose health check fails.
    var failing: [String] = []

    init() {}

    /// As the message says it.
    var json: JSONObject {
        [
            "outOfService": .bool(isOutOfService), "failing": .init(failing),
            "links": .array(links.map { ["node": .string($0.node), "dialled": .bool($0.wasDialled)] }),
        ]
    }

    /// From such a message.
    init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        isOutOfService = try object.bool("outOfService")
        failing = try object.strings("failing")
        for item in try object.array("links") {
            let link = try item.requireObject()
            links.append(Link(node: try link.string("node"), wasDialled: try link.bool("dialled")))
        }
    }
}
