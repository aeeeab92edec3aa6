import Arguments
import Glibc
import HTTP

/// `mesh connect SERVICE`
enum ConnectCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "connect", "Connect standard input and output with a service.",
            discussion: """
                Both directions end on their own: at the end of the input the service is told, and its answer still \
                arrives. Typed into by hand, it ends when the service has nothing more to say.
                """,
            flags: [
                FlagSpec(
                    "as", .string, placeholder: "NAME",
                    "In the name of this service identity, which both the node and you must hold."),
                FlagSpec("node", .string, placeholder: "NODE", "Only to the instance on that node."),
            ],
            positionals: [PositionalSpec("SERVICE", "The service's name.")],
            examples: [
                .init("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | mesh connect web", "one request"),
                .init("ssh -o ProxyCommand='mesh connect ssh --node %h' db-1", "SSH through the mesh"),
            ])
    ) { (context) throws(CommandFailure) in
        let service = try context.serviceName("SERVICE")
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
        return try Pipe(connection.descriptor, received: connection.received).run()
    }
}
