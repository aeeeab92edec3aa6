import Audit
import CSodium
import EventLoop
import JSON
import PKI

/// The audit log of a running agent: its trail, its thread, its files.
final class AuditLog: Sendable {
    /// What is given away of it.
    struct Facts: Sendable {
        let directory: String
        /// The file with the public half of the key.
        let publicKeyFile: String
        /// What tells the key.
        let keyDigest: String
        /// New work is refused while it cannot be written.
        let failsClosed: Bool
    }

    let trail: AuditTrail
    let facts: Facts
    /// The host's syslog; nil where it gets nothing.
    let syslog: SyslogOutput?
    /// A server that gets events too; nil without one.
    let webhook: WebhookOutput?
    private let thread: LoopThread
    private let writer: Handover<AuditWriter>
    @ControlPlane private var delayWatch: AuditDelayWatch?

    /// Opens the log, or begins it; nil where the configuration wants none. A front wants one where it names a directory; its key
    /// lies beside that, unless it is named too.
    @ControlPlane
    static func open(_ configuration: Configuration, log: Log) throws -> AuditLog? {
        var audit = configuration.audit
        guard audit.enabled, !audit.directory.isEmpty else { return nil }
        if audit.key.isEmpty { audit.key = FilePath.join(StateDirectory.parent(of: audit.directory), "audit.key") }
        let node = configuration.node.name ?? ""
        let webhook = try WebhookOutput.Settings(audit, node: node).map { WebhookOutput($0, run: AuditLogEnd.newID()) }
        try StateDirectory.prepare(StateDirectory.parent(of: audit.key))
        let key = try key(audit.key)
        let place = AuditPlace(
            directory: audit.directory, sealFile: audit.key + ".seal", maximumTotal: audit.maxTotalSize,
            key: key.publicKey)
        let opened = try place.open(log: log)
        let syslog = audit.syslog.map { SyslogOutput(path: $0) }
        let outputs: [(any SecurityEventOutput)?] = [syslog, webhook]
        let trail = AuditTrail(
            outputs: outputs.compactMap { $0 }, maximumDelay: audit.maxDelay.nanoseconds)
        let writer = AuditWriter(
            settings: AuditWriter.Settings(
                node: node, maximumFile: audit.maxFileSize,
                checkpointInterval: audit.checkpointInterval.nanoseconds),
            key: key, place: place, opened: opened, trail: trail, log: log)
        let facts = Facts(
            directory: audit.directory, publicKeyFile: audit.key + ".pub", keyDigest: key.publicKey.spkiSHA256,
            failsClosed: audit.onFailure == .closed)
        let made = try AuditLog(trail: trail, facts: facts, syslog: syslog, webhook: webhook, writer: writer)
        webhook?.start(log: log)
        made.delayWatch = AuditDelayWatch(trail)
        return made
    }

    /// The key of the log, made at the first start; its public half lies beside it, to be given away.
    private static func key(_ file: String) throws(CertificateError) -> PrivateKey {
        let key: PrivateKey
        if SafeFile.exists(file) {
            key = try PrivateKey.load(file: file)
        } else {
            key = try PrivateKey.generate(.ed25519)
            try key.write(to: file, replace: false)
        }
        if !SafeFile.exists(file + ".pub") {
            try SafeFile.write(AuditKey.pem(key.publicKey), to: file + ".pub", mode: 0o600)
        }
        return key
    }

    private init(
        trail: AuditTrail, facts: Facts, syslog: SyslogOutput?, webhook: WebhookOutput?, writer: AuditWriter
    ) throws(SystemError) {
        self.trail = trail
        self.syslog = syslog
        self.webhook = webhook
        self.facts = facts
        self.writer = Handover(writer)
        thread = try LoopThread(name: "audit")
        let (handle, handover) = (thread.handle, self.writer)
        handle.withLoop { handover.value.start($0) }
        trail.connect { [weak self] in self?.wake() }
    }

    private func wake() {
        thread.handle.post { [writer] in writer.value.drain() }
    }

    // MARK: - Another process

    /// Writes what is left and lets go of the files, so that another process can go on with them. What comes from now on waits.
    ///
    /// - Returns: whether that was done within `time` nanoseconds; else the disk does not answer, and it will be done later.
    func suspend(within time: UInt64) async -> Bool {
        let done = Flag()
        trail.hold(at: Clock.monotonicNanoseconds())
        thread.handle.post { [writer] in
            writer.value.suspend()
            done.set()
        }
        let deadline = Clock.monotonicNanoseconds() + time
        while !done.isSet, Clock.monotonicNanoseconds() < deadline {
            await ControlPlane.sleep(nanoseconds: 1_000_000)
        }
        return done.isSet
    }

    private final class Flag: Sendable {
        private let value = Locked(false)
        var isSet: Bool { value.withLock { $0 } }
        func set() { value.withLock { $0 = true } }
    }

