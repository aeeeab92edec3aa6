public import JSON

extension Node {
    /// `{"node","addresses","bootId","metadata","state","since"}`
    public var json: JSONValue {
        [
            "node": .string(name), "addresses": JSONValue(addresses), "bootId": .string(bootID),
            "metadata": encode(metadata), "state": .string(state.rawValue), "since": .integer(since),
        ]
    }

    /// Reads a node; unknown members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        try object.requireOnly(["node", "addresses", "bootId", "metadata", "state", "since"])
        self.init(
            name: try object.read("node", Check.name), addresses: try readAddresses(object),
            bootID: try object.read("bootId", Check.bootID),
            metadata: try object.readIfPresent("metadata", Check.metadata) ?? [:],
            state: try object.read("state", readRaw), since: try object.integer("since"))
    }
}

extension Instance {
    /// `{"service","node","instance","protocol","tags","weight","metadata","health"}`
    public var json: JSONValue {
        var object: JSONObject = ["service": .string(service), "node": .string(node), "instance": .string(id)]
        addProperties(to: &object)
        return .object(object)
    }

    /// Reads an instance; unknown members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        try object.requireOnly(Self.members)
        self = try Instance(properties: object, node: try object.read("node", Check.name))
        guard try object.optionalString("instance") ?? id == id else {
            throw Check.fail("expected \(id)").inside("instance")
        }
    }

    private static let properties: Set<String> = ["protocol", "tags", "weight", "metadata", "health"]
    /// Made once: a registration is read thousands of times a second.
    static let members = properties.union(["service", "node", "instance"])
    static let registeredMembers = properties.union(["service"])

    func addProperties(to object: inout JSONObject) {
        object["protocol"] = .string(`protocol`)
        object["tags"] = JSONValue(tags)
        object["weight"] = JSONValue(weight)
        object["metadata"] = encode(metadata)
        object["health"] = .string(health.rawValue)
    }

    init(properties object: JSONObject, node: String) throws(JSONAccessError) {
        self.init(
            service: try object.read("service", Check.name), node: node,
            protocol: try object.readIfPresent("protocol", Check.protocolName) ?? "tcp",
            tags: try object.readIfPresent("tags", Check.tags) ?? [],
            weight: Int(try object.optionalInteger("weight", in: 0...ModelLimits.weight) ?? 100),
            metadata: try object.readIfPresent("metadata", Check.metadata) ?? [:],
            health: try object.readIfPresent("health", readRaw) ?? .unknown)
    }
}

extension Registration {
    /// `{"node","bootId","addresses","metadata","services":[{"service",…}]}`; instances leave their node out.
    public var json: JSONValue {
        [
            "node": .string(node), "bootId": .string(bootID), "addresses": JSONValue(addresses),
            "metadata": encode(metadata),
            "services": .array(
                services.map { instance in
                    var object: JSONObject = ["service": .string(instance.service)]
                    instance.addProperties(to: &object)
                    return .object(object)
                }),
        ]
    }

    private static let members: Set<String> = ["node", "bootId", "addresses", "metadata", "services"]

    /// Reads a registration; unknown members are refused.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        try object.requireOnly(Self.members)
        let node = try object.read("node", Check.name)
        let services = try object.each("services") { (service) throws(JSONAccessError) in
            let properties = try service.requireObject()
            try properties.requireOnly(Instance.registeredMembers)
            return try Instance(properties: properties, node: node)
        }
        self.init(
            node: node, bootID: try object.read("bootId", Check.bootID), addresses: try readAddresses(object),
            metadata: try object.readIfPresent("metadata", Check.metadata) ?? [:], services: services)
        guard services.count <= ModelLimits.services else {
            throw Check.fail("more than \(ModelLimits.services) services").inside("services")
        }
        guard self.services.count == services.count else {
            throw Check.fail("a service appears twice").inside("services")
        }
    }
}

extension StoredNode {
    var json: JSONValue {
        [
            "registration": registration.json, "hash": .string(submittedHash), "state": .string(state.rawValue),
            "since": .integer(since),
        ]
    }

    init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        self.init(
            registration: try object.read("registration") { (value) throws(JSONAccessError) in
                try Registration(json: value)
            },
            submittedHash: try object.string("hash"), state: try object.read("state", readRaw),
            since: try object.integer("since"))
    }
}

func encode(_ map: [String: String]) -> JSONValue {
    map.isEmpty
        ? .object([:])
        : .object(JSONObject(map.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
}

/// Reads one of a few words.
func readRaw<Value: RawRepresentable & CaseIterable>(_ json: JSONValue) throws(JSONAccessError) -> Value
where Value.RawValue == String {
    guard let value = Value(rawValue: try json.requireString()) else {
        throw Check.fail("expected one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return value
}

private func readAddresses(_ object: JSONObject) throws(JSONAccessError) -> [String] {
    let addresses = try object.each("addresses", Check.address)
    guard addresses.count <= ModelLimits.addresses else {
        throw Check.fail("more than \(ModelLimits.addresses) addresses").inside("addresses")
    }
    return addresses
}
