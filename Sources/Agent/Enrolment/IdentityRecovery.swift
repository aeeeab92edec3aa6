import Arguments
import Documents
import Enrolment
import EventLoop
import JSON
import PKI
import Policy

/// A start with an identity that is of no use any more: it ended while this host was off, the mesh has revoked it, or it has
/// another root by now.
///
/// An ended one the CA may still renew. Where it does not, and for a revoked one, the token of `identity.join.tokenFile` is
/// tried: a fresh one is the way back. The one by which the node has joined is of no use, and the CA is not asked with it.
@ControlPlane
struct IdentityRecovery {
    let configuration: Configuration
    let ca: CAService?
    let files: EnrolmentFiles
    let log: Log

    /// What is stored.
    private struct Stored {
        let credentials: Credentials
        let node: String
        let trustDomain: String

        var end: String { UTCTime.text(credentials.leaf.notAfter) }
    }

    /// Does what can be done; does nothing for an identity that is good, or that the CA has not issued.
    ///
    /// Errors: `EnrolmentError` where the CA could not be asked; `StartFailure` where there is no way but a fresh token.
    func run() async throws {
        guard let stored = stored() else { return }
        if stored.credentials.leaf.notAfter <= Clock.unixSeconds() {
            try await recover(stored)
        } else if isRevoked(stored) {
            await replaceRevoked(stored)
        } else if isBelowRetiredRoot(stored) {
            await replaceRetired(stored)
        } else if hasTokenOfAnotherRoot(stored) {
            await useToken(
                stored, "this node does not know the root of the token in its file, and has not got another identity")
        }
    }

    private func stored() -> Stored? {
        guard files.pair.exist,
            let present = try? Credentials.load(
                certificateFile: files.pair.certificate, keyFile: files.pair.key, passphrase: files.pair.passphrase),
            let identity = present.leaf.spiffeURIs.first.flatMap({ try? SPIFFEID(parsing: $0) }),
            let node = identity.nodeName
        else { return nil }
        return Stored(credentials: present, node: node, trustDomain: identity.trustDomain)
    }

    // MARK: - Ended

    private func recover(_ stored: Stored) async throws {
        let renew = configuration.identity.renew
        let address = renew.enabled ? renew.address?.description ?? files.rememberedAddress : nil
        let tokenFile = configuration.identity.join.tokenFile
        // Somebody else looks after this identity; the start says what is wrong with it.
        guard ca != nil || address != nil || tokenFile != nil else { return }
        log.warning(
            "identity_expired", "the node's certificate has ended; the CA is asked for the next one",
            [("ends", .string(stored.end)), ("ca", .string(address ?? "that of the token"))])
        // The CA's own node has nobody to wait for.
        if let ca {
            return try await FirstIdentity.issueOwn(configuration, ca, files, files.pair.pendingKey())
        }
        let ago = UTCTime.duration(Clock.unixSeconds() - stored.credentials.leaf.notAfter)
        var lines = ["the certificate of node \(stored.node) ended \(ago) ago, on \(stored.end)"]
        var delay: EnrolmentError?
        if let address {
            do {
                return try await renewed(stored, at: address, configuration.identity.join.patience)
            } catch {
                log.error("renewal_failed", "the certificate was not renewed", [("detail", .string("\(error)"))])
                lines.append("it was not renewed: \(error)")
                if (error as? EnrolmentError)?.reason == .notAuthenticated {
                    lines.append(
                        "the CA renews a certificate that has ended for a while only (ca.renewExpiredFor at its node, 7d unless "
                            + "set), and after that admits the node with a new token only")
                }
                delay = (error as? EnrolmentError).flatMap { $0.isTemporary ? $0 : nil }
            }
        }
        if let tokenFile {
            do {
                // Who did not answer just now is not asked once more.
                if let token = try FirstIdentity.token(configuration), delay == nil || token.address != address {
                    return try await join(stored, token, configuration.identity.join.patience)
                }
            } catch let error as EnrolmentError where error.isTemporary {
                delay = error
            } catch {
                lines.append("the token in \(tokenFile) does not help: \(Agent.lines(of: error)[0])")
            }
        }
        if let delay { throw delay }
        throw StartFailure(exitCode: 6, lines: lines, hint: Self.hint(configuration, node: stored.node))
    }

    private func renewed(_ stored: Stored, at address: String, _ patience: Duration) async throws {
        let trust = try TrustBundle.load(file: files.trust).applying(rootList(stored))
        let key = try files.pair.pendingKey()
        let terms = try configuration.tls.enrolmentTerms
        let next = try await FirstIdentity.patiently(patience, address, log) {
            () async throws(EnrolmentError) in
            try await EnrolmentClient.renew(
                stored.credentials, node: stored.node, trustDomain: stored.trustDomain, address: address,
                trust: trust, key: key, under: terms)
        }
        _ = try files.renew(by: next.credentials, next.issued)
    }

    private func join(
        _ stored: Stored, _ token: JoinToken, _ patience: Duration, isRunning: Bool = false,
        mayWrite: () -> Bool = { true }
    ) async throws {
        guard token.node == stored.node else {
            throw StartFailure(exitCode: 78, lines: ["it is for node \(token.node)"])
        }
        if files.cameBy(token) {
            throw used("the token is the one by which this node has joined, and works once only", stored, isRunning)
        }
        let prepared = try await Task.detached { [pair = files.pair] in try pair.preparedKey() }.value
        guard mayWrite() else { throw CancellationError() }
        let key = try files.pair.keep(prepared)
        let credentials: Credentials
        let issued: IssuedIdentity
        do {
            (credentials, issued) = try await FirstIdentity.join(
                token, key, patience, configuration.tls.enrolmentTerms, log)
        } catch let error as EnrolmentError where error.reason == .tokenUsed {
            // A version before this one did not remember it.
            throw used(
                "the token was used already, by this node when it joined unless somebody else had it (mesh ca nodes)",
                stored, isRunning)
        }
        guard mayWrite() else { throw CancellationError() }
        try files.write(credentials, issued, address: token.address, token: token)
        log.info(
            "joined", "this node has got another certificate with a token",
            [("certificate", .string(files.pair.certificate))])
    }

