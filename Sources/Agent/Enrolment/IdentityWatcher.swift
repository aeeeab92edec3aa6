import EventLoop
import JSON
import PKI

/// Looks after the files of the identity, whoever writes them: certbot, Vault, SPIRE's helpers, an operator.
///
/// The kernel tells of changes in the directories that lead to the files, also behind symlinks; and where it cannot (network
/// file systems), the files are looked at now and then. A new set is taken over when it is good as a whole; until then, and
/// where it never is, the old one stays in use.
@ControlPlane
final class IdentityWatcher: TimerHandler {
    /// How long files must be left alone before they are read, in nanoseconds: writers change one after the other.
    private static let settleTime: UInt64 = 200_000_000
    /// Tries before a set that is not good together is reported: meanwhile its writer may go on.
    private static let attempts = 5

    private static let pollTag = 0
    private static let settleTag = 1

    private unowned let agent: Agent
    private var watch: DirectoryWatch?
    private var pollTimer: TimerID?
    private var settleTimer: TimerID?
    private var seen: [String: FileStamp?] = [:]
    private var failures = 0
    private var isStopped = false
    /// Changes by result.
    private(set) var counts: [String: UInt64] = ["applied": 0, "refused": 0]

    init(agent: Agent) { self.agent = agent }

    private var files: [String] {
        let configuration = agent.configuration
        let identity = configuration.identity
        let own = [identity.certificate, identity.key, identity.pkcs12, identity.passphraseFile].compactMap { $0 }
        return own + configuration.trust.servers + configuration.trust.clients
    }

    /// Begins, and goes on after a change of configuration: what is there now counts as read.
    func update() {
        guard !isStopped else { return }
        seen = stamps()
        failures = 0
        watchDirectories()
        poll()
    }

    /// Ends.
    func stop() {
        isStopped = true
        watch?.close()
        watch = nil
        for timer in [pollTimer, settleTimer].compactMap({ $0 }) { ControlPlane.loop.cancel(timer) }
    }

    private func stamps() -> [String: FileStamp?] {
        Dictionary(files.map { ($0, FileStamp($0)) }, uniquingKeysWith: { first, _ in first })
    }

    private func watchDirectories() {
        do throws(SystemError) {
            if watch == nil {
                watch = try DirectoryWatch(loop: ControlPlane.loop) { [weak self] in
                    ControlPlane.assumeIsolated { self?.settle() }
                }
            }
            watch?.set(Set(files.flatMap { SymbolicLinks.directories(on: $0) }))
        } catch {
            agent.log.warning(
                "identity_not_watched", "the kernel does not tell of changes; files are looked at now and then",
                [("detail", .string("\(error)"))])
        }
    }

    private func poll() {
        if let pollTimer { ControlPlane.loop.cancel(pollTimer) }
        let interval = agent.configuration.identity.renew.pollInterval.nanoseconds
        pollTimer = ControlPlane.loop.schedule(after: interval, self, tag: Self.pollTag)
    }

    private func settle() {
        guard !isStopped else { return }
        if let settleTimer { ControlPlane.loop.cancel(settleTimer) }
        settleTimer = ControlPlane.loop.schedule(after: Self.settleTime << UInt64(failures), self, tag: Self.settleTag)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            guard !isStopped else { return }
            if tag == Self.pollTag { poll() } else { settleTimer = nil }
            look()
        }
    }

    private func look() {
        let now = stamps()
        guard now != seen, !agent.isDraining else { return }
        switch agent.reloadIdentity(by: "changed files") {
        case .applied(let changes, _, _):
            if !changes.isEmpty {
                counts["applied", default: 0] += 1
                agent.renewal.update()
            }
            update()
        case .failed(let lines):
            failures += 1
            guard failures >= Self.attempts else { return settle() }
            failures = 0
            seen = now
            counts["refused", default: 0] += 1
            agent.log.error(
                "identity_refused", "the changed files of the identity are not good; the old ones stay in use",
                [("detail", .string(lines.joined(separator: "; ")))])
        }
    }
}
