import Documents
import Enrolment
import EventLoop
import JSON
import PKI
import TLS

/// Asks responders about peers' certificates: those in handshakes, which wait for it, and again and again those that are in use.
@ControlPlane
final class PeerStatus: TimerHandler {
    /// The longest sleep of the timer, in nanoseconds; it does not count while the host sleeps.
    private static let longestSleep: UInt64 = 30 * Clock.second
    /// Questions under way at once; more would be a flood, and are answered as if the responder were down.
    private static let maximumQueries = 256

    private struct Waiter {
        let isHard: Bool
        let done: @Sendable (OCSPVerdict) -> Void
    }

    /// A certificate that is asked about.
    private final class Entry {
        let subject: OCSPSubject
        var responder: FetchURL
        var waiters: [Waiter] = []
        var fetch: HTTPFetch?
        var isAsking = false
        /// When it is asked about again, unix milliseconds; nil where it is not in use.
        var due: Int64?
        var schedule: RenewalSchedule?
        var failures = 0

        init(_ subject: OCSPSubject, _ responder: FetchURL) {
            self.subject = subject
            self.responder = responder
        }
    }

    private let log: Log
    private let parts = ChannelLoop(ControlPlane.loop)
    private var timeout: UInt64
    private var profile: TLSProfile
    private var cache = OCSPCache()
    private var entries: [String: Entry] = [:]
    private var timer: TimerID?
    private var isStopped = false
    /// What responders have revoked, by the certificates' fingerprints.
    private(set) var revoked: [String: RevocationEntry] = [:]
    /// Answers to questions of handshakes, by where they came from and what they were.
    private(set) var checks: [[String]: UInt64] = [:]
    /// Questions that were sent, by what came of them.
    private(set) var queries: [String: UInt64] = [:]
    /// Called when `revoked` has changed.
    var changed: @ControlPlane () -> Void = {}
    /// The fingerprints of the certificates by which peers are connected now.
    var inUse: @ControlPlane () async -> Set<String> = { [] }

    init(_ settings: OCSPSettings, log: Log) {
        timeout = settings.timeout
        profile = settings.profile
        self.log = log
    }

    /// Of how many certificates something is known.
    var known: Int { cache.count }

    /// Takes over another timeout and profile.
    func use(_ settings: OCSPSettings) { (timeout, profile) = (settings.timeout, settings.profile) }

    /// Ends.
    func stop() {
        isStopped = true
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        for entry in entries.values { entry.fetch?.cancel() }
        entries = [:]
    }

    // MARK: - Handshakes

    /// Answers a question; `done` is called once, now or when the responder has answered or not.
    func ask(_ question: OCSPQuestion, done: @escaping @Sendable (OCSPVerdict) -> Void) {
        guard !isStopped else { return done(.passes) }
        let (subject, now) = (question.subject, Clock.unixSeconds())
        if let staple = question.staple {
            // Not counted here: the worker has counted it in the handshake.
            cache.note(staple, of: subject.key, at: now)
            watch(question, now)
            if case .answer(.revoked)? = cache.knowledge(of: subject.key, at: now) { return done(.revoked) }
            return done(.passes)
        }
        switch cache.knowledge(of: subject.key, at: now) {
        case .answer(let status)?:
            count("cache", status.code)
            watch(question, now)
            return done(verdict(status, question.isHard))
        case .failed(let text)?:
            count("cache", "failed")
            return done(question.isHard ? .unknown(text) : .passes)
        case nil: break
        }
        guard let responder = question.responder else {
            count("none", "no_responder")
            return done(question.isHard ? .unknown("nobody may be asked about it") : .passes)
        }
        let entry = entries[subject.key] ?? Entry(subject, responder)
        entry.responder = responder
        guard entry.isAsking || entries.values.count(where: \.isAsking) < Self.maximumQueries else {
            count("none", "too_many_queries")
            return done(question.isHard ? .unknown("too many questions are under way") : .passes)
        }
        entries[subject.key] = entry
        entry.waiters.append(Waiter(isHard: question.isHard, done: done))
        query(entry)
    }

    private func verdict(_ status: OCSPAnswer.Status, _ isHard: Bool) -> OCSPVerdict {
        switch status {
        case .good: .passes
        case .revoked: .revoked
        case .unknown: isHard ? .unknown("its issuer's responder does not know it") : .passes
        }
    }

    private func count(_ source: String, _ result: String) { checks[[source, result], default: 0] += 1 }

    // MARK: - Questions to responders

