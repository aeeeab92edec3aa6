import Audit
import EventLoop
import Glibc
import JSON
import PKI

/// Writes the audit log on a thread of its own: chains the records, seals them, begins and removes files.
///
/// What the disk does not take waits and is tried again each second. A record counts as written when it is synced.
final class AuditWriter: TimerHandler {
    /// What the writer is made from.
    struct Settings: Sendable {
        let node: String
        let maximumFile: Int
        /// Between two checkpoints, in nanoseconds.
        let checkpointInterval: UInt64
    }

    /// Records in one write.
    private static let batch = 256
    /// Pause after a write that failed, in nanoseconds.
    private static let retry: UInt64 = 1_000_000_000
    /// How often the open file is looked at where nothing is written, in nanoseconds: as often as stored documents are.
    private static let lookInterval: UInt64 = 5_000_000_000

    private let settings: Settings
    private let key: PrivateKey
    private let place: AuditPlace
    private var files: AuditFiles
    private let trail: AuditTrail
    private let log: Log
    private var chain: AuditChain
    /// Bytes that are no record at the end of the newest file.
    private var torn: Int
    private var pending: [AuditTrail.Entry] = []
    private var lost = AuditBacklog.Count()
    /// The last record that a checkpoint covers.
    private var sealed: UInt64
    private var loop: EventLoop?
    private var timer: TimerID?
    private var retryTimer: TimerID?
    private var lookTimer: TimerID?
    /// Why the last write failed; nil where it did not.
    private var failure: Int32?
    /// A checkpoint could not be written, and is due with the next try.
    private var owesCheckpoint = false

    /// Another process has the files, or may have them soon.
    private var isSuspended = false
    /// The other process writes what comes here.
    private var forwarding: (@Sendable ([AuditTrail.Entry], _ lost: AuditBacklog.Count) -> Void)?

    private static let checkpointTag = 0
    private static let retryTag = 1
    private static let resumeTag = 2
    private static let lookTag = 3

    init(
        settings: Settings, key: PrivateKey, place: AuditPlace, opened: (files: AuditFiles, end: AuditLogEnd),
        trail: AuditTrail, log: Log
    ) {
        self.settings = settings
        self.key = key
        self.place = place
        self.trail = trail
        self.log = log
        files = opened.files
        chain = opened.end.chain
        torn = opened.end.torn
        sealed = opened.end.chain.sequence
        if opened.end.goesOn { _ = files.reopen() }
    }

    /// Begins on its loop.
    func start(_ loop: EventLoop) {
        self.loop = loop
        timer = loop.schedule(after: settings.checkpointInterval, self, tag: Self.checkpointTag)
        lookTimer = loop.schedule(after: Self.lookInterval, self, tag: Self.lookTag)
        // What a process that was killed has written and not sealed could be cut off unseen.
        guard files.isOpen else { return }
        checkpoint()
    }

    /// Seals what is written. Where the disk does not take it, it is tried again as records are.
    private func checkpoint() {
        let code = write(0, sealing: true)
        owesCheckpoint = code != 0
        if code != 0 { failed(code) }
    }

    /// Writes what is left and seals it.
    func stop() {
        // Before what waits is taken, so that it is among that.
        look()
        drain(atEnd: true)
        if !isSuspended { letGo() }
        cancelTimers()
    }

    private func letGo() {
        cancelTimers()
        if failure == nil { _ = write(0, sealing: true) }
        files.release()
    }

    private func cancelTimers() {
        for timer in [timer, retryTimer, lookTimer].compactMap({ $0 }) { loop?.cancel(timer) }
        (timer, retryTimer, lookTimer) = (nil, nil, nil)
    }

    func timerFired(tag: Int, loop: EventLoop) {
        if tag == Self.retryTag {
            retryTimer = nil
            return drain()
        }
        if tag == Self.resumeTag {
            retryTimer = nil
            return resume()
        }
        if tag == Self.lookTag {
            look()
            lookTimer = loop.schedule(after: Self.lookInterval, self, tag: Self.lookTag)
            return
        }
        timer = loop.schedule(after: settings.checkpointInterval, self, tag: Self.checkpointTag)
        drain()
        if failure == nil, chain.sequence > sealed { checkpoint() }
    }

    // MARK: - Another process

    /// Writes what is left, seals it, and leaves the files to another process.
    func suspend() {
        guard !isSuspended else { return }
        look()
        drain(atEnd: true)
        letGo()
        isSuspended = true
    }

    /// Takes the files back, with what the other process has written.
    func resume() {
        guard isSuspended, forwarding == nil else { return }
        do throws(StartFailure) {
            let opened = try place.open(log: log)
            files = opened.files
            (chain, torn, sealed) = (opened.end.chain, opened.end.torn, opened.end.chain.sequence)
            if opened.end.goesOn { _ = files.reopen() }
        } catch {
            trail.report(failure: error.lines.joined(separator: "; "), isBlocked: true)
            retryTimer = loop?.schedule(after: Self.retry, self, tag: Self.resumeTag)
            return
        }
        isSuspended = false
        (failure, owesCheckpoint) = (nil, false)
        if let loop { start(loop) }
        drain()
        if failure == nil { trail.report(failure: nil, isBlocked: false) }
    }

    /// Gives everything to `take` from now on.
    func forward(_ take: @escaping @Sendable ([AuditTrail.Entry], _ lost: AuditBacklog.Count) -> Void) {
        forwarding = take
        drain()
    }

    // MARK: - Writing

