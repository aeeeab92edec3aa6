import Arguments

/// A program with everything in it that the three real ones use.
let sample = CommandSpec(
    "mesh", "Operate a conduit mesh",
    discussion: "Talks to the agent on this host\nthrough its control socket.\n\nSee the manual for more.",
    flags: [
        FlagSpec(
            "socket", short: "s", .path, "control socket of the agent", default: "/run/mesh.sock",
            environment: "MESH_SOCKET"),
        FlagSpec("timeout", .duration, "how long to wait", default: "30s", environment: "MESH_TIMEOUT"),
        FlagSpec(switch: "json", "print JSON", environment: "MESH_JSON"),
        FlagSpec(switch: "debug", "print what nobody needs", isHidden: true),
    ],
    subcommands: [
        CommandSpec(
            "ca", "Manage the certificate authority",
            subcommands: [
                CommandSpec("init", "Create a root"),
                CommandSpec(
                    "issue", "Issue a certificate for a node",
                    flags: [
                        FlagSpec("out", short: "o", .path, placeholder: "DIR", "where to write it", isRequired: true),
                        FlagSpec("dns", .string, placeholder: "NAME", "further DNS name", isRepeated: true),
                        FlagSpec("key", .choice(["p256", "p384", "ed25519"]), "key algorithm", default: "p256"),
                        FlagSpec("days", short: "d", .integer(1...398), "days until it expires", default: "90"),
                        FlagSpec(switch: "pfx", short: "p", "write PKCS#12 too", conflicts: ["pem-only"]),
                        FlagSpec(switch: "pem-only", "write PEM only"),
                        FlagSpec(switch: "force", short: "f", "overwrite", isNegatable: true),
                    ],
                    positionals: [PositionalSpec("NODE", "the node's name")],
                    examples: [
                        .init(
                            "mesh ca issue ACL --out certs --dns acl.internal",
                            "Issue a certificate that is also good for a DNS name.")
                    ]),
                CommandSpec(
                    "inspect", "Show certificates",
                    positionals: [PositionalSpec("FILE", "PEM or PKCS#12", .path, isRepeated: true)]),
            ]),
        CommandSpec(
            "lookup", "Find the instances of a service",
            positionals: [
                PositionalSpec("NAME", "the service"),
                PositionalSpec("LIMIT", "how many", .integer(1...100), isOptional: true),
            ]),
        CommandSpec(
            "links", "Show links", positionals: [PositionalSpec("NODE", "only to that node", isOptional: true)],
            subcommands: [CommandSpec("reset", "Close all links")], runsItself: true),
        CommandSpec(
            "completion", "Print a completion script",
            positionals: [PositionalSpec("SHELL", "which shell", .choice(["bash", "zsh"]))]),
        CommandSpec("secret", "Not shown", isHidden: true),
    ])

/// The invocation a line leads to.
func invocation(_ line: [String], _ environment: [String: String] = [:]) throws -> Invocation {
    switch try sample.parse(line, environment: environment) {
    case .run(let invocation): return invocation
    case .help, .version: throw Unexpected()
    }
}

struct Unexpected: Error {}
