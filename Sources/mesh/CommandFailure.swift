import JSON
import PKI

/// Why a command could not do its work: what went wrong, how to mend it, and the exit code.
struct CommandFailure: Error {
    /// The exit code.
    let exit: ExitCode
    /// Stable code for programs.
    let reason: String
    /// One line: what went wrong. More lines only where there are several faults.
    let what: String
    /// One line: how to mend it.
    var hint: String?
    /// Whether people see the code too: where documents and logs have it.
    let showsReason: Bool

    /// A failure from its parts.
    init(_ exit: ExitCode, _ reason: String, _ what: String, hint: String? = nil, showsReason: Bool = false) {
        self.exit = exit
        self.reason = reason
        self.what = what
        self.hint = hint
        self.showsReason = showsReason
    }

    /// A command line that parses and still makes no sense.
    static func usage(_ what: String, hint: String) -> CommandFailure {
        CommandFailure(.usage, "usage", what, hint: hint)
    }

    /// A file of the command line that is not there.
    static func missing(_ file: String, hint: String) -> CommandFailure {
        CommandFailure(.notFound, "no_such_file", "\(file): there is no such file", hint: hint)
    }

    /// A failure of the PKI room.
    init(_ error: CertificateError) {
        if error.isMissingFile {
            self = .missing(error.file ?? "", hint: error.hint)
            return
        }
        let exit: ExitCode =
            switch error.reason {
            case .badName, .badRequest: .usage
            case .unwritableFile, .libraryFailure: .failure
            default: .certificate
            }
        let place = error.file.map { "\($0): " } ?? ""
        self.init(exit, error.code, place + error.message, hint: error.hint, showsReason: exit == .certificate)
    }

    /// For standard error with `--json`: one object on one line.
    var json: JSONValue {
        var object: JSONObject = ["error": .string(reason), "detail": .string(what)]
        if let hint { object["hint"] = .string(hint) }
        object["exitCode"] = .integer(Int64(exit.rawValue))
        return .object(object)
    }
}
