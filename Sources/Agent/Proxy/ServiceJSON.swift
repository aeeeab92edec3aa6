import EventLoop
import JSON
import Policy

/// A local service as the control API and the registration file write it.
enum ServiceJSON {
    private static let keys: Set<String> = [
        "name", "target", "protocol", "tags", "weight", "metadata", "check", "connectTimeoutMs",
    ]
    private static let checkKeys: Set<String> = ["kind", "intervalMs", "timeoutMs", "failures", "successes"]

    /// The service as JSON.
    static func encode(_ service: Configuration.Service) -> JSONValue {
        [
            "name": .string(service.name), "target": .string(service.target.description),
            "protocol": .string(service.protocol.rawValue), "tags": .init(service.tags),
            "weight": .init(service.weight),
            "metadata": .object(
                JSONObject(service.metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
            "connectTimeoutMs": .init(Int(service.connectTimeout.nanoseconds / 1_000_000)),
            "check": [
                "kind": .string(service.check.kind.rawValue),
                "intervalMs": .init(Int(service.check.interval.nanoseconds / 1_000_000)),
                "timeoutMs": .init(Int(service.check.timeout.nanoseconds / 1_000_000)),
                "failures": .init(service.check.failures), "successes": .init(service.check.successes),
            ],
        ]
    }

    /// Reads a service; unknown keys and illegal values are refused. `name` may be given apart.
    static func decode(_ value: JSONValue, name: String? = nil) throws -> Configuration.Service {
        let object = try value.requireObject()
        try refuseUnknown(object, keys)
        var service = Configuration.Service()
        service.name = try name ?? object.string("name")
        guard Policy.Name.isLegal(service.name), !Policy.Name.isReserved(service.name) else {
            throw wrong("name", "a service's name has \(Policy.Name.rule) and does not begin with mesh.")
        }
        let target = try object.string("target")
        do {
            service.target = try Configuration.Target(parsing: target)
        } catch {
            throw wrong("target", "\"\(target)\" \(error.message)")
        }
        guard !service.target.isTLS else {
            throw wrong("target", "TLS to a target needs files, which only the agent's configuration names")
        }
        if let text = try object.optionalString("protocol") {
            guard let known = Configuration.ServiceProtocol(rawValue: text) else {
                throw wrong("protocol", "protocol is tcp or http")
            }
            service.protocol = known
        }
        if let tags = object["tags"] { service.tags = try tags.requireStrings() }
        if let weight = object["weight"] { service.weight = Int(try weight.requireInteger(in: 1...65_535)) }
        if let metadata = object["metadata"] { service.metadata = try metadata.requireStringMap() }
        if let timeout = object["connectTimeoutMs"] {
            service.connectTimeout = .milliseconds(try timeout.requireInteger(in: 1...600_000))
        }
        if let check = object["check"] { service.check = try decodeCheck(check.requireObject()) }
        return service
    }

    private static func decodeCheck(_ object: JSONObject) throws -> Configuration.Check {
        try refuseUnknown(object, checkKeys)
        var check = Configuration.Check()
        if let text = try object.optionalString("kind") {
            guard let kind = Configuration.CheckKind(rawValue: text) else {
                throw wrong("check.kind", "kind is tcp or none")
            }
            check.kind = kind
        }
        if let value = object["intervalMs"] {
            check.interval = .milliseconds(try value.requireInteger(in: 100...3_600_000))
        }
        if let value = object["timeoutMs"] { check.timeout = .milliseconds(try value.requireInteger(in: 10...600_000)) }
        if let value = object["failures"] { check.failures = Int(try value.requireInteger(in: 1...100)) }
        if let value = object["successes"] { check.successes = Int(try value.requireInteger(in: 1...100)) }
        return check
    }

    private static func refuseUnknown(_ object: JSONObject, _ known: Set<String>) throws {
        if let key = object.keys.first(where: { !known.contains($0) }) {
            throw wrong(key, "there is no such key; known are \(known.sorted().joined(separator: ", "))")
        }
    }

    private static func wrong(_ path: String, _ message: String) -> JSONAccessError {
        JSONAccessError(code: .wrongType, path: path, message: message)
    }
}
