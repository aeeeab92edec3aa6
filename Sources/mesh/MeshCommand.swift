import Arguments

/// The table of all commands. Parsing, help, completion and the manual page are made from it.
enum MeshCommand {
    /// Commands that stand directly behind `mesh`, in the order of help: what one looks at, what one changes, what one
    /// uses, what one sets up.
    static let commands: [CommandEntry] = [
        StatusCommand.entry, ServicesCommand.entry, LookupCommand.entry, NodesCommand.entry, LinksCommand.entry,
        CertsCommand.entry, WatchCommand.entry, RegisterCommand.entry, DeregisterCommand.entry, ConnectCommand.entry,
        WhyCommand.entry, AuthorizeCommand.entry, WhoamiCommand.entry, ReloadCommand.entry, DrainCommand.entry,
        JoinCommand.entry, DocumentsCommand.entry, RevokeCommand.entry,
    ]

    /// Groups of commands: `mesh ca init`.
    static let groups: [(spec: CommandSpec, commands: [CommandEntry])] = [
        (
            CommandSpec("policy", "Check policy files, and apply them to the whole mesh."),
            [PolicyCheckCommand.entry, PolicyDiffCommand.entry, PolicyReplayCommand.entry, PolicyApplyCommand.entry]
        ),
        (
            CommandSpec(
                "ca", "Make a CA, issue certificates, look into certificate files.",
                discussion: """
                    init, issue and inspect work on files; no agent is needed. token, nodes, forget and reload ask the agent that \
                    serves the CA.
                    """),
            [
                CAInitCommand.entry, CAIssueCommand.entry, CAInspectCommand.entry, CANodesCommand.entry,
                CAForgetCommand.entry, CAReloadCommand.entry,
            ]
        ),
        (
            CommandSpec("operator", "Say who may sign policy and revocations for the whole mesh."),
            [
                OperatorListCommand.entry, OperatorAddCommand.entry, OperatorRemoveCommand.entry,
                OperatorApplyCommand.entry,
            ]
        ),
        (
            CommandSpec(
                "cert", "Check and pin certificates; make them for development.",
                discussion: "All of it works on files; no agent is needed."),
            [CertCheckCommand.entry, CertPinCommand.entry, CertDevCommand.entry]
        ),
        (
            CommandSpec("audit", "Look at the audit log of security events, and check that nobody has changed it."),
            [AuditVerifyCommand.entry, AuditTailCommand.entry, AuditSealCommand.entry, AuditKeptCommand.entry]
        ),
        (
            CommandSpec(
                "token", "Make, look into and revoke tokens of external clients.",
                discussion: "All of it works on files; no agent is needed."),
            [
                TokenInitCommand.entry, TokenIssueCommand.entry, TokenInspectCommand.entry, TokenDPoPCommand.entry,
                TokenRevokeCommand.entry, TokenKeysCommand.entry,
            ]
        ),
        (
            CommandSpec(
                "apikey", "Make, list and revoke API keys of external clients.",
                discussion: "All of it works on a file; no agent is needed."),
            [APIKeyCreateCommand.entry, APIKeyListCommand.entry, APIKeyRevokeCommand.entry]
        ),
    ]

    /// Groups inside of groups, by the outer one's name: `mesh ca token create`.
    static let innerGroups: [String: [(spec: CommandSpec, commands: [CommandEntry])]] = [
        "ca": [
            (
                CommandSpec("token", "Make, list and withdraw the tokens with which nodes join."),
                [CATokenCreateCommand.entry, CATokenListCommand.entry, CATokenWithdrawCommand.entry]
            ),
            (
                CommandSpec(
                    "rotate", "Replace the mesh's root, step by step, while it runs.",
                    discussion: "prepare, activate, retire; status says who is where. See docs/root-rotation.md."),
                [
                    CARotatePrepareCommand.entry, CARotateActivateCommand.entry, CARotateRetireCommand.entry,
                    CARotateStatusCommand.entry,
                ]
            ),
        ]
    ]

    /// Commands about the program itself.
    static let ownCommands: [CommandEntry] = [CompletionCommand.entry, ManualCommand.entry, VersionCommand.entry]

    /// The root of the table.
    static var root: CommandSpec {
        var all = commands.map(\.spec)
        for group in groups {
            var spec = group.spec
            spec.subcommands = group.commands.map(\.spec)
            for inner in innerGroups[spec.name] ?? [] {
                var innerSpec = inner.spec
                innerSpec.subcommands = inner.commands.map(\.spec)
                spec.subcommands.append(innerSpec)
            }
            all.append(spec)
        }
        return CommandSpec(
            "mesh", "The operator's command for Conduit Mesh.",
            discussion: """
                Talks to the agent on this host through its control socket: that of --control or MESH_CONTROL; else, \
                where the working directory has a mesh.json, the one that it leads to; else \(ControlSocket.packaged). \
                A mesh.json there, and an agent that it leads to, has to be of root or of you.

                Exit codes: \(exitCodes).
                """,
            flags: [
                FlagSpec(
                    "control", .path, placeholder: "SOCKET", "The agent's control socket.",
                    environment: ControlSocket.variable)
            ],
            subcommands: all + ownCommands.map(\.spec),
            examples: [
                .init(
                    "mesh ca token create --node db-1 | ssh db-1 mesh join --token-file -", "admit a host to the mesh"),
                .init("mesh services", "what the directory knows"),
                .init("mesh register web --target 127.0.0.1:8080", "offer a service of this host"),
                .init("mesh why --from service:shop --to web", "who may do what, and by which rule"),
            ])
    }

    /// The command that a command line means.
    static func entry(at path: [String]) -> CommandEntry? {
        guard let name = path.last else { return nil }
        let candidates =
            switch path.count {
            case 1: commands + ownCommands
            case 2: groups.first { $0.spec.name == path[0] }?.commands ?? []
            default: innerGroups[path[0]]?.first { $0.spec.name == path[1] }?.commands ?? []
            }
        return candidates.first { $0.spec.name == name }
    }

    private static var exitCodes: String {
        ExitCode.allCases.map { "\($0.rawValue) \($0.meaning)" }.joined(separator: ", ")
    }
}
