public import JSON
internal import Policy

extension DirectoryEvent {
    /// `{"type":"instance","instance":{…}}` and the like.
    public var json: JSONValue {
        switch self {
        case .node(let node): ["type": "node", "node": node.json]
        case .nodeRemoved(let name): ["type": "node_removed", "node": .string(name)]
        case .instance(let instance): ["type": "instance", "instance": instance.json]
        case .instanceRemoved(let service, let node):
            ["type": "instance_removed", "service": .string(service), "node": .string(node)]
        }
    }

    /// Reads an event; unknown types and members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        let type = try object.string("type")
        switch type {
        case "node":
            try object.requireOnly(["type", "node"])
            self = .node(try object.read("node") { (value) throws(JSONAccessError) in try Node(json: value) })
        case "node_removed":
            try object.requireOnly(["type", "node"])
            self = .nodeRemoved(try object.read("node", Check.name))
        case "instance":
            try object.requireOnly(["type", "instance"])
            self = .instance(
                try object.read("instance") { (value) throws(JSONAccessError) in try Instance(json: value) })
        case "instance_removed":
            try object.requireOnly(["type", "service", "node"])
            self = .instanceRemoved(
                service: try object.read("service", Check.name), node: try object.read("node", Check.name))
        default:
            throw Check.fail("expected node, node_removed, instance or instance_removed").inside("type")
        }
    }
}

extension DirectoryChange {
    /// `{"revision":N,"events":[…]}`: one line of a watch.
    public var json: JSONValue {
        ["revision": JSONValue(revision), "events": .array(events.map(\.json))]
    }

    /// Reads a line of a watch. A heartbeat, a line without `events`, becomes a change without events.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        try object.requireOnly(["revision", "events"])
        self.init(
            revision: try readRevision(object),
            events: try object.each("events") { (event) throws(JSONAccessError) in try DirectoryEvent(json: event) })
    }
}

extension DirectorySnapshot {
    /// `{"epoch","revision","nodes":[…],"instances":[…]}`
    public var json: JSONValue {
        json { _ in true }
    }

    /// The same with only those services that somebody may see.
    public func json(visible: (String) -> Bool) -> JSONValue {
        let instances = serviceNames.filter(visible).flatMap { self.instances(of: $0) }
        return [
            "epoch": .string(epoch), "revision": JSONValue(revision), "nodes": .array(nodes.map(\.json)),
            "instances": .array(instances.map(\.json)),
        ]
    }

    /// Reads a snapshot; unknown members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        try object.requireOnly(["epoch", "revision", "nodes", "instances"])
        self.init(
            epoch: try object.string("epoch"), revision: try readRevision(object),
            nodes: try object.each("nodes") { (node) throws(JSONAccessError) in try Node(json: node) },
            instances: try object.each("instances") { (instance) throws(JSONAccessError) in
                try Instance(json: instance)
            })
    }
}

private func readRevision(_ object: JSONObject) throws(JSONAccessError) -> UInt64 {
    UInt64(try object.integer("revision", in: 0...Int64.max))
}
