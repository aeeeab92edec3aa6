import Audit
import EventLoop
import Glibc
import JSON
import PKI

/// Keeps seals of other nodes' audit logs, a file for each node: few, small, and never replaced by older ones.
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
        /// It cannot be written, or what is there cannot be read.
        case store(CertificateError)
    }

    /// Nodes whose seals are kept at most.
    static let maximumNodes = 4096
    /// Between two seals of a node, in nanoseconds: each is a write to the disk.
    private static let interval = Clock.second / 4

    private let directory: String
    private var nodes: [String: KeptSeals] = [:]
    private var taken: [String: UInt64] = [:]
    private var isRead = false
    /// Seals that were refused because they contradict what is kept.
    private(set) var contradictions: UInt64 = 0

    init(stateDirectory: String) { directory = stateDirectory + "/seals" }

    /// Takes a seal of a node's log.
    func take(_ seal: AuditSeal, of node: String) throws(Refusal) -> KeptSeals.Outcome {
        try read()
        guard nodes[node] != nil || nodes.count < Self.maximumNodes else { throw .full }
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
        try read()
        return nodes[node] ?? KeptSeals()
    }

    /// The nodes of which something is kept, with how much.
    func summary() throws(Refusal) -> [(node: String, count: Int)] {
        try read()
        return nodes.map { ($0.key, $0.value.kept.count) }.sorted { $0.0 < $1.0 }
    }

    /// Forgets what a node has left; false where there was nothing.
    func forget(_ node: String) throws(Refusal) -> Bool {
        try read()
        guard nodes.removeValue(forKey: node) != nil else { return false }
        unlink(path(node))
        return true
    }

    /// Names of nodes are safe in paths (`NodeName`).
    private func path(_ node: String) -> String { "\(directory)/\(node).json" }

    private func read() throws(Refusal) {
        guard !isRead else { return }
        var found: [String: KeptSeals] = [:]
        for file in Self.files(directory) {
            let node = String(file.dropLast(".json".count))
            guard NodeName.isValid(node) else { continue }
            do {
                found[node] = try KeptSeals(json: JSONReader.parse(SafeFile.read(path(node))))
            } catch let error as CertificateError {
                throw .store(error)
            } catch {
                throw .store(
                    CertificateError(
                        .malformed, "\(path(node)): \(error)",
                        hint: "it is damaged: move it away, and this node keeps what comes from now on"))
            }
        }
        nodes = found
        isRead = true
    }

    private static func files(_ directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".json") { names.append(name) }
        }
        return names
    }
}