    private func used(_ what: String, _ stored: Stored, _ isRunning: Bool) -> EnrolmentError {
        EnrolmentError(
            .tokenUsed, what, hint: Self.hint(configuration, node: stored.node, isRunning: isRunning))
    }

    /// The way back for a node whose certificate has ended beyond renewal, or is revoked.
    ///
    /// - Parameter isRunning: the agent runs, and looks at the file of its token by itself.
    nonisolated static func hint(
        _ configuration: Configuration, node: String, isRunning: Bool = false
    ) -> String {
        let made = "make a fresh token on the CA's node (mesh ca token create --node \(node) --out FILE)"
        if let file = configuration.identity.join.tokenFile {
            return "\(made), put it into \(file)"
                + (isRunning ? ": the agent tries it within seconds" : " and start again")
        }
        guard let certificate = configuration.identity.certificate, certificate.hasSuffix("/\(node).crt") else {
            return "\(made), name it in identity.join.tokenFile and start again"
        }
        let directory = ShellWord.quoted(StateDirectory.parent(of: certificate))
        return "\(made), join anew here (mesh join --token-file FILE --out \(directory) --force) and start again"
    }

    // MARK: - Revoked

    /// Whether the documents that this node knew at its end revoke it.
    private func isRevoked(_ stored: Stored) -> Bool {
        guard let documents = try? DocumentStore(stateDirectory: configuration.node.stateDirectory).load() else {
            return false
        }
        func payload(_ kind: DocumentKind) -> [UInt8]? {
            documents.first { $0.document.kind == kind }?.document.payload
        }
        guard let revocations = payload(.revocations).flatMap({ try? RevocationSet(payload: $0) }) else { return false }
        let policy =
            payload(.policy).flatMap { try? PolicyDocument.parse($0, file: "policy") }
            ?? (try? PolicyLoading.load(configuration)) ?? .empty
        return RevocationCheck(revocations: revocations, policy: policy).entry(for: stored.credentials.chain) != nil
    }

    /// Tries the token once. A revoked node runs on where that fails: its peers refuse it, and its log says so.
    private func replaceRevoked(_ stored: Stored) async {
        await useToken(stored, Self.revokedText)
    }

    nonisolated static let revokedText = "this node's certificate is revoked, and the token brought no other one"

    /// Joins anew with `token`, in a running agent whose identity is revoked; false where no identity is stored that the CA could
    /// have issued. Nothing is changed before the CA's answer is here.
    ///
    /// - Parameter mayWrite: false where another process has the files by now: then nothing is written, and that one asks with the
    ///   same key.
    ///
    /// Errors: those of `FirstIdentity.join`; `StartFailure` where the token is another node's; those of the files;
    /// `CancellationError` where nothing may be written.
    func rejoin(_ token: JoinToken, mayWrite: () -> Bool) async throws -> Bool {
        guard let stored = stored() else { return false }
        try await join(stored, token, .zero, isRunning: true, mayWrite: mayWrite)
        return true
    }

    private func useToken(_ stored: Stored, _ failure: String) async {
        do {
            guard ca == nil, let token = try FirstIdentity.token(configuration) else { return }
            try await join(stored, token, .zero)
        } catch {
            log.warning(
                "rejoin_failed", failure,
                [
                    ("detail", .string(Agent.lines(of: error)[0])),
                    ("hint", .string(Self.hint(configuration, node: stored.node))),
                ])
        }
    }

    // MARK: - Another root

    /// The list of roots that this node knew at its end.
    private func rootList(_ stored: Stored) -> RootList? {
        let store = DocumentStore(stateDirectory: configuration.node.stateDirectory)
        return store.storedRoots.flatMap { try? RootList(payload: $0.payload, trustDomain: stored.trustDomain) }
    }

    private func isBelowRetiredRoot(_ stored: Stored) -> Bool {
        guard let last = stored.credentials.chain.last else { return false }
        return rootList(stored)?.retired.contains { last == $0 || last.isBelow($0) } ?? false
    }

    /// The CA is asked once, then the token. Where neither helps the agent starts all the same, as long as nodes below that root may
    /// come back: it links for documents only, and goes on asking.
    private func replaceRetired(_ stored: Stored) async {
        let renew = configuration.identity.renew
        if let ca {
            try? await FirstIdentity.issueOwn(configuration, ca, files, files.pair.pendingKey())
            return
        }
        if renew.enabled, let address = renew.address?.description ?? files.rememberedAddress {
            do {
                return try await renewed(stored, at: address, .zero)
            } catch {
                log.error("renewal_failed", "the certificate was not renewed", [("detail", .string("\(error)"))])
            }
        }
        await useToken(stored, "the root of this node's certificate is retired, and the token brought no other one")
    }

    /// A token whose root neither the files nor the list of roots name: the mesh has gone on without this node, and somebody
    /// wants it back.
    private func hasTokenOfAnotherRoot(_ stored: Stored) -> Bool {
        guard ca == nil, let token = try? FirstIdentity.token(configuration),
            let known = try? TrustBundle.load(file: files.trust)
        else { return false }
        let roots = known.roots + (rootList(stored)?.entries.map(\.certificate) ?? [])
        return !roots.contains { $0.fingerprintSHA256 == token.fingerprint }
    }
}
