import Agent
import Arguments
import Glibc
import JSON

/// The program around the agent: command line, `--check`, exit codes.
enum AgentProgram {
    /// Exit code for a configuration that is wrong (sysexits.h, EX_CONFIG).
    private static let configurationExit: Int32 = 78

    /// The command line: a few flags of its own and one for every key of the configuration.
    static let command: CommandSpec = {
        let own: [FlagSpec] = [
            FlagSpec("config", short: "c", .path, "The configuration file.", environment: "MESH_CONFIG"),
            FlagSpec(
                switch: "check",
                "Check everything that a start would read, print the effective configuration with the origin of each "
                    + "value, and exit: 0 when it is good, 78 when not."),
            FlagSpec(switch: "json", "With --check: print JSON."),
            FlagSpec(
                switch: "takeover",
                "Take over from the agent that runs with the same control socket, without refusing or breaking a connection. "
                    + "It goes on where this start fails; where none runs, this is an ordinary start."),
        ]
        let keys = ConfigurationTable.keys.filter { !$0.isElement }.map { key in
            FlagSpec(
                key.flag, .string, placeholder: key.placeholder, key.summary, default: key.defaultText,
                environment: key.environment)
        }
        return CommandSpec(
            "mesh-agent", "The node agent of Conduit Mesh.",
            discussion: """
                Runs in the foreground. SIGHUP reads configuration, certificates and policy again without touching \
                connections; SIGUSR2 starts the program on disk anew, to take over from the running process; SIGTERM drains \
                and exits 0. Flags win over MESH_… variables, these over the file.
                """,
            flags: own + keys,
            subcommands: [CommandSpec("front", FrontProgram.command.summary)],
            examples: [
                .init("mesh-agent --config mesh.json", "run the agent"),
                .init("mesh-agent --config mesh.json --check", "say what it would run with, and where that comes from"),
                .init(
                    "mesh-agent --config mesh.json --takeover",
                    "replace the agent that runs, by a new version for instance"),
                .init("MESH_LOG_LEVEL=debug mesh-agent -c mesh.json", "override a value for one run"),
                .init("mesh-agent front --help", "TLS before a plain server, without a mesh"),
            ], runsItself: true)
    }()

    /// Runs the program; gives its exit code.
    static func run(_ arguments: [String]) async -> Int32 {
        let environment = Dictionary(uniqueKeysWithValues: currentEnvironment())
        // The front has flags of its own and none of the agent's, so it is not parsed as a subcommand of it.
        if arguments.first == "front" {
            return await FrontProgram.run(Array(arguments.dropFirst()), environment: environment)
        }
        let invocation: Invocation
        do {
            switch try command.parse(arguments, environment: environment.filter { $0.key == "MESH_CONFIG" }) {
            case .help(["front"]): return await FrontProgram.run(["--help"], environment: environment)
            case .help(let path):
                print(command.help(path: path, width: terminalWidth))
                return 0
            case .version:
                print("mesh-agent \(Agent.version)")
                return 0
            case .run(let parsed) where parsed.path == ["front"]:
                complain("mesh-agent: the flags of front stand behind it\n  write: mesh-agent front …")
                return UsageError.exitCode
            case .run(let parsed): invocation = parsed
            }
        } catch {
            complain("\(error)")
            if let hint = forgottenFlag(arguments) { complain(hint) }
            return UsageError.exitCode
        }
        var flags: [String: String] = [:]
        for key in ConfigurationTable.keys where !key.isElement {
            if case .commandLine? = invocation.origin(key.flag) { flags[key.flag] = invocation.string(key.flag) }
        }
        let file = invocation.string("config")
        let given = flags
        let load: Agent.Loader = { () throws(ConfigurationError) in
            try ConfigurationLoader.load(file: file, flags: given, environment: environment)
        }
        let effective: EffectiveConfiguration
        do {
            effective = try load()
        } catch {
            complain(error, file: file, isGiven: !given.isEmpty || hasVariables(environment))
            return configurationExit
        }
        if invocation.isOn("check") { return check(effective, json: invocation.isOn("json")) }
        do {
            let agent = try await Agent.start(effective, takesOver: invocation.isOn("takeover"), reload: load)
            StartPages.release()
            return await agent.finished()
        } catch {
            let code = Agent.exitCode(of: error)
            // Who was told to stop has logged it, and nothing is wrong. What he waited for may still be at work, and an end in order
            // would take the libraries from under it.
            guard code != 0 else { _exit(code) }
            for line in Agent.lines(of: error, under: effective) { say(line) }
            return code
        }
    }

    private static func check(_ effective: EffectiveConfiguration, json: Bool) -> Int32 {
        let problems = Agent.check(effective)
        let lists = Agent.listsInForce(effective.configuration)
        if json {
            var object = effective.describeJSON().object ?? JSONObject()
            object["problems"] = .init(problems)
            object["documents"] = .init(Agent.documentsInForce(effective.configuration))
            object["ocsp"] = .init(Agent.respondersInForce(effective.configuration))
            object["revocationLists"] = .init(lists.lines)
            object["revocationWarnings"] = .init(lists.warnings)
            object["aesGCM"] = .string(Agent.aesGCM(of: effective.configuration).code)
            print(JSONValue.object(object).text(.pretty))
        } else {
            print(effective.describe(), terminator: "")
            print("\nTLS: \(Agent.aesGCM(of: effective.configuration).text)")
            for line in Agent.respondersInForce(effective.configuration) { print("OCSP: \(line)") }
            for line in lists.lines { print("CRL: \(line)") }
            for line in Agent.documentsInForce(effective.configuration) { print("document: \(line)") }
            for warning in lists.warnings { complain("mesh-agent: warning: \(warning)") }
            for problem in problems { say(problem) }
        }
        return problems.isEmpty ? 0 : configurationExit
    }

    /// Says what is wrong with a configuration. Where none was named that comes first; and what it lacks then would only distract
    /// whoever has given no value by flag or variable either.
    private static func complain(_ error: ConfigurationError, file: String?, isGiven: Bool) {
        if file == nil {
            let isHere = access("mesh.json", F_OK) == 0
            complain(
                "mesh-agent: no configuration is named"
                    + (isHere ? "; the mesh.json in this directory is not read unless it is named" : ""))
            complain(
                "hint: name it: mesh-agent --config \(isHere ? "mesh.json" : "FILE"), or MESH_CONFIG; "
                    + "docs/configuration.md has every key")
            guard isGiven else { return }
        }
        for issue in error.issues { complain("mesh-agent: \(issue)") }
    }

    private static func hasVariables(_ environment: [String: String]) -> Bool {
        ConfigurationTable.keys.contains { environment[$0.environment]?.isEmpty == false }
    }

    /// Where a file stands alone in the command line, how it is named.
    private static func forgottenFlag(_ arguments: [String]) -> String? {
        guard let name = arguments.first, !name.hasPrefix("-"), access(name, R_OK) == 0 else { return nil }
        return "hint: the configuration is named with a flag: mesh-agent --config \(name)"
    }

    /// A line of what is wrong, or its hint.
    private static func say(_ line: String) { complain(line.hasPrefix("hint: ") ? line : "mesh-agent: \(line)") }

    static func complain(_ text: String) {
        // What was printed before stands before it, also in a file that takes both.
        fflush(nil)
        let bytes = Array((text + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    static var terminalWidth: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 40 else { return 80 }
        return min(Int(size.ws_col), 120)
    }

    private static func currentEnvironment() -> [(String, String)] {
        var result: [String: String] = [:]
        var place = environ
        while let entry = place.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                result[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            place += 1
        }
        return Array(result)
    }
}
