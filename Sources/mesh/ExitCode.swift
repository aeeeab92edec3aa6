/// What the program tells its caller. Documented in `mesh --help`; scripts decide by it.
enum ExitCode: Int32, CaseIterable, Error {
    /// Done.
    case ok = 0
    /// It failed in a way that has no code of its own.
    case failure = 1
    /// The command line is wrong.
    case usage = 2
    /// The policy denies it, or the operating system does.
    case denied = 3
    /// What was asked for does not exist.
    case notFound = 4
    /// The agent, the directory or the service cannot be reached.
    case unreachable = 5
    /// A key or certificate is wrong.
    case certificate = 6
    /// A certificate is good, but not for long.
    case expiring = 7
    /// A configuration or policy is wrong (sysexits.h, EX_CONFIG).
    case configuration = 78

    /// For help and the manual page.
    var meaning: String {
        switch self {
        case .ok: "done"
        case .failure: "failed"
        case .usage: "wrong command line"
        case .denied: "denied"
        case .notFound: "not found"
        case .unreachable: "agent, directory or service unreachable"
        case .certificate: "key or certificate wrong"
        case .expiring: "certificate about to expire"
        case .configuration: "configuration or policy wrong"
        }
    }
}
