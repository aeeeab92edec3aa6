import Arguments
import Glibc
import PKI

/// The program around the tester: command line and exit codes.
enum TesterCommand {
    private static let version = "0.1.0"
    /// Every check that ran is as it must be.
    static let success: Int32 = 0
    /// Some check is not as it must be.
    static let failure: Int32 = 1
    /// Nothing takes connections there.
    static let unreachable: Int32 = 5
    /// Our own certificate files are wrong.
    static let certificate: Int32 = 6

    static let spec = CommandSpec(
        "mtls-tester", "Tests a node's mesh listener from outside: TLS, certificates, WebSocket, link, directory.",
        discussion: """
            Shows the node bad client certificates, which it makes itself, and reports how the node refuses each one; then \
            links with the good certificate and asks whom the node takes it for. It changes nothing at the node, but the \
            node's log will show the refusals.

            With --ca-key it also makes certificates that only the CA can make (expired, wrong usage, two SPIFFE URIs and \
            so on). They live in memory and for an hour at most. Without it these checks are skipped.

            Give the tester a certificate of its own (mesh ca token create --node Tester and mesh join, or mesh ca issue Tester). With that of a node that is linked at the \
            moment, the node rightly refuses the link as a duplicate, and link and directory cannot be tested.

            Exit codes: 0 every check that ran is as it must be; 1 some check is not; 2 wrong command line; 5 the node \
            cannot be reached; 6 the certificate files given are wrong.
            """,
        flags: [
            FlagSpec("ca", .path, "certificate of the CA that vouches for the nodes (PEM)", isRequired: true),
            FlagSpec("cert", .path, "our certificate (PEM, leaf first)", conflicts: ["pfx"]),
            FlagSpec("key", .path, "our private key (PEM)", conflicts: ["pfx"]),
            FlagSpec("pfx", .path, "our certificate and key (PKCS#12)"),
            FlagSpec("passphrase-file", .path, "file with the passphrase of --key or --pfx"),
            FlagSpec("node", .string, placeholder: "NAME", "name of the node that must answer"),
            FlagSpec("ca-key", .path, "private key of the CA, to make more bad certificates"),
            FlagSpec("ca-passphrase-file", .path, "file with the passphrase of --ca-key"),
            FlagSpec(
                "expect", .choice(["either", "allowed", "denied"]),
                "what the policy must say to our link; either: what it says is information", default: "either"),
            FlagSpec(
                switch: "legacy-certificates", "the node is meant to accept certificates without extended key usage"),
            FlagSpec("timeout", .duration, "patience for each connection", default: "5s"),
            FlagSpec(switch: "json", "print one JSON document instead of text"),
            FlagSpec(switch: "verbose", short: "v", "print every check's id, answer and time"),
        ],
        positionals: [PositionalSpec("URL", "the node's mesh listener, wss://HOST:PORT/mesh")],
        examples: [
            .init(
                "mtls-tester wss://127.0.1.1:7400/mesh --node Directory --ca ca.crt --cert Tester.crt --key Tester.key",
                "test the node Directory"),
            .init(
                "mtls-tester wss://db-1:7400/mesh --ca ca.crt --ca-key ca.key --json",
                "what the node refuses, without a certificate of our own, as JSON"),
        ])

    /// Runs the program; gives its exit code.
    static func run(_ arguments: [String]) -> Int32 {
        let invocation: Invocation
        do throws(UsageError) {
            switch try spec.parse(arguments) {
            case .help(let path):
                Terminal.write(spec.help(path: path, width: Terminal.width(STDOUT_FILENO)))
                return success
            case .version:
                Terminal.write("mtls-tester \(version)\n")
                return success
            case .run(let parsed): invocation = parsed
            }
        } catch {
            Terminal.complain("\(error)")
            return UsageError.exitCode
        }
        let options: TesterOptions
        do throws(TesterOptions.Wrong) {
            options = try TesterOptions(invocation)
        } catch {
            Terminal.complain("mtls-tester: \(error.what)\n\(error.hint)\nusage: \(spec.usage())")
            return UsageError.exitCode
        }
        let identity: OwnIdentity
        do throws(CertificateError) {
            identity = try OwnIdentity.load(options)
        } catch {
            Terminal.complain("mtls-tester: \(error)\n\(error.hint)")
            return certificate
        }
        var environment: [String: String] = [:]
        for name in ["NO_COLOR", "TERM"] { environment[name] = getenv(name).map { String(cString: $0) } }
        let console = Console(json: options.isJSON, verbose: options.isVerbose, environment: environment)
        return Tester(options: options, identity: identity, console: console).run()
    }
}
