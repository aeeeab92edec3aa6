/// The directory at one revision, for readers: immutable content, cheap to copy, brought forward by changes.
///
/// Look-ups are O(1). Applying a change copies only what it touches: names are spread over shards, so that a copy held
/// elsewhere costs a shard and not everything.
public struct DirectorySnapshot: Sendable {
    /// Identifies the store that the revision counts in; empty before anything was heard of a directory.
    public private(set) var epoch: String
    /// The revision.
    public private(set) var revision: UInt64
    private var nodesByName: Shards<Node>
    private var instancesByService: Shards<[Instance]>

    /// A snapshot from its content; of two values with one name the later stays.
    public init(epoch: String = "", revision: UInt64 = 0, nodes: [Node] = [], instances: [Instance] = []) {
        self.epoch = epoch
        self.revision = revision
        nodesByName = Shards()
        instancesByService = Shards()
        for node in nodes { nodesByName[node.name] = node }
        var grouped: [String: [String: Instance]] = [:]
        for instance in instances { grouped[instance.service, default: [:]][instance.node] = instance }
        for (service, instances) in grouped {
            instancesByService[service] = instances.values.sorted { $0.node < $1.node }
        }
    }

    /// The instances of a service in the order of their nodes' names; empty when there is none.
    public func instances(of service: String) -> [Instance] {
        instancesByService[service] ?? []
    }

    /// A node by its name.
    public func node(_ name: String) -> Node? {
        nodesByName[name]
    }

    /// How many nodes there are.
    public var nodeCount: Int { nodesByName.count }

    /// How many services there are.
    public var serviceCount: Int { instancesByService.count }

    /// All nodes in the order of their names.
    public var nodes: [Node] {
        nodesByName.values.sorted { $0.name < $1.name }
    }

    /// The names of all services, sorted.
    public var serviceNames: [String] {
        instancesByService.keys.sorted()
    }

    /// All instances, by service and node.
    public var instances: [Instance] {
        serviceNames.flatMap { instances(of: $0) }
    }

    /// Brings the snapshot forward. Changes up to the present revision are skipped, so that a repeated one does no harm.
    public mutating func apply(_ change: DirectoryChange) {
        guard change.revision > revision else { return }
        for event in change.events { apply(event) }
        revision = change.revision
    }

    private mutating func apply(_ event: DirectoryEvent) {
        switch event {
        case .node(let node):
            nodesByName[node.name] = node
        case .nodeRemoved(let name):
            nodesByName[name] = nil
        case .instance(let instance):
            instancesByService.update(instance.service) { instances in
                var list = instances ?? []
                let place = Self.place(of: instance.node, in: list)
                if place < list.count, list[place].node == instance.node {
                    list[place] = instance
                } else {
                    list.insert(instance, at: place)
                }
                instances = list
            }
        case .instanceRemoved(let service, let node):
            instancesByService.update(service) { instances in
                guard var list = instances else { return }
                let place = Self.place(of: node, in: list)
                guard place < list.count, list[place].node == node else { return }
                list.remove(at: place)
                instances = list.isEmpty ? nil : list
            }
        }
    }

    /// The first place whose node is not before `node`.
    private static func place(of node: String, in instances: [Instance]) -> Int {
        var low = 0
        var high = instances.count
        while low < high {
            let middle = (low + high) / 2
            if instances[middle].node < node { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension DirectorySnapshot: Equatable {
    /// Whether both have the same content at the same revision.
    public static func == (left: DirectorySnapshot, right: DirectorySnapshot) -> Bool {
        left.epoch == right.epoch && left.revision == right.revision && left.nodesByName == right.nodesByName
            && left.instancesByService == right.instancesByService
    }
}

/// A dictionary in parts: a change to one copy copies one part.
private struct Shards<Value: Sendable & Equatable>: Sendable, Equatable {
    /// A power of two; with 100,000 names a part has 400.
    private static var shardCount: Int { 256 }

    private var shards = [[String: Value]](repeating: [:], count: Self.shardCount)
    private(set) var count = 0

    var keys: [String] { shards.flatMap(\.keys) }
    var values: [Value] { shards.flatMap(\.values) }

    subscript(key: String) -> Value? {
        get { shards[Self.shard(key)][key] }
        set { update(key) { $0 = newValue } }
    }

    mutating func update(_ key: String, _ change: (inout Value?) -> Void) {
        let shard = Self.shard(key)
        let before = shards[shard].count
        change(&shards[shard][key])
        count += shards[shard].count - before
    }

    /// FNV-1a, since the dictionaries' own hash needs more time than it saves here.
    private static func shard(_ key: String) -> Int {
        var hash: UInt32 = 0x811c_9dc5
        for byte in key.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return Int((hash ^ (hash >> 16)) & UInt32(shardCount - 1))
    }
}
