import Arguments
import HTTP
import JSON

/// `mesh services`
enum ServicesCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "services", "List the services of the mesh.",
            discussion: "Only those that the caller may discover are shown.",
            flags: [
                FlagSpec(
                    switch: "local", "What this node itself offers: configured and registered services, their targets."),
                .json,
            ])
    ) { (context) throws(CommandFailure) in
        context.invocation.isOn("local") ? try local(context) : try all(context)
    }

    private static func all(_ context: CommandContext) throws(CommandFailure) -> ExitCode {
        let answer = try ControlClient(context).call(.get, "/v1/directory/services")
        context.print(answer) {
            var table = TextTable([
                .init("SERVICE", minimumWidth: 12), .init("INSTANCES", isRightAligned: true, minimumWidth: 9),
                .init("HEALTHY", isRightAligned: true, minimumWidth: 7), .init("PROTOCOL", minimumWidth: 8),
                .init("TAGS", minimumWidth: 6),
            ])
            for service in answer.elements(of: "services") {
                table.append([
                    service.text(of: "name"), service.number(of: "instances"), service.number(of: "healthy"),
                    Format.list(service["protocols"]), Format.list(service["tags"]),
                ])
            }
            let reach = DirectoryReach(answer)
            reach.tell()
            let none = reach.isReached ? "no services yet" : "no services by then"
            Output.table(table, empty: "\(none), or none that you may discover", next: .register)
        }
        return .ok
    }

    private static func local(_ context: CommandContext) throws(CommandFailure) -> ExitCode {
        let answer = try ControlClient(context).call(.get, "/v1/services")
        context.print(answer) {
            var table = TextTable([
                .init("SERVICE", minimumWidth: 12), .init("TARGET", minimumWidth: 15),
                .init("PROTOCOL", minimumWidth: 8), .init("HEALTH", minimumWidth: 8), .init("ORIGIN", minimumWidth: 10),
            ])
            var notes: [String] = []
            for service in answer.elements(of: "services") {
                let name = service.text(of: "name")
                table.append([
                    name, service.text(of: "target"), service.text(of: "protocol"), service.text(of: "health"),
                    service.text(of: "origin"),
                ])
                if let failure = service["healthDetail"]?.string {
                    notes.append("\(name): its check fails: \(failure)")
                }
                if service["registered"]?.bool == false {
                    notes.append("\(name): the node may not register it (\(service.text(of: "reason")))")
                }
            }
            Output.table(table, empty: "node \(answer.text(of: "node")) offers no services", next: .register)
            for line in notes { Output.note(DisplayWidth.sanitized(line)) }
        }
        return .ok
    }
}

/// `mesh lookup NAME`
enum LookupCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "lookup", "Show where a service runs.", flags: [.json],
            positionals: [PositionalSpec("NAME", "The service's name.")])
    ) { (context) throws(CommandFailure) in
        let name = try context.serviceName("NAME")
        let client = try ControlClient(context)
        let answer: JSONValue
        do throws(CommandFailure) {
            answer = try client.call(.get, "/v1/directory/services/\(name)")
        } catch {
            throw NearestName.service(error, name, context)
        }
        if context.json {
            Output.json(answer)
            return .ok
        }
        // An instance is only as good as its node.
        let nodes = try client.call(.get, "/v1/directory/nodes").elements(of: "nodes")
        let lost = Set(nodes.filter { $0["state"]?.string != "up" }.map { $0.text(of: "node") })
        var table = TextTable([
            .init("NODE", minimumWidth: 12), .init("HEALTH", minimumWidth: 9), .init("PROTOCOL", minimumWidth: 8),
            .init("WEIGHT", isRightAligned: true, minimumWidth: 6), .init("TAGS", minimumWidth: 6),
            .init("METADATA", minimumWidth: 8),
        ])
        for instance in answer.elements(of: "instances") {
            let node = instance.text(of: "node")
            table.append([
                node, lost.contains(node) ? "node lost" : instance.text(of: "health"), instance.text(of: "protocol"),
                instance.number(of: "weight"), Format.list(instance["tags"]), Format.map(instance["metadata"]),
            ])
        }
        DirectoryReach(answer).tell()
        Output.table(table, empty: "no instances")
        if answer.elements(of: "instances").contains(where: { $0["health"]?.string == "critical" }) {
            Output.note("why a check fails, its own node says: mesh services --local")
        }
        return .ok
    }
}

/// `mesh nodes [NODE]`
enum NodesCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "nodes", "List the nodes of the mesh, or show one of them.", flags: [.json],
            positionals: [PositionalSpec("NODE", "Only this node, with what it offers.", isOptional: true)])
    ) { (context) throws(CommandFailure) in
        if let name = context.invocation.positional("NODE") { return try one(name, context) }
        let answer = try ControlClient(context).call(.get, "/v1/directory/nodes")
        context.print(answer) {
            let nodes = answer.elements(of: "nodes")
            var table = TextTable([
                .init("NODE", minimumWidth: 12), .init("STATE", minimumWidth: 5), .init("SINCE", minimumWidth: 6),
                .init("ADDRESSES", minimumWidth: 15), .init("METADATA", minimumWidth: 8),
            ])
            for node in nodes {
                table.append([
                    node.text(of: "node"), node.text(of: "state"),
                    Format.age(sinceMilliseconds: node["since"]?.integer),
                    Format.list(node["addresses"]), Format.map(node["metadata"]),
                ])
            }
            DirectoryReach(answer).tell()
            Output.table(table, empty: "no nodes yet, or none that you may see", next: .look)
            if nodes.count == 1 { Output.note("no other node yet", next: .admit) }
        }
        return .ok
    }

    private static func one(_ name: String, _ context: CommandContext) throws(CommandFailure) -> ExitCode {
        let client = try ControlClient(context)
        let answer: JSONValue
        do throws(CommandFailure) {
            answer = try client.call(.get, "/v1/directory/nodes/\(PercentEncoding.encode(name))")
        } catch {
            throw NearestName.node(error, name, context)
        }
        if context.json {
            Output.json(answer)
            return .ok
        }
        let node = answer["node"] ?? .null
        let instances = try client.call(.get, "/v1/directory/snapshot").elements(of: "instances")
        let services = instances.filter { $0["node"]?.string == name }.map {
            "\($0.text(of: "service")) (\($0.text(of: "health")))"
        }
        DirectoryReach(answer).tell()
        Output.fields([
            ("node", node.text(of: "node")), ("state", node.text(of: "state")),
            ("since", Format.age(sinceMilliseconds: node["since"]?.integer) + " ago"),
            ("addresses", Format.list(node["addresses"])), ("metadata", Format.map(node["metadata"])),
            ("services", services.isEmpty ? Format.none : services.joined(separator: ", ")),
            ("boot id", node.text(of: "bootId")),
        ])
        return .ok
    }
}
