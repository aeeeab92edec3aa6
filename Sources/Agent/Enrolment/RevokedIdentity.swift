import Documents
import Enrolment
import EventLoop
import JSON
import PKI

/// Whether this node's identity is revoked, as far as the node can know, and the way back while the agent runs: the token of
/// `identity.join.tokenFile`.
///
/// Three can say so. A mesh document is proof. The CA's answer to a renewal counts until it answers otherwise. A peer's refusal is
/// a hint: it counts while no other node links with this one, which one that is revoked does not find. None of them takes anything
/// away here: what is revoked stays in use until the CA has given another certificate.
@ControlPlane
final class RevokedIdentity {
    /// How often the token's file is looked at while the identity is revoked, in nanoseconds.
    private static let lookInterval: UInt64 = 2_000_000_000
    /// The longest pause between two attempts with one token that the CA may take later, in nanoseconds.
    private static let longestPause: UInt64 = 60_000_000_000

    /// Who says that the identity is revoked, and why.
    struct Word {
        /// `documents`, `ca`, or the name of a node.
        let by: String
        /// What was said.
        let reason: String
    }

    private struct Hint {
        let word: Word
        /// The certificate that was meant.
        let fingerprint: String
    }

    /// A token that did not help.
    private struct Refused {
        /// Which one, by its public half.
        let token: [UInt8]
        /// When it may be tried again, on the monotonic clock; nil: never.
        let next: UInt64?
        let pause: UInt64
    }

    private unowned let agent: Agent
    private var hint: Hint?
    private var refused: Refused?
    private var isWatching = false
    /// A certificate is being asked for.
    private(set) var isAsking = false

    init(agent: Agent) { self.agent = agent }

    /// Who says that the identity in use is revoked; nil where nobody does.
    var word: Word? {
        if let entry = agent.ownRevocation { return Word(by: "documents", reason: entry.reason) }
        if let error = agent.renewal.lastError, error.reason == .revoked {
            return Word(by: "ca", reason: error.message)
        }
        guard let hint, hint.fingerprint == fingerprint, agent.supervisor.linkCount == 0 else { return nil }
        return hint.word
    }

    private var fingerprint: String { agent.identity.credentials.leaf.fingerprintSHA256 }

    /// A peer that has proven who it is refused this node, or ended its link, because the node's certificate is revoked.
    func said(by node: String, _ reason: String) {
        if hint?.fingerprint != fingerprint {
            agent.log.warning(
                "identity_said_revoked", "a node says that this node's certificate is revoked",
                [("by", .string(node)), ("why", .string(reason))])
        }
        hint = Hint(word: Word(by: node, reason: reason), fingerprint: fingerprint)
        look()
    }

    /// A node links with this one: what others said before is past.
    func linked() { hint = nil }

    /// Something has changed by which the identity may be revoked.
    func look() {
        guard !isWatching, word != nil else { return }
        isWatching = true
        Task { @ControlPlane [weak self] in
            while let self, self.word != nil, self.agent.exitCode == nil, !self.agent.isHandedOver {
                await self.tryToken()
                await ControlPlane.sleep(nanoseconds: Self.lookInterval)
            }
            self?.isWatching = false
        }
    }

    // MARK: - The way back

    /// Tries the token once; one that the CA may take later again after a pause, others not again.
    private func tryToken() async {
        let configuration = agent.configuration
        guard agent.ca == nil, configuration.identity.pkcs12 == nil, !agent.isDraining, !agent.isFrozen,
            !agent.renewal.isAsking, let token = try? FirstIdentity.token(configuration)
        else { return }
        let key = token.key.publicKey
        var pause = Self.lookInterval
        if let refused, refused.token == key {
            guard let next = refused.next, next <= Clock.monotonicNanoseconds() else { return }
            pause = min(refused.pause * 2, Self.longestPause)
        }
        isAsking = true
        defer {
            isAsking = false
            agent.renewal.update()
        }
        do {
            guard let files = try EnrolmentFiles.opened(configuration) else { return }
            let recovery = IdentityRecovery(configuration: configuration, ca: nil, files: files, log: agent.log)
            guard try await recovery.rejoin(token, mayWrite: { !agent.isFrozen && !agent.isDraining }) else { return }
            if case .failed(let lines) = agent.reloadIdentity(by: "token") {
                throw EnrolmentError(
                    .badCertificate, lines.joined(separator: "; "), hint: "look at the files of the identity")
            }
            agent.identityWatcher.foundGood()
            refused = nil
            agent.renewal.update()
        } catch is CancellationError {
            return
        } catch {
            let isFirst = refused?.token != key
            let known = error as? EnrolmentError
            // A revocation covers what is issued within its margin; the CA takes the token behind that.
            let isLater = known.map { $0.isTemporary || $0.reason == .revoked } ?? false
            refused = Refused(
                token: key, next: isLater ? Clock.monotonicNanoseconds() + pause : nil, pause: pause)
            guard isFirst else { return }
            agent.log.warning(
                "rejoin_failed", IdentityRecovery.revokedText,
                [
                    ("detail", .string(Agent.lines(of: error)[0])), ("again", .bool(isLater)),
                    (
                        "hint",
                        .string(
                            known?.hint
                                ?? IdentityRecovery.hint(configuration, node: agent.shared.node, isRunning: true))
                    ),
                ])
        }
    }
}
