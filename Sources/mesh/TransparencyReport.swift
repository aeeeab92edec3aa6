import Bytes
import EventLoop
import JSON
import PKI

/// The SCTs (RFC 6962) that are embedded in a certificate, and what they are worth where the logs that count are given.
struct TransparencyReport {
    /// One of them.
    struct Entry {
        let timestamp: SignedTimestamp
        /// Its log, where the list knows it.
        let log: TransparencyLog?
        /// What it is worth; nil without a list.
        let state: TimestampState?
    }

    /// In the order of the certificate.
    let entries: [Entry]
    /// What is wrong, where the logs that count are given.
    let fault: CertificateError?

    /// Looks into the first certificate of a chain; `roots` are where its issuer may be besides.
    init(_ chain: [Certificate], roots: [Certificate], logs: TransparencyLogs?, now: Int64) {
        guard let leaf = chain.first else {
            (entries, fault) = ([], nil)
            return
        }
        let issuer = (chain.dropFirst() + roots).first { leaf.isSigned(by: $0) }
        let timestamps = leaf.embeddedTimestamps
        entries = timestamps.map { timestamp in
            Entry(
                timestamp: timestamp, log: logs?.log(of: timestamp),
                state: logs?.state(of: timestamp, about: leaf, issuer: issuer, now: now))
        }
        fault = logs.flatMap { logs in
            TransparencyPolicy(logs: logs, mode: .require)
                .review(timestamps, of: [leaf] + (issuer.map { [$0] } ?? []), node: nil, now: now)?.error
        }
    }

    /// For `--json`.
    var json: JSONValue {
        .array(
            entries.map { entry in
                [
                    "logID": .string(Base64.encode(entry.timestamp.logID)),
                    "log": entry.log.map { .string($0.name) } ?? .null,
                    "operator": entry.log.map { .string($0.operator) } ?? .null,
                    "time": .string(UTCTime.text(entry.timestamp.time / 1000)),
                    "state": entry.state.map { .string($0.rawValue) } ?? .null,
                ]
            })
    }

    /// For people: a line for each.
    var fields: [(label: String, value: String)] {
        entries.map { entry in
            let log = entry.log?.name ?? "log \(Base64.encode(entry.timestamp.logID))"
            let state = entry.state.map { $0 == .good ? ", good" : ", \($0.rawValue)" } ?? ""
            return ("SCT", "\(UTCTime.text(entry.timestamp.time / 1000)), \(log)\(state)")
        }
    }
}
