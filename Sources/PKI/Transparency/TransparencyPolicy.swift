/// What is demanded of the SCTs of servers that are dialled.
public struct TransparencyPolicy: Sendable, Equatable {
    /// What too few good SCTs do.
    public enum Mode: String, Sendable, CaseIterable {
        /// Nobody looks at them.
        case off
        /// The connection goes on; the owner of the session learns of it.
        case report
        /// The handshake fails.
        case require
    }

    /// The logs that count.
    public var logs: TransparencyLogs
    /// Of so many different logs there must be a good one.
    public var minimum: Int
    /// For servers without a mode of their own.
    public var mode: Mode
    /// By the name of the node that is dialled.
    public var nodes: [String: Mode]

    /// A policy from its parts.
    public init(logs: TransparencyLogs, minimum: Int = 1, mode: Mode, nodes: [String: Mode] = [:]) {
        self.logs = logs
        self.minimum = minimum
        self.mode = mode
        self.nodes = nodes
    }

    /// Whether anybody is looked at.
    public var isOn: Bool { mode != .off || nodes.values.contains { $0 != .off } }

    /// What holds for a node; nil stands for a server that is none.
    public func mode(for node: String?) -> Mode { node.flatMap { nodes[$0] } ?? mode }

    /// Judges what came about a verified chain, leaf first.
    ///
    /// - Parameter node: the name of the node that the leaf proves, where it is one's.
    public func review(
        _ timestamps: [SignedTimestamp], of chain: [Certificate], node: String?, now: Int64
    ) -> TransparencyReview? {
        let mode = mode(for: node)
        guard mode != .off, let leaf = chain.first else { return nil }
        let issuer = chain.dropFirst().first
        let states = timestamps.prefix(SignedTimestamp.maximumCount).map { timestamp in
            (timestamp, logs.state(of: timestamp, about: leaf, issuer: issuer, now: now))
        }
        let good = Set(states.filter { $0.1 == .good }.map(\.0.logID)).count
        guard good < minimum else { return TransparencyReview(mode: mode, result: .enough, error: nil) }
        let counts = Dictionary(states.map { ($0.1, 1) }, uniquingKeysWith: +)
        return TransparencyReview(
            mode: mode, result: .init(counts), error: error(leaf, counts, good: good))
    }

    private func error(_ leaf: Certificate, _ counts: [TimestampState: Int], good: Int) -> CertificateError {
        guard !counts.isEmpty else {
            return CertificateError(
                .transparencyMissing, "no log of certificates vouches for that of \(leaf.subject): no SCT came with it",
                hint: "have it issued by a CA that logs what it issues, or leave tls.ct off for this peer")
        }
        let found = counts.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }
        return CertificateError(
            .transparencyUnproven,
            "\(good) of the \(minimum) logs that are demanded vouch for the certificate of \(leaf.subject); its SCTs: "
                + found.joined(separator: ", "),
            hint: "compare the list of logs (tls.ct.logs) with: mesh cert check FILE --ct-logs LIST")
    }
}

/// What the SCTs of a server came to.
public struct TransparencyReview: Sendable, Equatable {
    /// The result as metrics have it.
    public enum Result: String, Sendable, CaseIterable {
        /// As many logs as are demanded vouch for the certificate.
        case enough
        /// No SCT came.
        case absent = "none"
        /// Some are good, and not enough.
        case tooFew = "too_few"
        /// A signature is wrong.
        case badSignature = "bad_signature"
        /// One is of the future.
        case future
        /// The logs do not count any more.
        case retiredLog = "retired_log"
        /// The logs are not in the list.
        case unknownLog = "unknown_log"
        /// They cannot be judged: of a version that is not known, or embedded where there is no issuer.
        case unusable

        /// The gravest of what was found.
        init(_ counts: [TimestampState: Int]) {
            let gravest: [(TimestampState, Result)] = [
                (.badSignature, .badSignature), (.future, .future), (.good, .tooFew), (.retiredLog, .retiredLog),
                (.unknownLog, .unknownLog),
            ]
            self = counts.isEmpty ? .absent : gravest.first { counts[$0.0] != nil }?.1 ?? .unusable
        }
    }

    /// What was demanded.
    public let mode: TransparencyPolicy.Mode
    /// What was found.
    public let result: Result
    /// What is wrong; nil where there are enough.
    public let error: CertificateError?

    /// The handshake must not go on.
    public var isRefused: Bool { mode == .require && error != nil }
    /// What became of the connection, as metrics have it.
    public var action: String { error == nil ? "passed" : isRefused ? "refused" : "reported" }
}
