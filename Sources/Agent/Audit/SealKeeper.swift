import Audit
import EventLoop
import Glibc
import JSON
import PKI

/// Keeps seals of other nodes' audit logs, a file for each node: few, small, and never replaced by older ones. A file that is damaged
/// stops the seals of its node only; it is never written over, as somebody may have damaged it to begin anew. One that cannot be read at
/// the moment is no damaged one: it is read again whenever somebody asks for it.
@ControlPlane
final class SealKeeper {
    /// Why a seal is not kept.
    enum Refusal: Error {
        /// It is no seal, or contradicts one that is kept.
        case seal(AuditError)
        /// The node leaves more than one a moment.
        case tooFast
        /// There are seals of as many nodes as are kept.
        case full
        /// It cannot be written, or what is there is damaged.
        case store(CertificateError)
        /// What is there cannot be read at the moment, and may be good.
        case unread(CertificateError)
    }

    /// Nodes whose seals are kept at most.
    static let maximumNodes = 4096
    /// Between two seals of a node, in nanoseconds: each is a write to the disk.
    private static let interval = Clock.second / 4

    private let directory: String
    private let log: Log
    private var nodes: [String: KeptSeals] = [:]
    /// What is wrong with the files of other nodes.
    private var damaged: [String: CertificateError] = [:]
    /// Files that could not be read when it was tried last, by node.
    private var unread: [String: CertificateError] = [:]
    /// The same of the directory: which nodes there are is not known.
    private var listFailure: CertificateError?
    private var isListed = false
    private var taken: [String: UInt64] = [:]
    /// Seals that were refused because they contradict what is kept.
    private(set) var contradictions: UInt64 = 0

    init(stateDirectory: String, log: Log) {
        directory = stateDirectory + "/seals"
        self.log = log
    }

    /// Nodes whose files are damaged.
    var damagedNodes: Int { damaged.count }
    /// Files, the directory among them, that could not be read when it was tried last.
    var unreadFiles: Int { unread.count + (listFailure == nil ? 0 : 1) }

    /// Takes a seal of a node's log.
    func take(_ seal: AuditSeal, of node: String) throws(Refusal) -> KeptSeals.Outcome {
        try readable(node)
        guard nodes[node] != nil || nodes.count + damaged.count + unread.count < Self.maximumNodes else { throw .full }
        let now = Clock.monotonicNanoseconds()
        if let last = taken[node], now < last + Self.interval { throw .tooFast }
        taken[node] = now
        var kept = nodes[node] ?? KeptSeals()
        let outcome: KeptSeals.Outcome
        do throws(AuditError) {
            outcome = try kept.take(seal, now: Clock.unixSeconds())
        } catch {
            if error.code == .sealGoesBack { contradictions += 1 }
            throw .seal(error)
        }
        guard outcome == .taken else { return outcome }
        do {
            try StateDirectory.prepare(directory)
            try SafeFile.write(kept.json.serialized(), to: path(node), mode: 0o600)
        } catch {
            throw .store(
                error as? CertificateError
                    ?? CertificateError(.unreadableFile, "\(error)", hint: "make room, and look at \(directory)"))
        }
        nodes[node] = kept
        return .taken
    }

    /// What is kept of a node; empty where nothing is.
    func seals(of node: String) throws(Refusal) -> KeptSeals {
        try readable(node)
        return nodes[node] ?? KeptSeals()
    }

    /// The nodes of which something is kept, with how much, or with what is wrong with it.
    func summary() throws(Refusal) -> [(node: String, count: Int, problem: String?)] {
        try list()
        for node in unread.keys.sorted() { read(node) }
        let all =
            nodes.map { ($0.key, $0.value.kept.count, String?.none) }
            + damaged.merging(unread) { $1 }.map { ($0.key, 0, $0.value.message) }
        return all.sorted { $0.0 < $1.0 }
    }

