import Agent
import Arguments
import Glibc
import JSON

/// `mesh-agent front`: the edge before plain servers, without a mesh.
enum FrontProgram {
    /// Exit code for a configuration that is wrong (sysexits.h, EX_CONFIG).
    private static let configurationExit: Int32 = 78

    /// The command line.
    static let command = CommandSpec(
        "front", "TLS, client certificates, tokens and limits before a plain server; or the client side of it.",
        discussion: """
            Needs no mesh. With a plain server behind --to, clients come in with TLS. With a TLS server behind it, plain \
            programs on this host go out with TLS: this is the client side.

            Flags win over variables (--env-prefix), these over files (--config or --import), these over defaults; --check \
            says where each value comes from. The client's URI is printed at start. SIGHUP reads configuration and \
            certificates again without touching connections; SIGTERM drains and exits 0, a second one ends at once.

            Exit codes: 0 ended as asked, 6 a certificate cannot be used, 2 command line, 78 configuration, 1 anything \
            else, such as a port that is taken.
            """,
        flags: [
            FlagSpec(
                switch: "check",
                "Check everything that a start would read, print every value with its origin, and exit: 0 when it is "
                    + "good."),
            FlagSpec(switch: "json", "Print JSON: with --check, and for the client's URI at start."),
        ] + FrontFlags.specs,
        examples: [
            .init(
                "mesh-agent front --listen 0.0.0.0:8443 --to ws://127.0.0.1:8690 --certificate-file server.pem "
                    + "--private-key-file server.key", "TLS before a WebSocket server"),
            .init(
                "mesh-agent front --env-prefix MAHAVISHNU --to ws://127.0.0.1:8690",
                "the same, with the server's own variables"),
            .init(
                "mesh-agent front --listen 127.0.0.1:9000 --to wss://host:8443 --ca-file ca.crt",
                "the client side, for a program that cannot speak TLS"),
            .init("mesh-agent front --env-prefix MCP --to http://127.0.0.1:8000 --check", "what would it do, and why"),
        ])

    /// The same as a program of its own, so that help and messages name it whole.
    private static let program: CommandSpec = {
        var program = command
        program.name = "mesh-agent front"
        return program
    }()

    /// Runs it with what stands behind `front`; gives the exit code.
    static func run(_ arguments: [String], environment: [String: String]) async -> Int32 {
        let invocation: Invocation
        do {
            switch try program.parse(arguments) {
            case .help(let path):
                print(program.help(path: path, width: AgentProgram.terminalWidth))
                return 0
            case .version:
                print("mesh-agent \(Agent.version)")
                return 0
            case .run(let parsed): invocation = parsed
            }
        } catch {
            AgentProgram.complain("\(error)")
            return UsageError.exitCode
        }
        let flags = FrontFlags.texts(of: invocation)
        let isJSON = invocation.isOn("json")
        let load: Front.Loader = { () throws(ConfigurationError) in
            try FrontLoader.load(flags: flags, environment: environment)
        }
        let effective: EffectiveFront
        do {
            effective = try load()
        } catch {
            if isJSON, invocation.isOn("check") { print(error.json.text(.pretty)) }
            for issue in error.issues { AgentProgram.complain("mesh-agent front: \(issue)") }
            return configurationExit
        }
        if invocation.isOn("check") { return check(effective, json: isJSON) }
        do {
            let front = try await Front.start(effective, reload: load) { uris in
                if isJSON {
                    let value: JSONValue = ["uris": .init(uris), "version": .string(Agent.version)]
                    print(value.text())
                } else {
                    for uri in uris { print(uri) }
                }
                fflush(nil)
            }
            StartPages.release()
            return await front.finished()
        } catch {
            for line in Front.lines(of: error) { AgentProgram.complain("mesh-agent front: \(line)") }
            return Front.exitCode(of: error)
        }
    }

    private static func check(_ effective: EffectiveFront, json: Bool) -> Int32 {
        let report = Front.check(effective)
        if json {
            var object = effective.describeJSON().object ?? JSONObject()
            object["uris"] = .init(report.uris)
            object["certificates"] = report.certificates
            object["problems"] = report.problemsJSON
            print(JSONValue.object(object).text(.pretty))
        } else {
            print(effective.describe(), terminator: "")
            print("\n" + report.lines.joined(separator: "\n"))
            for problem in report.problems {
                for line in problem { AgentProgram.complain("mesh-agent front: \(line)") }
            }
        }
        return report.exitCode
    }
}