    /// Writes everything that waits, as far as the disk takes it, or gives it to the process that does.
    func drain(atEnd: Bool = false) {
        guard forwarding != nil || !isSuspended else { return }
        let (entries, lost) = trail.take(atEnd: atEnd)
        pending += entries
        self.lost += lost
        if let forwarding {
            trail.forwarded(pending)
            if !pending.isEmpty || self.lost.total > 0 { forwarding(pending, self.lost) }
            (pending, self.lost) = ([], AuditBacklog.Count())
            return trail.report(failure: nil, isBlocked: false)
        }
        // The disk is asked once a second, not for each event.
        if let failure, retryTimer != nil, !atEnd { return tell(failure) }
        while !pending.isEmpty || self.lost.total > 0 || owesCheckpoint {
            let isSealed = pending.count >= Self.batch || owesCheckpoint
            let code = write(min(pending.count, Self.batch), sealing: isSealed)
            guard code == 0 else { return failed(code) }
            if isSealed { owesCheckpoint = false }
        }
        succeeded()
    }

    /// Looks whether somebody has removed, replaced or altered the file that is written. If so, it is told, and the log goes on in
    /// a new one, where the event gets like any other. Gives whether that was found.
    @discardableResult
    private func look() -> Bool {
        guard let change = files.change, let name = files.files.last?.name else { return false }
        files.leave()
        trail.fileChanged()
        log.error(
            "audit_file_changed",
            "somebody else has removed, replaced or altered the audit log's open file; it goes on in a new file "
                + "(mesh audit verify)",
            [
                ("directory", .string(files.directory)), ("file", .string(name)), ("change", .string(change.rawValue)),
                ("last", JSONValue(chain.sequence)),
            ])
        return true
    }

    /// Writes the first `count` of what waits, with a checkpoint behind it or without. Gives an error number, 0 for none.
    private func write(_ count: Int, sealing: Bool) -> Int32 {
        look()
        let code = append(count, sealing: sealing)
        // What was just written into a file that is no more the log's goes into the next one.
        guard code == ESTALE, look() else { return code }
        return append(count, sealing: sealing)
    }

    private func append(_ count: Int, sealing: Bool) -> Int32 {
        var next = chain
        var bytes: [UInt8] = []
        var surplus: [AuditFiles.File] = []
        let isNew = !files.isOpen
        if isNew {
            let code = begin(&next, &bytes, &surplus)
            guard code == 0 else { return code }
        }
        if lost.total > 0 {
            bytes += next.append(
                time: Self.now, event: AuditChain.lostEvent, category: .audit, severity: "error",
                fields: [
                    "count": JSONValue(lost.total), "strangers": JSONValue(lost.strangers),
                    "message": .string(Self.lostText),
                ])
        }
        for entry in pending.prefix(count) {
            bytes += next.append(
                time: entry.time, event: entry.event, category: entry.category, severity: entry.severity,
                fields: entry.fields)
        }
        if sealing { bytes += (try? next.checkpoint(time: Self.now, by: key)) ?? [] }
        let code = files.append(bytes)
        guard code == 0 else {
            if files.torn > 0 { torn = files.torn }
            if isNew { files.discard() }
            return code
        }
        chain = next
        torn = 0
        noteLoss()
        let written = pending.prefix(count)
        pending.removeFirst(count)
        files.remove(surplus)
        let seal = sealing || isNew ? putSeal() : nil
        trail.wrote(
            written, sequence: chain.sequence, bytes: files.files.reduce(0) { $0 + $1.size }, seal: seal)
        if files.currentSize >= settings.maximumFile { files.close() }
        return 0
    }

    /// The beginning of a new file: where it comes from, and what has to go for it.
    private func begin(
        _ next: inout AuditChain, _ bytes: inout [UInt8], _ surplus: inout [AuditFiles.File]
    ) -> Int32 {
        let code = files.begin(first: next.sequence + 1)
        guard code == 0 else {
            files.discard()
            return code
        }
        bytes += (try? next.open(time: Self.now, node: settings.node, torn: torn, by: key)) ?? []
        surplus = files.surplus
        if let last = surplus.last, let following = files.files.first(where: { $0.first > last.first }) {
            bytes += next.append(
                time: Self.now, event: AuditChain.removedEvent, category: .audit, severity: "info",
                fields: ["through": JSONValue(following.first - 1), "files": JSONValue(surplus.count)])
        }
        return 0
    }

    /// Puts the seal of everything so far beside the key: apart from the log, so that an end that was cut off is missed.
    private func putSeal() -> AuditSeal? {
        guard let seal = try? chain.seal(by: key) else { return nil }
        sealed = chain.sequence
        do throws(CertificateError) {
            try SafeFile.write(seal.json.serialized(), to: place.sealFile, mode: 0o600)
        } catch {
            log.error(
                "audit_seal_not_written", "the newest seal of the audit log could not be put beside its key",
                [("file", .string(place.sealFile)), ("detail", .string("\(error)"))])
        }
        return seal
    }

    private static let lostText = "events were lost: too many waited for the disk"

    /// Says in the agent's log what the audit log says by now.
    private func noteLoss() {
        guard lost.total > 0 else { return }
        log.error(
            AuditChain.lostEvent, Self.lostText,
            [("count", JSONValue(lost.total)), ("strangers", JSONValue(lost.strangers))])
        lost = AuditBacklog.Count()
    }

    private func failed(_ code: Int32) {
        failure = code
        tell(code)
        if let loop, retryTimer == nil {
            retryTimer = loop.schedule(after: Self.retry, self, tag: Self.retryTag)
        }
    }

    private func tell(_ code: Int32) {
        // What strangers cause must not switch anything off.
        trail.report(
            failure: files.directoryProblem ?? SystemError.text(code),
            isBlocked: lost.known > 0 || pending.contains { !$0.isStrangers })
    }

    private func succeeded() {
        failure = nil
        // Also where the disk was only slow, and the trail found out by itself that too much waits.
        trail.report(failure: nil, isBlocked: false)
    }

    private static var now: String { Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()) }
}
