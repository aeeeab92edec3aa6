import Enrolment
import EventLoop
import Glibc
import JSON
import PKI
import TLS

/// Fetches CRLs from the URLs that are configured. They lie in the state directory, where every start and reload reads them; one
/// that is not signed by a CA of the mesh, or older than what is there, never gets so far.
@ControlPlane
final class ListKeeper: TimerHandler {
    /// The longest sleep of the timer, in nanoseconds; it does not count while the host sleeps.
    private static let longestSleep: UInt64 = 30 * Clock.second
    /// How long a list without nextUpdate counts as new, in seconds; also what pauses are measured by while there is none.
    private static let unknownValidity: Int64 = 3600
    /// How long a fetch may take, in nanoseconds: lists can have megabytes.
    private static let timeout: UInt64 = 60 * Clock.second
    /// The shortest pause between two fetches, in milliseconds.
    private static let shortestPause: Int64 = 500

    private final class Entry {
        let url: FetchURL
        var list: CertificateRevocationList?
        var fetch: HTTPFetch?
        var isAsking = false
        var failures = 0
        /// When it is fetched, unix milliseconds.
        var due: Int64 = 0
        /// When the server last had a good list, unix seconds; nil for not since the start.
        var confirmed: Int64?

        init(_ url: FetchURL) { self.url = url }
    }

    private let log: Log
    private let directory: String
    private let parts = ChannelLoop(ControlPlane.loop)
    private var entries: [String: Entry] = [:]
    /// Who may have signed a list: the CAs of the mesh that this node knows.
    private var issuers: [Certificate] = []
    /// What may be negotiated with servers that speak TLS.
    private var profile = TLSProfile.intermediate
    private var timer: TimerID?
    private var isStopped = false
    /// Another process of this node takes over: it fetches and writes from now on.
    private var isSuspended = false
    /// Fetches by what came of them.
    private(set) var fetches: [String: UInt64] = [:]
    /// There is another list on disk. False where it could not be put in force; then it is tried again.
    var changed: @ControlPlane () -> Bool = { true }
    /// A list was fetched and is not in force yet.
    private var isUnapplied = false

    init(stateDirectory: String, log: Log) {
        self.log = log
        directory = Self.directory(stateDirectory)
    }

    /// When each URL last gave a good list, new or not, in unix seconds.
    var confirmations: [(url: String, time: Int64)] {
        entries.values.compactMap { entry in entry.confirmed.map { (entry.url.text, $0) } }.sorted { $0.0 < $1.0 }
    }

    private nonisolated static func directory(_ stateDirectory: String) -> String { stateDirectory + "/crl" }

    private nonisolated static func path(_ url: String, _ directory: String) -> String {
        "\(directory)/\(CertificateRevocationList.fileName(for: url))"
    }

    /// The lists of a configuration that have been fetched already. One that cannot be used is fetched again.
    nonisolated static func stored(_ configuration: Configuration) -> [CertificateRevocationList] {
        let directory = directory(configuration.node.stateDirectory)
        return configuration.trust.revocationURLs.flatMap { url in
            (try? CertificateRevocationList.load(file: path(url, directory))) ?? []
        }
    }

    /// The same in a running agent, which has them in force already: one that is there and cannot be read at the moment is not as good
    /// as none.
    ///
    /// Errors: `unreadable_file`.
    nonisolated static func readable(
        _ configuration: Configuration
    ) throws(CertificateError) -> [CertificateRevocationList] {
        let directory = directory(configuration.node.stateDirectory)
        var lists: [CertificateRevocationList] = []
        for url in configuration.trust.revocationURLs {
            do throws(CertificateError) {
                lists += try CertificateRevocationList.load(file: path(url, directory))
            } catch {
                // Damaged ones are fetched again.
                if error.reason == .unreadableFile, !error.isMissingFile { throw error }
            }
        }
        return lists
    }

    /// Fetches from these URLs from now on.
    func update(_ urls: [String], issuers: [Certificate], under profile: TLSProfile) {
        self.issuers = issuers
        self.profile = profile
        var next: [String: Entry] = [:]
        for url in urls.compactMap({ FetchURL($0) }) {
            let entry = entries[url.text] ?? Entry(url)
            if entry.list == nil { restore(entry) }
            next[url.text] = entry
        }
        for (url, entry) in entries where next[url] == nil {
            entry.fetch?.cancel()
            unlink(path(entry))
        }
        entries = next
        work()
    }

    /// Fetches nothing until `resume`, and drops what is under way.
    func suspend() {
        isSuspended = true
        for entry in entries.values {
            entry.fetch?.cancel()
            entry.fetch = nil
            entry.isAsking = false
        }
    }

    /// Goes on after `suspend`.
    func resume() {
        isSuspended = false
        work()
    }

    /// Ends.
    func stop() {
        isStopped = true
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        for entry in entries.values { entry.fetch?.cancel() }
        entries = [:]
    }

    // MARK: - Files

    private func path(_ entry: Entry) -> String { Self.path(entry.url.text, directory) }

    /// What lies on disk is judged like what comes over the network: somebody may have put it there.
    private func restore(_ entry: Entry) {
        guard SafeFile.exists(path(entry)) else { return }
        do throws(CertificateError) {
            let list = try CertificateRevocationList.single(
                try SafeFile.read(path(entry), limit: CertificateRevocationList.sizeLimit))
            _ = try RevocationListSuccession.judge(list, after: nil, issuers: issuers, now: Clock.unixSeconds())
            entry.list = list
            entry.due = due(list)
        } catch {
            log.warning(
                "crl_unusable", "a stored CRL cannot be used; another one is fetched",
                [("file", .string(path(entry))), ("detail", .string(error.message))])
        }
    }

