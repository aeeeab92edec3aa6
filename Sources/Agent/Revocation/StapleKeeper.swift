import Enrolment
import EventLoop
import Glibc
import JSON
import PKI
import TLS

/// Fetches OCSP responses for our own server certificates, and gives them to the contexts that staple them. They lie in the state
/// directory as well, so that an agent that starts anew staples at once, whether the responder answers or not.
@ControlPlane
final class StapleKeeper: TimerHandler {
    /// A certificate that this agent serves with.
    struct Own: Sendable {
        /// What it is for: `identity` or `edge`.
        let use: KnownCertificate.Use
        /// The node or the listener.
        let name: String
        /// Certificates and what takes their staple.
        let context: TLSContext
        /// Roots among which the issuer may be, where it does not stand in the chain.
        let roots: [Certificate]
        /// Who is asked; nil leaves it to what the certificate names.
        let responder: FetchURL?
    }

    /// What is known of one staple.
    struct Status: Sendable {
        let use: KnownCertificate.Use
        let name: String
        let serial: String
        let fingerprint: String
        let responder: String?
        let answer: OCSPAnswer?
        let lastError: String?

        /// As the control API has it.
        var json: JSONValue {
            func text(_ time: Int64?) -> JSONValue {
                time.map { .string(Timestamp.rfc3339(milliseconds: $0 * 1000)) } ?? .null
            }
            return [
                "stapled": .bool(answer != nil), "responder": responder.map { .string($0) } ?? .null,
                "thisUpdate": text(answer?.thisUpdate), "nextUpdate": text(answer?.validUntil),
                "error": lastError.map { .string($0) } ?? .null,
            ]
        }
    }

    /// The longest sleep of the timer, in nanoseconds; it does not count while the host sleeps.
    private static let longestSleep: UInt64 = 30 * Clock.second
    /// The validity by which pauses are measured while there is no response, in seconds.
    fileprivate nonisolated static let unknownValidity: Int64 = 3600

    private final class Entry {
        let subject: OCSPSubject
        var uses: [Own]
        var responder: FetchURL?
        var answer: OCSPAnswer?
        var fetch: HTTPFetch?
        var isAsking = false
        var failures = 0
        /// By which pauses are measured while there is no response: the last one's where that was shorter, though a minute at least,
        /// so that what ends often is not missing for long.
        var missingValidity = StapleKeeper.unknownValidity
        var lastError: String?
        /// When a response is fetched, unix milliseconds.
        var due: Int64 = 0

        init(_ subject: OCSPSubject, _ own: Own) {
            self.subject = subject
            uses = [own]
        }

        /// This response has ended and there is no newer one.
        func missed(_ answer: OCSPAnswer) {
            missingValidity = max(60, min(StapleKeeper.unknownValidity, answer.validUntil - answer.thisUpdate))
        }
    }

    private let log: Log
    private let directory: String
    private let parts = ChannelLoop(ControlPlane.loop)
    private var settings: OCSPSettings
    private var entries: [String: Entry] = [:]
    private var timer: TimerID?
    private var isStopped = false
    /// Fetches by what came of them.
    private(set) var fetches: [String: UInt64] = [:]

    init(_ settings: OCSPSettings, stateDirectory: String, log: Log) {
        self.settings = settings
        self.log = log
        directory = stateDirectory + "/ocsp"
    }

    /// What is known, for metrics and commands.
    var statuses: [Status] {
        entries.values.flatMap { entry in
            entry.uses.map { own in
                Status(
                    use: own.use, name: own.name, serial: entry.subject.certificate.serialHex,
                    fingerprint: entry.subject.key, responder: entry.responder?.text, answer: entry.answer,
                    lastError: entry.lastError)
            }
        }.sorted { ($0.use.rawValue, $0.name, $0.serial) < ($1.use.rawValue, $1.name, $1.serial) }
    }

