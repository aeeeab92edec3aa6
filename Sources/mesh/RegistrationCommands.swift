import Arguments
import HTTP
import JSON

/// `mesh register NAME --target ADDRESS`
enum RegisterCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "register", "Offer a service that runs on this host.",
            discussion: """
                The node and you both need the right to register that name. The registration outlives restarts of the \
                agent; mesh deregister ends it. Registering again replaces it.
                """,
            flags: [
                FlagSpec(
                    "target", .string, placeholder: "ADDRESS",
                    "Where it listens: HOST:PORT on loopback, PORT alone for 127.0.0.1, or unix:PATH.", isRequired: true
                ),
                FlagSpec(
                    "protocol", .choice(["tcp", "http"], instead: secured),
                    "What it speaks; tcp also where clients speak TLS with it.", default: "tcp"),
                FlagSpec("tag", .string, placeholder: "TAG", "A tag that clients can look for.", isRepeated: true),
                FlagSpec("weight", .integer(1...65_535), "Its share among the instances.", default: "100"),
                FlagSpec(
                    "meta", .string, placeholder: "KEY=VALUE", "Metadata that the directory shows.", isRepeated: true),
                FlagSpec(
                    "check", .choice(["tcp", "none"]), "How its health is checked: by connecting, or not at all.",
                    default: "tcp"),
                .json,
            ],
            positionals: [PositionalSpec("NAME", "The service's name.")],
            examples: [
                .init("mesh register web --target 127.0.0.1:8080 --protocol http", "offer a web server"),
                .init("mesh register db --target unix:/run/postgresql/.s.PGSQL.5432", "offer a Unix socket"),
            ])
    ) { (context) throws(CommandFailure) in
        let name = try context.serviceName("NAME")
        let invocation = context.invocation
        let body: JSONValue = [
            "target": .string(target(invocation.string("target") ?? "")),
            "protocol": .string(invocation.string("protocol") ?? "tcp"), "tags": JSONValue(invocation.strings("tag")),
            "weight": JSONValue(invocation.integer("weight") ?? 100),
            "metadata": .object(try metadata(invocation.strings("meta"))),
            "check": ["kind": .string(invocation.string("check") ?? "tcp")],
        ]
        let answer = try ControlClient(context).call(.put, "/v1/services/\(name)", body: body)
        context.print(answer) {
            Output.line("registered \(name) as \(answer.text(of: "instance"))")
            if answer["directory"]?.bool == false {
                Output.note("the directory is not reached; it learns of \(name) when it is")
            }
            if answer["drained"]?.bool == true {
                Output.note("this node is drained: nobody is sent to \(name) until mesh drain --undo")
            }
        }
        return .ok
    }

    /// What to do about a service that speaks TLS, by the words that somebody may try for one.
    private static let secured = Dictionary(
        uniqueKeysWithValues: ["https", "wss", "tls"].map { word in
            let spoken = word == "tls" ? "" : ", protocol: \"http\""
            return (
                word,
                "give tcp, which carries its TLS through to clients that speak it; where the agent is to speak TLS with it, "
                    + "offer it in mesh.json instead: services: [{ name: \"NAME\", target: \"\(word)://HOST:PORT\"\(spoken) }]"
            )
        })

    /// A bare port means this host.
    private static func target(_ text: String) -> String {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? "127.0.0.1:\(text)" : text
    }

    private static func metadata(_ texts: [String]) throws(CommandFailure) -> JSONObject {
        var object = JSONObject()
        for text in texts {
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                throw .usage("--meta \(text) is not KEY=VALUE", hint: "write it like --meta zone=eu-1")
            }
            let key = String(text[..<equals])
            guard object[key] == nil else {
                throw .usage("--meta \(key) is given twice", hint: "leave one of the two out")
            }
            object[key] = .string(String(text[text.index(after: equals)...]))
        }
        return object
    }
}

/// `mesh deregister NAME`
enum DeregisterCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "deregister", "Stop offering a service that was registered on this node.",
            discussion: "Its open connections go on; new ones go to other instances.", flags: [.json],
            positionals: [PositionalSpec("NAME", "The service's name.")])
    ) { (context) throws(CommandFailure) in
        let name = try context.serviceName("NAME")
        let answer = try ControlClient(context).call(
            .delete, "/v1/services/\(name)",
            hint: "mesh services --local lists what this node offers")
        context.print(answer) {
            Output.line("deregistered \(name)")
            if answer["directory"]?.bool == false {
                Output.note("the directory is not reached; it forgets \(name) when it is")
            }
        }
        return .ok
    }
}