    private func store(_ entry: Entry, _ list: CertificateRevocationList) throws(CertificateError) {
        do {
            try StateDirectory.prepare(directory)
        } catch {
            throw CertificateError(
                .unwritableFile, Agent.lines(of: error).joined(separator: "; "), hint: "look at node.stateDirectory")
        }
        try SafeFile.write(list.der, to: path(entry), mode: 0o600)
    }

    // MARK: - Fetching

    private func work() {
        guard !isStopped, !isSuspended else { return }
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        let now = Clock.unixMilliseconds()
        for entry in entries.values where !entry.isAsking && entry.due <= now { fetch(entry) }
        guard let next = entries.values.filter({ !$0.isAsking }).map(\.due).min() else { return }
        let sleep = UInt64(max(0, next - now)) * Clock.millisecond
        timer = ControlPlane.loop.schedule(after: min(sleep, Self.longestSleep), self, tag: 0)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            if isUnapplied, !isSuspended { apply() }
            work()
        }
    }

    private func apply() { isUnapplied = !changed() }

    private func fetch(_ entry: Entry) {
        entry.isAsking = true
        do {
            let request = HTTPFetch.Request(accept: "application/pkix-crl, application/x-pem-file, */*")
            entry.fetch = HTTPFetch(
                try HTTPFetch.Source(entry.url, under: profile), request,
                maximumSize: CertificateRevocationList.sizeLimit, timeout: Self.timeout, parts: parts
            ) { [weak self, weak entry] result in
                ControlPlane.assumeIsolated {
                    guard let self, let entry else { return }
                    self.ended(entry, result)
                }
            }
        } catch {
            failed(entry, "unreachable", Agent.lines(of: error).joined(separator: "; "))
        }
    }

    private func ended(_ entry: Entry, _ result: Result<HTTPFetch.Answer, HTTPFetch.Failure>) {
        entry.isAsking = false
        entry.fetch = nil
        switch result {
        case .failure(let failure): failed(entry, "unreachable", failure.text)
        case .success(let answer):
            do throws(CertificateError) {
                try take(entry, try CertificateRevocationList.single(answer.body))
            } catch {
                refused(entry, error)
            }
        }
        work()
    }

    private func take(_ entry: Entry, _ list: CertificateRevocationList) throws(CertificateError) {
        switch try RevocationListSuccession.judge(
            list, after: entry.list, issuers: issuers, now: Clock.unixSeconds())
        {
        case .older:
            refuse(entry, "older", "the list is of \(UTCTime.text(list.thisUpdate)), and a newer one was there before")
        case .unchanged:
            entry.confirmed = Clock.unixSeconds()
            fetches["unchanged", default: 0] += 1
            postpone(entry)
        case .newer:
            try store(entry, list)
            entry.confirmed = Clock.unixSeconds()
            fetches["fetched", default: 0] += 1
            entry.list = list
            entry.failures = 0
            entry.due = max(due(list), Clock.unixMilliseconds() + Self.shortestPause)
            log.info(
                "crl_fetched", "a CRL was fetched",
                [
                    ("url", .string(entry.url.text)), ("issuer", .string(list.issuer)), ("entries", .init(list.count)),
                    ("nextUpdate", list.nextUpdate.map { .string(UTCTime.text($0)) } ?? .null),
                ])
            apply()
        }
    }

    private func refused(_ entry: Entry, _ error: CertificateError) {
        let isUnfit: Set<CertificateReason> = [.unknownCA, .badSignature, .wrongName, .partialList, .badExtension]
        guard isUnfit.contains(error.reason) else { return failed(entry, error.code, error.message) }
        refuse(entry, error.code, error.message)
    }

    /// What came is a CRL, and must not take the place of the one before.
    private func refuse(_ entry: Entry, _ reason: String, _ text: String) {
        note(entry, reason)
        log.warning(
            "crl_refused",
            "a server gave an older CRL, a partial one or somebody else's; the last good one stays in force",
            [("url", .string(entry.url.text)), ("reason", .string(reason)), ("detail", .string(text))])
    }

    private func failed(_ entry: Entry, _ reason: String, _ text: String) {
        note(entry, reason)
        log.warning(
            "crl_fetch_failed", "a CRL could not be fetched; the last good one stays in force",
            [("url", .string(entry.url.text)), ("reason", .string(reason)), ("detail", .string(text))])
    }

    private func note(_ entry: Entry, _ result: String) {
        entry.isAsking = false
        fetches[result, default: 0] += 1
        postpone(entry)
    }

    private func postpone(_ entry: Entry) {
        entry.failures += 1
        let schedule = entry.list.map(schedule) ?? RenewalSchedule(notBefore: 0, notAfter: Self.unknownValidity)
        entry.due = Clock.unixMilliseconds() + schedule.pause(attempt: entry.failures, chance: .random(in: 0...1))
    }

    private func due(_ list: CertificateRevocationList) -> Int64 {
        schedule(list).due(chance: .random(in: 0...1))
    }

    private func schedule(_ list: CertificateRevocationList) -> RenewalSchedule {
        RenewalSchedule(
            notBefore: list.thisUpdate, notAfter: list.nextUpdate ?? list.thisUpdate + Self.unknownValidity)
    }
}
