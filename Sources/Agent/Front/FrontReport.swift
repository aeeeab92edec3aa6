import EventLoop
public import JSON
import PKI

/// What a start of a front would find: for `mesh-agent front --check`.
public struct FrontReport: Sendable {
    /// Under which URIs clients would reach it.
    public internal(set) var uris: [String] = []
    /// The certificates that were read.
    public internal(set) var certificates: JSONValue = []
    /// What is wrong, each in lines: what it is, what to do, which command shows more.
    public internal(set) var problems: [[String]] = []
    /// The same for programs: `[{"reason", "message", "hint", "file", "command"}]`.
    public internal(set) var problemsJSON: JSONValue = []
    /// URIs, certificates and warnings for people.
    public internal(set) var lines: [String] = []
    /// 0, or what a start would end with.
    public internal(set) var exitCode: Int32 = 0
}

extension FrontReport {
    /// Reads everything that a start would read.
    init(_ front: FrontConfiguration, now: Int64) {
        var files = FrontCertificates(front, now: now)
        files.check()
        for listener in front.configuration.edge.listeners {
            uris.append(
                FrontURI.text(
                    listener, port: nil, names: front.names(of: listener), isWebSocket: front.isWebSocket))
        }
        lines = uris.map { "client URI: \($0)" }
        var list: [JSONValue] = []
        for (place, certificate) in files.leaves {
            let end = Timestamp.rfc3339(milliseconds: certificate.notAfter * 1000)
            let names = certificate.dnsNames + certificate.ipAddresses
            list.append([
                "place": .string(place), "subject": .string(certificate.subject), "names": .init(names),
                "notAfter": .string(end), "fingerprint": .string(certificate.fingerprintSHA256),
            ])
            lines.append("\(place): \(certificate.subject), for \(names.joined(separator: ", ")), until \(end)")
        }
        certificates = .array(list)
        lines += files.warnings.map { "warning: \($0)\n    \($0.hint)" }
        problems = files.problems.map(\.lines)
        var problemList = files.problems.map(\.json)
        exitCode = files.problems.isEmpty ? 0 : 6
        if files.problems.isEmpty {
            do {
                let log = Log(minimum: .error)
                _ = try EdgeLoader.load(front.configuration.edge, development: try front.development(now), now: now)
                _ = try FrontTargets.load(front, log: log)
            } catch {
                let text = Agent.lines(of: error)
                problems.append(text)
                problemList.append(["reason": "not_loadable", "message": .string(text.joined(separator: "; "))])
                exitCode = Agent.exitCode(of: error)
            }
        }
        problemsJSON = .array(problemList)
    }
}

extension FrontConfiguration {
    /// The certificates for development that a start would make; nothing is written.
    fileprivate func development(_ now: Int64) throws(CertificateError) -> [String: Credentials] {
        var made: [String: Credentials] = [:]
        for listener in configuration.edge.listeners where listener.wantsDevelopmentCertificate {
            let (names, addresses) = (listener.developmentNames, listener.developmentAddresses)
            made[listener.address.description] = try DevelopmentCertificate.make(
                name: names.first ?? addresses.first ?? "localhost", dnsNames: names, ipAddresses: addresses, now: now
            ).credentials
        }
        return made
    }
}

extension FrontCertificates.Problem {
    /// For programs.
    var json: JSONValue {
        [
            "reason": .string(error.code), "message": .string(error.message), "hint": .string(error.hint),
            "file": error.file.map { .string($0) } ?? .null, "command": command.map { .string($0) } ?? .null,
        ]
    }
}
