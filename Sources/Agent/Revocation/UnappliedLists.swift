import EventLoop
import PKI

/// CRLs that could not be put in force, by where they come from. Each cause is told once; what lies in files is tried again now and
/// then, also where nothing has changed (what was fetched is `ListKeeper`'s to try again).
@ControlPlane
final class UnappliedLists: TimerHandler {
    /// Where CRLs come from.
    enum Source: String, CaseIterable {
        /// `trust.revocation.files`.
        case files
        /// `trust.revocation.urls`.
        case urls
    }

    /// What is wrong, and in which file: texts may name the time, and are others each time.
    private struct Cause: Hashable {
        let reason: CertificateReason
        let file: String?
    }

    /// The longest pause between two tries, in nanoseconds: what is revoked gets in meanwhile.
    static let longestPause: UInt64 = 30 * Clock.second

    private var told: [Source: Set<Cause>] = [:]
    private var timer: TimerID?
    private var isStopped = false
    /// Tries those of files again.
    private let retry: @ControlPlane () -> Void
    /// How often, in nanoseconds.
    private let interval: @ControlPlane () -> UInt64

    /// Nothing is wrong yet.
    init(every interval: @escaping @ControlPlane () -> UInt64, retry: @escaping @ControlPlane () -> Void) {
        self.interval = interval
        self.retry = retry
    }

    /// Whether there are some from there that are not in force.
    func isUnapplied(_ source: Source) -> Bool { told[source] != nil }

    /// They could not be put in force, and are tried again. True where that is news.
    func failed(_ source: Source, _ error: CertificateError) -> Bool {
        if source == .files { schedule() }
        return told[source, default: []].insert(Cause(reason: error.reason, file: error.file)).inserted
    }

    /// There are others, of which nothing is known yet: what is wrong with them is news.
    func changed(_ source: Source) {
        if told[source] != nil { told[source] = [] }
    }

    /// They are in force.
    func applied(_ source: Source) {
        told[source] = nil
        guard source == .files, let timer else { return }
        ControlPlane.loop.cancel(timer)
        self.timer = nil
    }

    /// Ends.
    func stop() {
        isStopped = true
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }

    private func schedule() {
        guard !isStopped, timer == nil else { return }
        timer = ControlPlane.loop.schedule(after: interval(), self, tag: 0)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            guard !isStopped, isUnapplied(.files) else { return }
            retry()
            // Also where nothing could be tried at the moment.
            if isUnapplied(.files) { schedule() }
        }
    }
}
