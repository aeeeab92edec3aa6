import Arguments
import Glibc
import HTTP
import JSON

/// `mesh connect SERVICE`
enum ConnectCommand {
    /// Whether the agent says that the stream was reset; an agent that is gone by now says nothing.
    private static func wasReset(_ id: String, _ context: CommandContext) -> Bool {
        do throws(CommandFailure) {
            return try ControlClient(context).call(.get, "/v1/streams/\(id)")["reset"]?.bool == true
        } catch {
            return false
        }
    }

    /// What only `--edge` has a use for.
    private static let edgeFlags = [
        "token-file", "token", "api-key-file", "dpop", "ca-file", "certificate-file", "private-key-file",
    ]

    static let entry = CommandEntry(
        CommandSpec(
            "connect", "Connect standard input and output with a service.",
            discussion: """
                Both directions end on their own: at the end of the input the service is told, and its answer still \
                arrives. Typed into by hand, it ends when the service has nothing more to say.

                With --edge no agent is needed on this host: the service is reached through an edge of the mesh, in the name of a token or API key.
                """,
            flags: [
                FlagSpec(
                    "as", .string, placeholder: "NAME",
                    "In the name of this service identity, which both the node and you must hold."),
                FlagSpec("node", .string, placeholder: "NODE", "Only to the instance on that node."),
                FlagSpec(
                    "edge", .string, placeholder: "URL", "Through this edge: https://HOST[:PORT].",
                    conflicts: ["as", "node", "control"]),
                FlagSpec(
                    "token-file", .path,
                    "For --edge: the file with the token; - takes the first line of standard input.",
                    conflicts: ["token", "api-key-file"]),
                FlagSpec("token", .path, "The same as --token-file.", conflicts: ["api-key-file"]),
                FlagSpec("api-key-file", .path, "For --edge: the file with an API key (mode 0600)."),
                FlagSpec("dpop", .path, placeholder: "KEYFILE", "For --edge: the key that the token is bound to."),
                FlagSpec("ca-file", .path, "For --edge: the CA to trust instead of the system's."),
                FlagSpec("certificate-file", .path, "For --edge: a client certificate."),
                FlagSpec("private-key-file", .path, "For --edge: its private key."),
            ],
            positionals: [PositionalSpec("SERVICE", "The service's name.")],
            examples: [
                .init("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | mesh connect web", "one request"),
                .init("ssh -o ProxyCommand='mesh connect ssh --node %h' db-1", "SSH through the mesh"),
                .init(
                    "mesh connect --edge https://edge.example --token-file t db", "from a laptop, with a token"),
            ])
    ) { (context) throws(CommandFailure) in
        let service = try context.serviceName("SERVICE")
        if context.invocation.string("edge") != nil {
            let pipe = EdgePipe(try EdgeClient(context.invocation).open(service))
            return try pipe.run()
        }
        for flag in edgeFlags where context.invocation.string(flag) != nil {
            throw .usage("--\(flag) is for connections through an edge", hint: "say which: --edge https://HOST")
        }
        let query = ["as", "node"].compactMap { name in context.invocation.string(name).map { (name, $0) } }
        var target = "/v1/connect/\(service)"
        if !query.isEmpty { target += "?\(HTTPQuery.encode(query))" }
        let client = try ControlClient(context)
        let head = try client.start(
            .get, target, headers: ["Connection": "Upgrade", "Upgrade": "conduit-stream"])
        guard head.status == 101 else {
            throw ControlProblem.failure(
                head.status, try client.readBody(),
                hint: head.status == 503
                    ? "mesh lookup \(service) shows its instances, mesh links the links to their nodes"
                    : "mesh lookup \(service) shows its instances, mesh services all services")
        }
        let connection = try client.takeOver()
        let code = try Pipe(connection.descriptor, received: connection.received).run()
        // The socket cannot tell a reset from an end in order once our own direction has ended; the agent can.
        if let id = head.headers["Conduit-Stream"], wasReset(id, context) { throw Pipe.broken() }
        return code
    }
}
