import Arguments

/// `mesh completion SHELL`
enum CompletionCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "completion", "Print a completion script for a shell.",
            positionals: [
                PositionalSpec("SHELL", "The shell.", .choice(CompletionShell.allCases.map(\.rawValue)))
            ],
            examples: [
                .init("source <(mesh completion bash)", "complete in this shell"),
                .init(
                    "mesh completion bash > /etc/bash_completion.d/mesh", "complete in every new bash"),
                .init("mesh completion zsh > \"${fpath[1]}/_mesh\"", "complete in every new zsh"),
            ])
    ) { (context) throws(CommandFailure) in
        guard let shell = CompletionShell(rawValue: context.argument("SHELL")) else { return .usage }
        Output.text(MeshCommand.root.completion(shell))
        return .ok
    }
}

/// `mesh man`
enum ManualCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "man", "Print the manual page.",
            examples: [.init("mesh man | man -l -", "read it")])
    ) { (context) throws(CommandFailure) in
        Output.text(
            MeshCommand.root.manualPage(
                date: "", version: "mesh \(VersionCommand.version)",
                exitCodes: ExitCode.allCases.map { (Int($0.rawValue), $0.meaning) },
                files: [
                    ("mesh.json", "Configuration of the agent; in the working directory it tells where the socket is."),
                    (ControlSocket.packaged, "The control socket of an installed agent."),
                ]))
        return .ok
    }
}