    /// Serves with these certificates from now on; their contexts get what is known already before they are used.
    func update(_ own: [Own], _ settings: OCSPSettings) {
        self.settings = settings
        var next: [String: Entry] = [:]
        for certificate in settings.staples ? own : [] {
            guard let entry = entry(for: certificate, among: next) else { continue }
            next[entry.subject.key] = entry
        }
        for (key, entry) in entries where next[key] == nil { forget(entry) }
        entries = next
        for entry in entries.values { give(entry) }
        work()
    }

    /// Ends; what is stapled stays so.
    func stop() {
        isStopped = true
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        for entry in entries.values { entry.fetch?.cancel() }
        entries = [:]
    }

    private func entry(for own: Own, among next: [String: Entry]) -> Entry? {
        guard let chain = own.context.configuration.credentials?.chain, let leaf = chain.first else { return nil }
        let responder = settings.responder(of: leaf, configured: own.responder)
        guard let subject = OCSPSubject(own: chain, roots: own.roots), responder != nil else {
            if leaf.demandsStaple { warnOfNone(own, leaf, hasIssuer: responder != nil) }
            return nil
        }
        if let entry = next[subject.key] {
            entry.uses.append(own)
            return entry
        }
        guard let known = entries[subject.key] else {
            let entry = Entry(subject, own)
            entry.responder = responder
            restore(entry)
            return entry
        }
        known.uses = [own]
        if known.responder != responder {
            known.responder = responder
            known.due = 0
        }
        return known
    }

    private func warnOfNone(_ own: Own, _ leaf: Certificate, hasIssuer: Bool) {
        log.warning(
            "ocsp_no_staple",
            "a certificate demands a stapled OCSP response, and none can be fetched: clients refuse it",
            [
                ("use", .string(own.use.rawValue)), ("name", .string(own.name)), ("serial", .string(leaf.serialHex)),
                (
                    "hint",
                    .string(
                        hasIssuer
                            ? "append the issuer's certificate to the file"
                            : "configure its responder (ocsp.responder, edge.listeners[].certificates[].ocspResponder), "
                                + "or allow the host that it names (ocsp.allowedHosts)")
                ),
            ])
    }

    // MARK: - Files

    private func path(_ entry: Entry) -> String { "\(directory)/\(entry.subject.key).der" }

    private func restore(_ entry: Entry) {
        guard SafeFile.exists(path(entry)) else { return }
        do {
            let der = try SafeFile.read(path(entry), limit: OCSPAnswer.sizeLimit)
            let answer = try OCSPAnswer(der: der, about: entry.subject, now: Clock.unixSeconds())
            // The state is asked for at once again: it may have changed while nobody looked.
            guard answer.status == .good else { return }
            guard answer.validUntil > Clock.unixSeconds() else { return entry.missed(answer) }
            entry.answer = answer
        } catch {
            log.warning(
                "ocsp_staple_unusable", "a stored OCSP response cannot be used; another one is fetched",
                [("file", .string(path(entry))), ("detail", .string("\(error)"))])
        }
    }

    private func store(_ entry: Entry, _ answer: OCSPAnswer) {
        do {
            try StateDirectory.prepare(directory)
            try SafeFile.write(answer.der, to: path(entry), mode: 0o600)
        } catch {
            log.warning(
                "ocsp_staple_unstored", "an OCSP response could not be stored; after a restart it is fetched again",
                [("detail", .string(Agent.lines(of: error).joined(separator: "; ")))])
        }
    }

    private func forget(_ entry: Entry) {
        entry.fetch?.cancel()
        unlink(path(entry))
    }

    // MARK: - Fetching

    private func give(_ entry: Entry) {
        for own in entry.uses { own.context.staple.bytes = entry.answer?.der }
    }