    /// Goes on with the files, behind whatever the other process has written, and writes what waited. Where they cannot be
    /// opened that is tried again each second, and shown.
    func resume() {
        trail.goOn(at: Clock.monotonicNanoseconds())
        thread.handle.post { [writer] in writer.value.resume() }
    }

    /// The other process keeps the log from now on: `take` gets, on the log's thread, what has waited and what comes, and how
    /// many events were lost.
    func forward(_ take: @escaping @Sendable ([AuditTrail.Entry], _ lost: AuditBacklog.Count) -> Void) {
        thread.handle.post { [writer] in writer.value.forward(take) }
    }

    /// Waits until everything so far was written or forwarded, summaries included.
    func settle() async {
        await withCheckedContinuation { continuation in
            thread.handle.post { [writer] in
                writer.value.drain(atEnd: true)
                continuation.resume()
            }
        }
    }

    /// Writes what is left, and ends.
    @ControlPlane
    func stop() {
        webhook?.stop()
        delayWatch?.stop()
        delayWatch = nil
        thread.handle.post { [writer] in writer.value.stop() }
        thread.stopAndJoin()
    }

    /// Says in the log when it cannot be written, or can again, where nobody else does.
    func reportFailures(to log: Log) {
        trail.whenChanged { [weak self] in
            guard let self else { return }
            if let failure = trail.status.failure {
                log.error(
                    "audit_not_written", "the audit log cannot be written; events wait, and are lost when too many do",
                    [("directory", .string(facts.directory)), ("detail", .string(failure))])
            } else {
                log.info("audit_written_again", "the audit log is written again")
            }
        }
    }

    /// New work has to be refused: what somebody has done cannot be written, and the configuration says that then nothing may
    /// be done.
    var isClosed: Bool { facts.failsClosed && trail.status.isBlocked }
}

/// Where an audit log is kept.
struct AuditPlace: Sendable {
    let directory: String
    /// Where the newest seal lies.
    let sealFile: String
    /// The size of all files together.
    let maximumTotal: Int
    let key: PublicKey

    /// Its files, and where it goes on.
    func open(log: Log) throws(StartFailure) -> (files: AuditFiles, end: AuditLogEnd) {
        let files = try AuditFiles(directory: directory, maximumTotal: maximumTotal)
        return (files, try AuditLogEnd.find(files, sealFile: sealFile, key: key, log: log))
    }
}

/// Where an audit log goes on.
struct AuditLogEnd {
    let chain: AuditChain
    /// Bytes at the end of the newest file that are no record.
    let torn: Int
    /// The newest file can be written on.
    let goesOn: Bool

    /// Reads the newest file, and the seal that lies beside the key.
    ///
    /// Where the seal knows of more than the files have, the log goes on behind the seal, so that what is missing stays
    /// missing for everybody who looks.
    static func find(
        _ files: AuditFiles, sealFile: String, key: PublicKey, log: Log
    ) throws(StartFailure) -> AuditLogEnd {
        let seal = (try? SafeFile.read(sealFile)).flatMap { try? JSONReader.parse($0) }.flatMap {
            try? AuditSeal(json: $0)
        }
        var verifier = AuditVerifier(key: key)
        if let last = files.files.last {
            do throws(CertificateError) {
                // An empty file was begun when the disk was full.
                if last.size > 0 {
                    verifier.read(file: last.name, try SafeFile.read(files.path(last.name), limit: .max))
                }
            } catch {
                throw StartFailure(
                    exitCode: 1, lines: ["the audit log cannot be read: \(error)"],
                    hint: "see that this user owns the files in \(files.directory)")
            }
        }
        if !verifier.findings.isEmpty {
            log.error(
                "audit_damaged", "the audit log is damaged; it goes on in a new file (mesh audit verify)",
                [("directory", .string(files.directory)), ("detail", .string(verifier.findings[0].message))])
        }
        guard let seal, seal.isSigned(by: key), seal.sequence > verifier.last || verifier.log != seal.log else {
            guard let name = verifier.log else {
                return AuditLogEnd(chain: AuditChain(log: newID()), torn: 0, goesOn: false)
            }
            return AuditLogEnd(
                chain: AuditChain(log: name, sequence: verifier.last, hash: verifier.hash), torn: verifier.torn,
                goesOn: verifier.findings.isEmpty && verifier.torn == 0)
        }
        log.error(
            "audit_truncated", "records of the audit log are missing that were sealed (mesh audit verify)",
            [
                ("directory", .string(files.directory)), ("last", JSONValue(verifier.last)),
                ("sealed", JSONValue(seal.sequence)),
            ])
        return AuditLogEnd(
            chain: AuditChain(log: seal.log, sequence: max(seal.sequence, verifier.last), hash: seal.hash),
            torn: verifier.torn, goesOn: false)
    }

    /// 16 random bytes in hexadecimal.
    fileprivate static func newID() -> String {
        var bytes = [UInt8](repeating: 0, count: 16)
        randombytes_buf(&bytes, bytes.count)
        return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