    /// Forgets what a node has left, damaged or not; false where there was nothing.
    func forget(_ node: String) throws(Refusal) -> Bool {
        try list()
        guard nodes[node] != nil || damaged[node] != nil || unread[node] != nil else { return false }
        guard unlink(path(node)) == 0 || errno == ENOENT else {
            throw .store(
                CertificateError(
                    .unwritableFile, "\(path(node)) cannot be removed: \(SystemError.text(errno))",
                    hint: "look at \(directory)"))
        }
        nodes[node] = nil
        damaged[node] = nil
        unread[node] = nil
        return true
    }

    /// Names of nodes are safe in paths (`NodeName`).
    private func path(_ node: String) -> String { "\(directory)/\(node).json" }

    // MARK: - Reading

    /// Reads what of `node` was not read yet; throws where that is no good, or not to be had.
    private func readable(_ node: String) throws(Refusal) {
        try list()
        if unread[node] != nil { read(node) }
        if let error = unread[node] { throw .unread(error) }
        if let error = damaged[node] { throw .store(error) }
    }

    /// Looks which files there are, and reads them, where that was not done yet.
    private func list() throws(Refusal) {
        guard !isListed else { return }
        let names: [String]
        do throws(SystemError) {
            names = try Self.files(directory)
        } catch {
            let failure = Self.unread(directory, SystemError.text(error.errno))
            if listFailure != failure { tell(nil, failure) }
            listFailure = failure
            throw .unread(failure)
        }
        isListed = true
        if listFailure != nil { tellRead(nil) }
        listFailure = nil
        for file in names {
            let node = String(file.dropLast(".json".count))
            if NodeName.isValid(node) { read(node) }
        }
    }

    private func read(_ node: String) {
        let path = path(node)
        do {
            nodes[node] = try KeptSeals(json: JSONReader.parse(SafeFile.read(path)))
        } catch let error as CertificateError where error.isMissingFile {
            // Somebody has removed it: there is nothing.
        } catch let error as CertificateError where error.reason == .unreadableFile {
            let failure = Self.unread(path, error.message)
            if unread[node] != failure { tell(node, failure) }
            unread[node] = failure
            return
        } catch {
            damaged[node] = CertificateError(
                (error as? CertificateError)?.reason ?? .malformed,
                "\(path): \((error as? CertificateError)?.message ?? "\(error)")",
                hint:
                    "put it back from a backup and restart this agent, or begin anew: mesh audit kept \(node) --forget")
            log.error(
                "audit_seals_damaged",
                "the seals that node \(node) has left here are damaged; those of others are not",
                [("node", .string(node)), ("file", .string(path)), ("detail", .string("\(error)"))])
            unread[node] = nil
            return
        }
        if unread.removeValue(forKey: node) != nil { tellRead(node) }
    }

    private static func unread(_ path: String, _ why: String) -> CertificateError {
        CertificateError(
            .unreadableFile, "\(path): \(why)",
            hint:
                "it may be as good as before, and is read again with the next seal; look at the disk and at its rights")
    }

    private func tell(_ node: String?, _ error: CertificateError) {
        log.error(
            "audit_seals_unread", "seals that were left here cannot be read at the moment; it is tried again",
            [("node", node.map { .string($0) } ?? .null), ("detail", .string(error.message))])
    }

    private func tellRead(_ node: String?) {
        log.info(
            "audit_seals_read_again", "seals that were left here could be read again",
            [("node", node.map { .string($0) } ?? .null)])
    }

    /// The files in a directory; none where it does not exist.
    private static func files(_ directory: String) throws(SystemError) -> [String] {
        guard let stream = opendir(directory) else {
            guard errno != ENOENT else { return [] }
            throw SystemError(call: "opendir", subject: directory, errno: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".json") { names.append(name) }
        }
        // The end, or an error.
        guard errno == 0 else { throw SystemError(call: "readdir", subject: directory, errno: errno) }
        return names
    }
}
