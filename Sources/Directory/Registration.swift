/// Everything that a node registers: the agent's whole truth, always sent complete, so that sending it twice changes
/// nothing and sending it once repairs everything.
public struct Registration: Sendable, Hashable {
    /// The node's name.
    public var node: String
    /// Identifies the agent's run: 128 bits in hexadecimal.
    public var bootID: String
    /// Where the agent listens for links.
    public var addresses: [String]
    /// What the operator wrote about the node.
    public var metadata: [String: String]
    /// The node's instances, one for each service, in the order of the services' names.
    public private(set) var services: [Instance]

    /// A registration from its parts. The instances' node is set to `node`; of two instances of one service the later
    /// stays.
    public init(
        node: String, bootID: String, addresses: [String], metadata: [String: String] = [:], services: [Instance] = []
    ) {
        self.node = node
        self.bootID = bootID
        self.addresses = addresses
        self.metadata = metadata
        self.services = []
        setServices(services)
    }

    /// Replaces the instances.
    public mutating func setServices(_ instances: [Instance]) {
        var byName: [String: Instance] = [:]
        for var instance in instances {
            instance.node = node
            byName[instance.service] = instance
        }
        services = byName.values.sorted { $0.service < $1.service }
    }

    /// The instance of a service.
    public func instance(of service: String) -> Instance? {
        services.first { $0.service == service }
    }

    /// A digest of everything in it. Agent and directory compare it with every renewal, and where it differs the agent
    /// registers anew. FNV-1a in 64 bits: an agent compares only with what it said itself.
    public var hash: String {
        var digest = Digest()
        digest.add(node)
        digest.add(bootID)
        digest.add(addresses)
        digest.add(metadata)
        digest.add(services.count)
        for instance in services {
            digest.add(instance.service)
            digest.add(instance.protocol)
            digest.add(instance.tags)
            digest.add(instance.weight)
            digest.add(instance.metadata)
            digest.add(instance.health.rawValue)
        }
        return digest.hexadecimal
    }
}

/// FNV-1a over length-prefixed parts, so that no two different sequences of parts run together.
private struct Digest {
    private var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ text: String) {
        add(text.utf8.count)
        for byte in text.utf8 { mix(byte) }
    }

    mutating func add(_ number: Int) {
        withUnsafeBytes(of: UInt64(bitPattern: Int64(number)).littleEndian) { for byte in $0 { mix(byte) } }
    }

    mutating func add(_ texts: [String]) {
        add(texts.count)
        for text in texts { add(text) }
    }

    mutating func add(_ map: [String: String]) {
        add(map.count)
        for (key, value) in map.sorted(by: { $0.key < $1.key }) {
            add(key)
            add(value)
        }
    }

    private mutating func mix(_ byte: UInt8) {
        value = (value ^ UInt64(byte)) &* 0x100_0000_01b3
    }

    var hexadecimal: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
