import Enrolment
import EventLoop
import Glibc
import JSON
import PKI

/// Sees to it that there is an identity before the agent starts: finishes what an end of power left undone, joins with a token,
/// or lets this node's own CA issue.
@ControlPlane
enum FirstIdentity {
    /// Pauses between two attempts to reach the CA, in nanoseconds: the first and the longest.
    private static let pauses: (first: UInt64, longest: UInt64) = (100_000_000, 5_000_000_000)

    /// Whether the next start will ask for an identity, so that a check cannot find one.
    nonisolated static func isAwaited(_ configuration: Configuration) -> Bool {
        guard configuration.identity.pkcs12 == nil, let files = EnrolmentFiles(configuration), !files.pair.exist else {
            return false
        }
        return configuration.identity.join.tokenFile != nil || configuration.ca.isServed
    }

    /// Prepares the files of `configuration`'s identity.
    static func prepare(_ configuration: Configuration, ca: CAService?, log: Log) async throws {
        guard configuration.identity.pkcs12 == nil, let files = EnrolmentFiles(configuration) else { return }
        try files.pair.finishReplacing()
        guard isAwaited(configuration) else { return try await renewExpired(configuration, ca, files, log) }
        try StateDirectory.prepare(configuration.node.stateDirectory)
        for file in [files.pair.certificate, files.pair.key, files.trust] {
            try StateDirectory.prepare(StateDirectory.parent(of: file))
        }
        let key = try files.pair.pendingKey()
        if let ca {
            try await issueOwn(configuration, ca, files, key)
        } else if let token = configuration.identity.join.tokenFile {
            let token = try read(token)
            let (credentials, issued) = try await join(token, key, configuration.identity.join.patience, log)
            try files.write(credentials, issued, address: token.address)
        }
        log.info(
            "joined", "this node has got its first certificate", [("certificate", .string(files.pair.certificate))])
    }

    private static func read(_ file: String) throws -> JoinToken {
        var text = try SafeFile.readSecret(file, limit: JoinToken.sizeLimit + 64)
        defer { text.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        return try JoinToken(parsing: text)
    }

    private static func issueOwn(
        _ configuration: Configuration, _ ca: CAService, _ files: EnrolmentFiles, _ key: PrivateKey
    ) async throws {
        guard let node = configuration.node.name else {
            throw StartFailure(
                exitCode: 78, lines: ["node.name: the CA's own node needs a name for its first certificate"],
                hint: "set node.name")
        }
        let now = Clock.unixSeconds()
        let issued = try await ca.ask { core in try core.issuer.admitOwn(node, key: key, now: now) }
        let credentials = try issued.credentials(for: node, key: key, now: now)
        try files.write(credentials, issued, address: ca.facts.address)
    }

    /// An identity that ended while this host was off: the CA may still renew it. Where it does not, the start says what is
    /// wrong with the certificate.
    private static func renewExpired(
        _ configuration: Configuration, _ ca: CAService?, _ files: EnrolmentFiles, _ log: Log
    ) async throws {
        let renew = configuration.identity.renew
        guard files.pair.exist, renew.enabled, configuration.identity.passphraseFile == nil,
            let address = renew.address?.description ?? files.rememberedAddress,
            let present = try? Credentials.load(certificateFile: files.pair.certificate, keyFile: files.pair.key),
            present.leaf.notAfter <= Clock.unixSeconds(),
            let identity = present.leaf.spiffeURIs.first.flatMap({ try? SPIFFEID(parsing: $0) }),
            let node = identity.nodeName, let trust = try? TrustBundle.load(file: files.trust)
        else { return }
        log.warning(
            "identity_expired", "the node's certificate has ended; the CA is asked for the next one",
            [("ends", .string(UTCTime.text(present.leaf.notAfter))), ("ca", .string(address))])
        // The CA's own node has nobody to wait for.
        if let ca { return try await issueOwn(configuration, ca, files, files.pair.pendingKey()) }
        do {
            let key = try files.pair.pendingKey()
            let next = try await patiently(configuration.identity.join.patience, address, log) {
                () async throws(EnrolmentError) in
                try await EnrolmentClient.renew(
                    present, node: node, trustDomain: identity.trustDomain, address: address, trust: trust, key: key)
            }
            _ = try files.renew(by: next.credentials, next.issued)
        } catch {
            log.error("renewal_failed", "the certificate was not renewed", [("detail", .string("\(error)"))])
        }
    }

    private static func join(
        _ token: JoinToken, _ key: PrivateKey, _ patience: Duration, _ log: Log
    ) async throws(EnrolmentError) -> (Credentials, IssuedIdentity) {
        try await patiently(patience, token.address, log) { () async throws(EnrolmentError) in
            let (credentials, issued) = try await EnrolmentClient.join(token, key: key)
            return (credentials, issued)
        }
    }

    /// Asks until the CA answers; what it refuses is refused.
    private static func patiently<Answer: Sendable>(
        _ patience: Duration, _ address: String, _ log: Log,
        _ ask: @ControlPlane () async throws(EnrolmentError) -> Answer
    ) async throws(EnrolmentError) -> Answer {
        let deadline = Clock.monotonicNanoseconds() + patience.nanoseconds
        var pause = pauses.first
        while true {
            do throws(EnrolmentError) {
                return try await ask()
            } catch {
                guard error.isTemporary, Clock.monotonicNanoseconds() + pause < deadline else { throw error }
                log.warning(
                    "join_delayed", "the CA does not answer yet",
                    [("ca", .string(address)), ("reason", .string(error.code)), ("detail", .string(error.message))])
                await ControlPlane.sleep(nanoseconds: UInt64.random(in: pause / 2...pause))
                pause = min(pause * 2, pauses.longest)
            }
        }
    }
}
