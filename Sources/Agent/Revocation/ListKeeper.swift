import Enrolment
import EventLoop
import Glibc
import JSON
import PKI

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

    private final class Entry {
        let url: FetchURL
        var list: CertificateRevocationList?
        var fetch: HTTPFetch?
        var isAsking = false
        var failures = 0
        /// When it is fetched, unix milliseconds.
        var due: Int64 = 0

        init(_ url: FetchURL) { self.url = url }
    }

    private let log: Log
    private let directory: String
    private let parts = ChannelLoop(ControlPlane.loop)
    private var entries: [String: Entry] = [:]
    /// Who may have signed a list: the CAs of the mesh that this node knows.
    private var issuers: [Certificate] = []
    private var timer: TimerID?
    private var isStopped = false
    /// Fetches by what came of them.
    private(set) var fetches: [String: UInt64] = [:]
    /// There is another list on disk.
    var changed: @ControlPlane () -> Void = {}

    init(stateDirectory: String, log: Log) {
        self.log = log
        directory = Self.directory(stateDirectory)
    }

    private nonisolated static func directory(_ stateDirectory: String) -> String { stateDirectory + "/crl" }

    private nonisolated static func path(_ url: String, _ directory: String) -> String {
        "\(directory)/\(CertificateRevocationList.fileName(for: url))"
    }

    /// The files of the lists of a configuration that have been fetched already. One that cannot be read is fetched again.
    nonisolated static func files(_ configuration: Configuration) -> [String] {
        let directory = directory(configuration.node.stateDirectory)
        return configuration.trust.revocationURLs.map { path($0, directory) }.filter {
            SafeFile.exists($0) && (try? CertificateRevocationList.load(file: $0)) != nil
        }
    }

    /// Fetches from these URLs from now on.
    func update(_ urls: [String], issuers: [Certificate]) {
        self.issuers = issuers
        var next: [String: Entry] = [:]
        for url in urls.compactMap({ FetchURL($0) }) {
            let entry = entries[url.text] ?? Entry(url)
            if entry.list == nil, let lists = try? CertificateRevocationList.load(file: path(entry)) {
                entry.list = lists.first
                entry.due = entry.list.map { schedule($0).due(chance: .random(in: 0...1)) } ?? 0
            }
            next[url.text] = entry
        }
        for (url, entry) in entries where next[url] == nil {
            entry.fetch?.cancel()
            unlink(path(entry))
        }
        entries = next
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

    private func path(_ entry: Entry) -> String { Self.path(entry.url.text, directory) }

    // MARK: - Fetching

    private func work() {
        guard !isStopped else { return }
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
            work()
        }
    }

    private func fetch(_ entry: Entry) {
        entry.isAsking = true
        do {
            let request = HTTPFetch.Request(accept: "application/pkix-crl, application/x-pem-file, */*")
            entry.fetch = HTTPFetch(
                try HTTPFetch.Source(entry.url), request, maximumSize: CertificateRevocationList.sizeLimit,
                timeout: Self.timeout, parts: parts
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
                failed(entry, error.code, error.message)
            }
        }
        work()
    }

    private func take(_ entry: Entry, _ list: CertificateRevocationList) throws(CertificateError) {
        guard let issuer = issuers.first(where: { list.names(asIssuer: $0) }) else {
            throw CertificateError(
                .unknownCA, "the list is of \(list.issuer), which is no CA of the mesh", hint: "see trust.ca")
        }
        guard list.isSigned(by: issuer) else {
            throw CertificateError(
                .badSignature, "the list is not signed by \(list.issuer)", hint: "somebody else may have put it there")
        }
        guard list.thisUpdate <= Clock.unixSeconds() + OCSPAnswer.clockSkew else {
            throw CertificateError(.notYetValid, "the list is of the future", hint: "compare the clocks")
        }
        // An older list played again would take a revocation back.
        if let known = entry.list, list.thisUpdate <= known.thisUpdate {
            fetches["unchanged", default: 0] += 1
            return postpone(entry)
        }
        do {
            try StateDirectory.prepare(directory)
        } catch {
            throw CertificateError(
                .unwritableFile, Agent.lines(of: error).joined(separator: "; "), hint: "look at node.stateDirectory")
        }
        try SafeFile.write(list.der, to: path(entry), mode: 0o600)
        fetches["fetched", default: 0] += 1
        entry.list = list
        entry.failures = 0
        entry.due = max(schedule(list).due(chance: .random(in: 0...1)), Clock.unixMilliseconds() + 500)
        log.info(
            "crl_fetched", "a CRL was fetched",
            [
                ("url", .string(entry.url.text)), ("issuer", .string(list.issuer)), ("entries", .init(list.count)),
                ("nextUpdate", list.nextUpdate.map { .string(UTCTime.text($0)) } ?? .null),
            ])
        changed()
    }

    private func failed(_ entry: Entry, _ reason: String, _ text: String) {
        entry.isAsking = false
        fetches[reason, default: 0] += 1
        postpone(entry)
        log.warning(
            "crl_fetch_failed", "a CRL could not be fetched; the last good one stays in force",
            [("url", .string(entry.url.text)), ("reason", .string(reason)), ("detail", .string(text))])
    }

    private func postpone(_ entry: Entry) {
        entry.failures += 1
        let schedule = entry.list.map(schedule) ?? RenewalSchedule(notBefore: 0, notAfter: Self.unknownValidity)
        entry.due = Clock.unixMilliseconds() + schedule.pause(attempt: entry.failures, chance: .random(in: 0...1))
    }

    private func schedule(_ list: CertificateRevocationList) -> RenewalSchedule {
        RenewalSchedule(
            notBefore: list.thisUpdate, notAfter: list.nextUpdate ?? list.thisUpdate + Self.unknownValidity)
    }
}
