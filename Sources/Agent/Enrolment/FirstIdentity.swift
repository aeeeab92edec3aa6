import Enrolment
import EventLoop
import Glibc
import JSON
import PKI
import TLS

/// Sees to it that there is an identity before the agent starts: finishes what an end of power left undone, joins with a token,
/// or lets this node's own CA issue.
@ControlPlane
enum FirstIdentity {
    /// Pauses between two attempts to reach the CA, in nanoseconds: the first and the longest.
    private static let pauses: (first: UInt64, longest: UInt64) = (100_000_000, 5_000_000_000)

    /// What to do about a token that is not there.
    nonisolated static let tokenHint =
        "make a token on the CA's node and put it there: mesh ca token create --node NODE --out FILE"

    /// Whether the next start will ask for an identity, so that a check cannot find one.
    nonisolated static func isAwaited(_ configuration: Configuration) -> Bool {
        guard configuration.identity.pkcs12 == nil, let files = EnrolmentFiles(configuration), !files.pair.exist else {
            return false
        }
        return configuration.identity.join.tokenFile != nil || configuration.ca.isServed
    }

    /// Prepares the files of `configuration`'s identity.
    static func prepare(_ configuration: Configuration, ca: CAService?, log: Log) async throws {
        guard configuration.identity.pkcs12 == nil, let files = try EnrolmentFiles.opened(configuration) else { return }
        try files.pair.finishReplacing()
        guard isAwaited(configuration) else {
            return try await IdentityRecovery(configuration: configuration, ca: ca, files: files, log: log).run()
        }
        let invitation = ca == nil ? try invitation(configuration, files) : nil
        try StateDirectory.prepare(configuration.node.stateDirectory)
        for file in [files.pair.certificate, files.pair.key, files.trust] {
            try StateDirectory.prepare(StateDirectory.parent(of: file))
        }
        let key = try files.pair.pendingKey()
        if let ca {
            try await issueOwn(configuration, ca, files, key)
        } else if let (token, place) = invitation {
            let (credentials, issued) = try await join(
                token, key, configuration.identity.join.patience, configuration.tls.enrolmentTerms, log)
            try files.write(
                credentials, issued, address: token.address, token: token, addsRoots: place?.isAuthority != true)
        }
        log.info(
            "joined", "this node has got its first certificate", [("certificate", .string(files.pair.certificate))])
    }

    /// The token of the file that `configuration` names; nil where it names none. The names are compared here, since what the
    /// CA hears uses the token up.
    ///
    /// Errors: those of the file and of the token; `StartFailure` where it is another node's.
    nonisolated static func token(_ configuration: Configuration) throws -> JoinToken? {
        guard let file = configuration.identity.join.tokenFile else { return nil }
        var text = try SafeFile.readSecret(
            file, limit: JoinToken.sizeLimit + 64, missing: tokenHint)
        defer { text.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        let token = try JoinToken(parsing: text)
        if let name = configuration.node.name, name != token.node {
            throw StartFailure(
                exitCode: 78, lines: ["node.name is \(name), and the join token in \(file) is for \(token.node)"],
                hint: "correct node.name, or make a token for it: mesh ca token create --node \(name); "
                    + "this one was not used")
        }
        return token
    }

    /// The token for the first certificate, and where the roots that come with it go; nil where none is named. These are compared
    /// before the CA hears of the token and before anything is written.
    ///
    /// Errors: those of `token(_:)`; `other_mesh`, and those of the file.
    private nonisolated static func invitation(
        _ configuration: Configuration, _ files: EnrolmentFiles
    ) throws -> (token: JoinToken, place: JoinPlace?)? {
        guard let token = try token(configuration) else { return nil }
        let place = try JoinPlace(configuration, files)
        try place?.check(token, trustDomain: nil)
        return (token, place)
    }

    /// What would keep the next start from getting its first identity beside missing files, as far as that can be told without
    /// asking the CA.
    nonisolated static func problems(_ configuration: Configuration, beside missing: MissingFiles) -> [String] {
        do {
            if configuration.ca.isServed {
                _ = try ownName(configuration)
            } else if let files = EnrolmentFiles(configuration) {
                _ = try invitation(configuration, files)
            }
            return []
        } catch {
            return missing.lines(of: error)
        }
    }

    private nonisolated static func ownName(_ configuration: Configuration) throws(StartFailure) -> String {
        if let node = configuration.node.name { return node }
        throw StartFailure(
            exitCode: 78, lines: ["node.name: the CA's own node needs a name for its first certificate"],
            hint: "set node.name")
    }

    /// Lets this node's own CA issue.
    static func issueOwn(
        _ configuration: Configuration, _ ca: CAService, _ files: EnrolmentFiles, _ key: PrivateKey
    ) async throws {
        let node = try ownName(configuration)
        let now = Clock.unixSeconds()
        let issued = try await ca.ask { core in try core.issuer.admitOwn(node, key: key, now: now) }
        let credentials = try issued.credentials(for: node, key: key, now: now)
        try files.write(credentials, issued, address: ca.facts.address)
    }

    /// Joins with a token under the terms of enrolment; asks for as long as `patience`.
    static func join(
        _ token: JoinToken, _ key: PrivateKey, _ patience: Duration, _ terms: TLSTerms, _ log: Log
    ) async throws(EnrolmentError) -> (Credentials, IssuedIdentity) {
        try await patiently(patience, token.address, log) { () async throws(EnrolmentError) in
            let (credentials, issued) = try await EnrolmentClient.join(token, key: key, under: terms)
            return (credentials, issued)
        }
    }

    /// Asks until the CA answers; what it refuses is refused.
    static func patiently<Answer: Sendable>(
        _ patience: Duration, _ address: String, _ log: Log,
        _ ask: @ControlPlane () async throws(EnrolmentError) -> Answer
    ) async throws(EnrolmentError) -> Answer {
        let deadline = Clock.monotonicNanoseconds() + patience.nanoseconds
        var pause = pauses.first
        while true {
            do throws(EnrolmentError) {
                return try await ask()
            } catch {
                guard error.isTemporary, !Task.isCancelled, Clock.monotonicNanoseconds() + pause < deadline else {
                    throw error
                }
                log.warning(
                    "join_delayed", "the CA gives no certificate yet; it is asked again",
                    [
                        ("ca", .string(address)), ("reason", .string(error.code)), ("detail", .string(error.message)),
                        ("hint", .string(error.hint)),
                    ])
                await ControlPlane.sleep(nanoseconds: UInt64.random(in: pause / 2...pause))
                guard !Task.isCancelled else { throw error }
                pause = min(pause * 2, pauses.longest)
            }
        }
    }
}