    private func work() {
        guard !isStopped else { return }
        if let timer { ControlPlane.loop.cancel(timer) }
        let now = Clock.unixMilliseconds()
        var next = Int64.max
        for entry in entries.values {
            if let answer = entry.answer, answer.validUntil * 1000 <= now { expired(entry) }
            if !entry.isAsking, entry.due <= now { fetch(entry) }
            if !entry.isAsking { next = min(next, entry.due) }
            if let answer = entry.answer { next = min(next, answer.validUntil * 1000) }
        }
        let sleep = next == .max ? Self.longestSleep : UInt64(max(0, next - now)) * Clock.millisecond
        timer = ControlPlane.loop.schedule(after: min(sleep, Self.longestSleep), self, tag: 0)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            work()
        }
    }

    private func fetch(_ entry: Entry) {
        guard let responder = entry.responder else { return }
        entry.isAsking = true
        entry.fetch = ResponderQuery.start(
            entry.subject, at: responder, under: settings.profile, timeout: settings.timeout, parts: parts
        ) {
            [weak self, weak entry] result in
            ControlPlane.assumeIsolated {
                guard let self, let entry else { return }
                self.ended(entry, result)
            }
        }
    }

    private func ended(_ entry: Entry, _ result: Result<OCSPAnswer, QueryFailure>) {
        entry.isAsking = false
        entry.fetch = nil
        switch result {
        case .success(let answer):
            fetches[answer.status.code, default: 0] += 1
            take(entry, answer)
        case .failure(let failure):
            fetches[failure.code, default: 0] += 1
            failed(entry, failure)
        }
        work()
    }

    private func take(_ entry: Entry, _ answer: OCSPAnswer) {
        switch answer.status {
        case .good:
            guard answer.thisUpdate > entry.answer?.thisUpdate ?? .min else {
                // The responder has no newer one yet.
                return postpone(entry, answer)
            }
            entry.answer = answer
            entry.failures = 0
            entry.lastError = nil
            entry.due = max(
                schedule(answer).due(chance: .random(in: 0...1)), Clock.unixMilliseconds() + 500)
            give(entry)
            store(entry, answer)
            log.info("ocsp_stapled", "an OCSP response is stapled to a certificate", fields(entry))
        case .revoked(let time, let reason):
            // What would tell clients that they must not go on is not stapled; they learn it elsewhere.
            entry.answer = nil
            give(entry)
            unlink(path(entry))
            entry.lastError = "revoked"
            postpone(entry, answer)
            log.error(
                "own_certificate_revoked",
                "a certificate that this agent serves with is revoked, its issuer's responder says",
                fields(entry) + [
                    ("since", .string(UTCTime.text(time))), ("reason", .string(reason ?? "unspecified")),
                    ("hint", "issue another one with a new key"),
                ])
        case .unknown:
            failed(entry, QueryFailure(code: "unknown", text: "the responder does not know the certificate"))
        }
    }

    private func failed(_ entry: Entry, _ failure: QueryFailure) {
        entry.lastError = failure.code
        postpone(entry, entry.answer)
        log.warning(
            "ocsp_fetch_failed",
            entry.answer == nil
                ? "no OCSP response could be fetched; none is stapled"
                : "no newer OCSP response could be fetched; the old one stays in use until it ends",
            fields(entry) + [("reason", .string(failure.code)), ("detail", .string(failure.text))])
    }

    private func postpone(_ entry: Entry, _ answer: OCSPAnswer?) {
        entry.failures += 1
        let schedule =
            answer.map(schedule) ?? RenewalSchedule(notBefore: 0, notAfter: entry.missingValidity)
        entry.due = Clock.unixMilliseconds() + schedule.pause(attempt: entry.failures, chance: .random(in: 0...1))
    }

    private func schedule(_ answer: OCSPAnswer) -> RenewalSchedule {
        RenewalSchedule(notBefore: answer.thisUpdate, notAfter: answer.validUntil)
    }

    private func expired(_ entry: Entry) {
        log.warning("ocsp_staple_expired", "an OCSP response has ended and is not stapled any more", fields(entry))
        if let answer = entry.answer { entry.missed(answer) }
        entry.answer = nil
        give(entry)
    }

    private func fields(_ entry: Entry) -> [Log.Field] {
        var fields: [Log.Field] = [
            ("use", .string(entry.uses.first?.use.rawValue ?? "")), ("name", .string(entry.uses.first?.name ?? "")),
            ("serial", .string(entry.subject.certificate.serialHex)),
            ("responder", .string(entry.responder?.text ?? "")),
        ]
        if let answer = entry.answer { fields.append(("validUntil", .string(UTCTime.text(answer.validUntil)))) }
        return fields
    }
}
