import JSON
import PKI

/// Turns the agent's problem documents (RFC 9457) into failures of the command.
enum ControlProblem {
    /// The failure that an answer tells. `hint` stands in where the document has none.
    static func failure(_ status: Int, _ body: [UInt8], hint: String? = nil) -> CommandFailure {
        guard let problem = parse(body), let reason = problem["reason"]?.string else {
            return CommandFailure(
                exit(status, ""), "http_\(status)", "the agent answered \(status)", hint: "look at the agent's log")
        }
        let detail = problem["detail"]?.string ?? problem["title"]?.string ?? reason
        return CommandFailure(
            exit(status, reason), reason, detail, hint: problem["hint"]?.string ?? hint, showsReason: true)
    }

    private static func parse(_ body: [UInt8]) -> JSONValue? {
        do throws(JSONError) { return try JSONReader.parse(body) } catch { return nil }
    }

    /// The exit code by reason, where one says more than the status, else by status.
    private static func exit(_ status: Int, _ reason: String) -> ExitCode {
        switch (reason, status) {
        case ("invalid_configuration", _), ("no_directory", _): .configuration
        // What the agent cannot make sense of was written on the command line.
        case (_, 400): .usage
        case (_, 401), (_, 403): .denied
        case (_, 404), (_, 410): .notFound
        case (_, 502...504): .unreachable
        case (let reason, _) where CertificateReason(rawValue: reason) != nil: .certificate
        default: .failure
        }
    }
}
