import Arguments
import EventLoop
import JSON

/// Looks after files that somebody else writes (certbot, Vault, SPIRE's helpers, an operator) and that count together only.
///
/// The kernel tells of changes in the directories that lead to the files, also behind symlinks; and where it cannot (network
/// file systems), the files are looked at now and then. A new set is taken over when it is good as a whole; until then, and
/// where it never is, the old one stays in use. One that was refused is read again now and then, although nothing has changed: what
/// was wrong may have been the time.
@ControlPlane
final class FileSetWatcher: TimerHandler {
    /// What came of reading the files anew.
    enum Outcome {
        /// They are in force; false where nothing that counts is different.
        case applied(isDifferent: Bool)
        /// They are not good together, for these reasons; what was read before stays in force.
        case refused([String])
        /// Nothing may change at the moment; it is tried again.
        case notNow
    }

    /// Which files, and what is done with them.
    struct Subject {
        /// What the log's events begin with: `NAME_refused`, `NAME_not_watched`.
        let name: String
        /// What the files are, for people: "the files of the identity".
        let text: String
        /// The files, as they are configured at the moment.
        let files: @ControlPlane () -> [String]
        /// How often they are looked at without being told, in nanoseconds.
        let pollInterval: @ControlPlane () -> UInt64
        /// Reads them all, and takes them over when they are good.
        let take: @ControlPlane () -> Outcome
    }

    /// A set that is not in use.
    struct Refusal {
        /// When that was found, milliseconds since 1970.
        let at: Int64
        /// Which files, for people.
        let text: String
        /// What is wrong with them.
        let lines: [String]

        /// As the control API shows it.
        var json: JSONValue {
            [
                "at": .string(Timestamp.rfc3339(milliseconds: at)), "files": .string(text),
                "detail": .string(FailureText(lines).line),
            ]
        }
    }

    /// How files were, to see whether they have changed.
    typealias Stamps = [String: FileStamp?]

    /// How long files must be left alone before they are read, in nanoseconds: writers change one after the other.
    private static let settleTime: UInt64 = 200_000_000
    /// Tries before a set that is not good together is reported: meanwhile its writer may go on.
    private static let attempts = 5

    private static let pollTag = 0
    private static let settleTag = 1

    private let subject: Subject
    private let log: Log
    private var watch: DirectoryWatch?
    /// Why the kernel does not tell of changes; nil where it does.
    private var unwatched: SystemError?
    private var pollTimer: TimerID?
    private var settleTimer: TimerID?
    private var seen: Stamps = [:]
    private var failures = 0
    /// What is wrong with the set that is there; nil where it is in use or was not looked at yet.
    private(set) var refusal: Refusal?
    private var isStopped = false
    /// Changes by result.
    private(set) var counts: [String: UInt64] = ["applied": 0, "refused": 0]

    /// What `/metrics` shows of them.
    var samples: [PrometheusWriter.Sample] {
        counts.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["result": $0.key]) }
    }

    init(_ subject: Subject, log: Log) {
        self.subject = subject
        self.log = log
    }

    /// How these files are at the moment.
    static func stamps(of files: [String]) -> Stamps {
        Dictionary(files.map { ($0, FileStamp($0)) }, uniquingKeysWith: { first, _ in first })
    }

    /// Begins, and goes on after a change of configuration.
    ///
    /// - Parameter read: how the files were before they were read; without it what is there now counts as read.
    func update(read: Stamps? = nil) {
        guard !isStopped else { return }
        seen = read ?? Self.stamps(of: subject.files())
        failures = 0
        refusal = nil
        watchDirectories()
        poll()
        // What changed between the reading and the watching nobody tells of.
        if Self.stamps(of: subject.files()) != seen { settle() }
    }

    /// Looks now, without being told.
    ///
    /// - Parameter isPoll: nobody has told of a change; then a set that was refused gets another chance.
    func look(isPoll: Bool = false) {
        guard !isStopped else { return }
        let now = Self.stamps(of: subject.files())
        let isChanged = now != seen
        guard isChanged || isPoll && refusal != nil else { return }
        switch subject.take() {
        case .applied(let isDifferent):
            if isDifferent { counts["applied", default: 0] += 1 }
            update(read: now)
        case .refused(let lines):
            // What nobody has changed since is not told again; what is wrong with it may be something else by now.
            if let refusal { self.refusal = Refusal(at: refusal.at, text: refusal.text, lines: lines) }
            guard isChanged else { return }
            failures += 1
            guard failures >= Self.attempts else { return settle() }
            report(lines, changed: now.keys.filter { now[$0] != seen[$0] }.sorted())
            failures = 0
            seen = now
            refusal = Refusal(at: Clock.unixMilliseconds(), text: subject.text, lines: lines)
        case .notNow: settle()
        }
    }

    /// Somebody else has read the set that is there and put it in force. What has changed since is still looked at.
    func foundGood() { refusal = nil }

    /// Ends.
    func stop() {
        isStopped = true
        watch?.close()
        watch = nil
        for timer in [pollTimer, settleTimer].compactMap({ $0 }) { ControlPlane.loop.cancel(timer) }
        (pollTimer, settleTimer) = (nil, nil)
    }

    private func report(_ lines: [String], changed: [String]) {
        counts["refused", default: 0] += 1
        log.error(
            "\(subject.name)_refused", "\(subject.text) have changed and are not good; the old ones stay in use",
            [("files", .init(changed)), ("detail", .string(lines.joined(separator: "; ")))])
    }

    private func watchDirectories() {
        do throws(SystemError) {
            if watch == nil {
                watch = try DirectoryWatch(loop: ControlPlane.loop) { [weak self] in
                    ControlPlane.assumeIsolated { self?.settle() }
                }
            }
            let failure = watch?.set(Set(subject.files().flatMap { SymbolicLinks.directories(on: $0) }))
            complain(failure)
        } catch {
            complain(error)
        }
    }

    /// Says once why the kernel does not tell of changes, and what mends it.
    private func complain(_ error: SystemError?) {
        defer { unwatched = error }
        guard let error, (error.call, error.errno) != (unwatched?.call, unwatched?.errno) else { return }
        let interval = DurationText.format(.nanoseconds(Int64(clamping: subject.pollInterval())))
        let hint = error.hint.map { "\($0); " } ?? ""
        log.warning(
            "\(subject.name)_not_watched", "the kernel does not tell of changes to \(subject.text)",
            [
                ("detail", .string("\(error)")),
                ("hint", .string("\(hint)meanwhile they are looked at every \(interval), and at a reload")),
            ])
    }

    private func poll() {
        if let pollTimer { ControlPlane.loop.cancel(pollTimer) }
        pollTimer = ControlPlane.loop.schedule(after: subject.pollInterval(), self, tag: Self.pollTag)
    }

    private func settle() {
        guard !isStopped else { return }
        if let settleTimer { ControlPlane.loop.cancel(settleTimer) }
        settleTimer = ControlPlane.loop.schedule(after: Self.settleTime << UInt64(failures), self, tag: Self.settleTag)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            guard !isStopped else { return }
            if tag == Self.pollTag {
                pollTimer = nil
                poll()
            } else {
                settleTimer = nil
            }
            look(isPoll: tag == Self.pollTag)
        }
    }
}
