import Documents
import Enrolment
import EventLoop
import JSON
import PKI

/// Renews the node's certificate at the mesh's CA, and warns where an identity comes to its end.
@ControlPlane
final class IdentityRenewal: TimerHandler {
    /// The longest sleep of the timer, in nanoseconds. It does not count while the host sleeps, so the clock on the wall is
    /// looked at again and again.
    private static let longestSleep: UInt64 = 30_000_000_000

    /// A certificate below another root that is waited for.
    private struct AwaitedRoot: Equatable {
        /// The root's key.
        let key: String
        /// The present certificate is of no use.
        let isUrgent: Bool
        /// The present certificate.
        let certificate: String
    }

    private unowned let agent: Agent
    private var timer: TimerID?
    private var isStopped = false
    /// The CA is being asked.
    private(set) var isAsking = false
    private var failures = 0
    /// The certificate that the following belongs to.
    private var fingerprint = ""
    private var chance = 0.5
    private var retryAt: Int64?
    /// When the last attempt failed, unix milliseconds.
    private var failedAt: Int64 = 0
    /// When to ask for a certificate under the active root, unix milliseconds; nil where this one is.
    private var rootDue: Int64?
    /// For what that was decided.
    private var rootAwaited: AwaitedRoot?
    /// The smallest warning that was given, in seconds before the end.
    private var warned = Int64.max
    /// Renewals by result.
    private(set) var counts: [String: UInt64] = ["renewed": 0]
    /// Why the last attempt failed; nil after one that did not.
    private(set) var lastError: EnrolmentError?

    init(agent: Agent) { self.agent = agent }

    /// Where the CA is; nil where nobody renews this identity here.
    private var address: String? {
        let identity = agent.configuration.identity
        guard identity.renew.enabled, identity.pkcs12 == nil else { return nil }
        return identity.renew.address?.description ?? EnrolmentFiles(agent.configuration)?.rememberedAddress
    }

    private var schedule: RenewalSchedule {
        let leaf = agent.identity.credentials.leaf
        return RenewalSchedule(
            notBefore: leaf.notBefore, notAfter: leaf.notAfter,
            absence: agent.configuration.identity.renew.caAbsence?.components.seconds)
    }

    /// When renewal is due, in unix milliseconds; nil where there is none.
    var due: Int64? {
        address.map { _ in
            let due = retryAt ?? schedule.due(chance: chance)
            return retryAt == nil ? min(due, rootDue ?? due) : due
        }
    }

    /// The longest time over which nodes spread their renewals after a change of root, in milliseconds.
    private nonisolated static let longestSpread: Int64 = 600_000

    /// Within how many milliseconds after a change of root a node renews a certificate that lives so many seconds.
    nonisolated static func spread(lifetime: Int64) -> Int64 { min(longestSpread, lifetime * 1000 / 20) }

    /// The list of roots has changed: a certificate below another root than the active one is renewed early, soon enough that a
    /// rotation comes to its end, and not by all nodes at once; below a retired one at once.
    func rootsChanged() {
        if agent.ownRootState == .retired { retryAt = nil }
        awaitRoot()
        wait()
    }

    /// The shortest time between two attempts where the CA may answer otherwise than it did, in milliseconds: links can come and go.
    private static let shortestPause: Int64 = 10_000

    /// A link has come back, or this node is not revoked any more. What the CA refused because of a revocation is asked for again
    /// soon, not after the pause for what only somebody's doing changes: that is longer than a rotation of roots takes.
    func reconsider() {
        guard let reason = lastError?.reason, [.revoked, .notAuthenticated].contains(reason), let next = retryAt else {
            return
        }
        retryAt = min(next, failedAt + Self.shortestPause)
        wait()
    }

    private func awaitRoot() {
        let ledger = agent.documents.ledger
        guard let list = ledger.rootList, let document = ledger.documents[.trust], let state = agent.ownRootState,
            state != .active
        else {
            (rootDue, rootAwaited) = (nil, nil)
            return
        }
        let next = AwaitedRoot(key: list.active.spkiSHA256, isUrgent: state == .retired, certificate: fingerprint)
        guard next != rootAwaited else { return }
        let isAgain = rootAwaited.map { $0.key == next.key && $0.isUrgent == next.isUrgent } ?? false
        let now = Clock.unixMilliseconds()
        rootDue =
            next.isUrgent && !isAgain
            ? now
            : RenewalSchedule.rootDue(
                listed: document.issued * 1000, now: now, window: Self.spread(lifetime: schedule.lifetime),
                isAgain: isAgain, chance: .random(in: 0...1))
        rootAwaited = next
    }

    /// Begins, and goes on after a change of identity or configuration.
    func update() {
        let leaf = agent.identity.credentials.leaf
        if leaf.fingerprintSHA256 != fingerprint {
            fingerprint = leaf.fingerprintSHA256
            chance = .random(in: 0...1)
            retryAt = nil
            failures = 0
            lastError = nil
            warned = .max
            if address != nil, schedule.isTooShortForAbsence {
                agent.log.warning(
                    "ca_absence_too_long", "certificates live too short for identity.renew.caAbsence",
                    [("lifetimeSeconds", .integer(schedule.lifetime))])
            }
        }
        awaitRoot()
        wait()
    }