    private func query(_ entry: Entry) {
        guard !entry.isAsking else { return }
        entry.isAsking = true
        entry.fetch = ResponderQuery.start(
            entry.subject, at: entry.responder, under: profile, timeout: timeout, parts: parts
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
        let (key, now) = (entry.subject.key, Clock.unixSeconds())
        let waiters = entry.waiters
        entry.waiters = []
        switch result {
        case .success(let answer):
            queries[answer.status.code, default: 0] += 1
            let isNewer = cache.note(answer, of: key, at: now)
            if isNewer { settle(entry, answer) } else { postpone(entry) }
            // What was known may be newer than what has come.
            guard case .answer(let status)? = cache.knowledge(of: key, at: now) else {
                failed(entry, waiters, QueryFailure(code: "expired", text: "the answer has ended already"))
                break
            }
            for waiter in waiters {
                count("responder", status.code)
                waiter.done(verdict(status, waiter.isHard))
            }
        case .failure(let failure):
            queries[failure.code, default: 0] += 1
            cache.noteFailure(failure.text, of: key, at: now)
            postpone(entry)
            failed(entry, waiters, failure)
        }
        if entry.due == nil, entry.waiters.isEmpty { entries[key] = nil }
        wait()
    }

    private func failed(_ entry: Entry, _ waiters: [Waiter], _ failure: QueryFailure) {
        log.warning(
            "ocsp_query_failed", "an OCSP responder says nothing of a peer's certificate",
            [
                ("subject", .string(entry.subject.certificate.subject)),
                ("serial", .string(entry.subject.certificate.serialHex)), ("responder", .string(entry.responder.text)),
                ("reason", .string(failure.code)), ("detail", .string(failure.text)),
            ])
        for waiter in waiters {
            count("responder", failure.code)
            waiter.done(waiter.isHard ? .unknown(failure.text) : .passes)
        }
    }

    // MARK: - Certificates in use

    /// Another answer is known: what it means for those who are connected, and when it is asked for again.
    private func settle(_ entry: Entry, _ answer: OCSPAnswer) {
        schedule(entry, answer.thisUpdate..<answer.validUntil)
        let certificate = entry.subject.certificate
        if case .revoked(let time, let reason) = answer.status {
            let isNew = revoked[entry.subject.key] == nil
            revoked[entry.subject.key] = RevocationEntry(
                .certificate(issuer: certificate.issuer, serial: certificate.serialHex), revoked: time,
                reason: "OCSP" + (reason.map { ": \($0)" } ?? ""))
            guard isNew else { return }
            log.warning(
                "ocsp_revoked", "an OCSP responder says that a peer's certificate is revoked",
                [
                    ("subject", .string(certificate.subject)), ("serial", .string(certificate.serialHex)),
                    ("responder", .string(entry.responder.text)), ("reason", .string(reason ?? "unspecified")),
                    ("since", .string(UTCTime.text(time))),
                ])
            changed()
        } else if revoked.removeValue(forKey: entry.subject.key) != nil {
            changed()
        }
    }

    /// A peer connects by an answer that is known: it will be asked about again like those that were asked about now.
    private func watch(_ question: OCSPQuestion, _ now: Int64) {
        let key = question.subject.key
        guard let responder = question.responder, let validity = cache.validity(of: key, at: now) else { return }
        let entry = entries[key] ?? Entry(question.subject, responder)
        entries[key] = entry
        guard entry.schedule.map({ $0.notBefore < validity.lowerBound }) ?? true else { return }
        schedule(entry, validity)
        wait()
    }

    private func schedule(_ entry: Entry, _ validity: Range<Int64>) {
        let schedule = RenewalSchedule(notBefore: validity.lowerBound, notAfter: validity.upperBound)
        entry.schedule = schedule
        entry.failures = 0
        entry.due = max(schedule.due(chance: .random(in: 0...1)), Clock.unixMilliseconds() + 500)
    }

    /// No newer answer has come: again after a while. Only where there has been one; a handshake asks by itself.
    private func postpone(_ entry: Entry) {
        guard let schedule = entry.schedule else { return }
        entry.failures += 1
        entry.due = Clock.unixMilliseconds() + schedule.pause(attempt: entry.failures, chance: .random(in: 0...1))
    }

    private func wait() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        guard !isStopped, let next = entries.values.filter({ !$0.isAsking }).compactMap(\.due).min() else { return }
        let left = UInt64(max(0, next - Clock.unixMilliseconds())) * Clock.millisecond
        timer = ControlPlane.loop.schedule(after: min(left, Self.longestSleep), self, tag: 0)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            let now = Clock.unixMilliseconds()
            guard entries.values.contains(where: { !$0.isAsking && ($0.due ?? .max) <= now }) else { return wait() }
            Task { @ControlPlane in
                self.refresh(await self.inUse())
                self.wait()
            }
        }
    }

    /// Asks again about what is due and in use, and about what is revoked, which may have been on hold only.
    private func refresh(_ used: Set<String>) {
        guard !isStopped else { return }
        let now = Clock.unixMilliseconds()
        for (key, entry) in entries where !entry.isAsking && (entry.due ?? .max) <= now {
            let isOver = entry.subject.certificate.notAfter * 1000 <= now
            if !isOver, used.contains(key) || revoked[key] != nil {
                query(entry)
            } else {
                entries[key] = nil
                // Nobody gets in any more by a certificate that has ended.
                if revoked.removeValue(forKey: key) != nil { changed() }
            }
        }
    }
}