    /// Ends.
    func stop() {
        isStopped = true
        cancel()
    }

    /// Writes nothing, while another process may do so.
    func suspend() {
        isStopped = true
        cancel()
    }

    /// Goes on after that.
    func resume() {
        isStopped = false
        update()
    }

    private func cancel() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }

    private func wait() {
        cancel()
        guard !isStopped else { return }
        let now = Clock.unixMilliseconds()
        var sleep = Self.longestSleep
        if let due, !isAsking, !agent.revokedIdentity.isAsking {
            sleep = min(sleep, UInt64(max(0, due - now)) * Clock.millisecond)
        }
        let left = agent.identity.credentials.leaf.notAfter * 1000 - now
        if let mark = nextWarning { sleep = min(sleep, UInt64(max(0, left - mark * 1000)) * Clock.millisecond) }
        timer = ControlPlane.loop.schedule(after: sleep, self, tag: 0)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            warn()
            if let due, !isAsking, !agent.revokedIdentity.isAsking, due <= Clock.unixMilliseconds(), let address {
                renew(at: address)
            }
            wait()
        }
    }

    // MARK: - Renewal

    private func renew(at address: String) {
        guard let domain = agent.identity.trustDomain else { return }
        isAsking = true
        let present = agent.identity
        Task { @ControlPlane in
            do {
                guard !isStopped, let files = try EnrolmentFiles.opened(agent.configuration) else {
                    return isAsking = false
                }
                // What an end of power or of rights left undone must not meet another key.
                try files.pair.finishReplacing()
                // An encrypted key takes a fifth of a second, for which nothing here need wait.
                let prepared = try await Task.detached { try files.pair.preparedKey() }.value
                guard !isStopped else { return isAsking = false }
                let key = try files.pair.keep(prepared)
                let next = try await EnrolmentClient.renew(
                    present.credentials, node: present.node, trustDomain: domain, address: address,
                    trust: present.servers, key: key, under: agent.configuration.tls.enrolmentTerms)
                isAsking = false
                // Another process may write by now; it asks with the same key. The passphrase may be another one by now.
                guard !isStopped, let files = try EnrolmentFiles.opened(agent.configuration) else { return }
                let added = try files.renew(by: next.credentials, next.issued)
                noteRoots(added, files.trust)
                guard !isStopped else { return }
                if case .failed(let lines) = agent.reloadIdentity(by: "renewal") {
                    throw EnrolmentError(
                        .badCertificate, lines.joined(separator: "; "), hint: "look at the files of the identity")
                }
                agent.identityWatcher.foundGood()
                counts["renewed", default: 0] += 1
                lastError = nil
            } catch {
                isAsking = false
                failed(error)
            }
            update()
        }
    }

    private func noteRoots(_ added: [Certificate], _ file: String) {
        for root in added {
            agent.log.warning(
                "trust_changed", "the CA named another root of this mesh, which is trusted from now on",
                [
                    ("subject", .string(root.subject)), ("fingerprint", .string(root.fingerprintSHA256)),
                    ("file", .string(file)),
                ])
        }
    }

    private func failed(_ error: any Error) {
        let known =
            error as? EnrolmentError
            ?? EnrolmentError(.badCertificate, "\(error)", hint: "look at the rights of the identity's directory")
        failures += 1
        lastError = known
        counts[known.code, default: 0] += 1
        // What the CA refuses it will refuse again until somebody has done something.
        let pause = schedule.pause(attempt: known.isTemporary ? failures : 20, chance: .random(in: 0...1))
        failedAt = Clock.unixMilliseconds()
        retryAt = failedAt + pause
        agent.log.warning(
            "renewal_failed", "the certificate was not renewed; the old one stays in use",
            [
                ("reason", .string(known.code)), ("detail", .string(known.message)), ("hint", .string(known.hint)),
                ("attempt", .init(failures)), ("nextAttemptMilliseconds", .integer(pause)),
                ("ends", .string(UTCTime.text(agent.identity.credentials.leaf.notAfter))),
            ])
        agent.revokedIdentity.look()
    }

    // MARK: - Warnings

    /// The next warning that is due, in seconds before the end; 0 is the end itself.
    private var nextWarning: Int64? { (schedule.warnings + [0]).first { $0 < warned } }

    private func warn() {
        let leaf = agent.identity.credentials.leaf
        let left = leaf.notAfter - Clock.unixSeconds()
        guard let mark = (schedule.warnings + [0]).last(where: { left <= $0 }), mark < warned else { return }
        warned = mark
        let fields: [Log.Field] = [
            ("ends", .string(UTCTime.text(leaf.notAfter))), ("secondsLeft", .integer(max(0, left))),
            ("renewal", .string(address ?? "none")), ("lastError", lastError.map { .string($0.code) } ?? .null),
        ]
        if left <= 0 {
            agent.log.error("identity_expired", "the node's certificate has ended; peers refuse this node", fields)
        } else {
            agent.log.warning("identity_expires_soon", "the node's certificate comes to its end", fields)
        }
    }
}
