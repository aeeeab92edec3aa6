import Agent
import Dispatch
import EventLoop
import JSON
import PKI

/// What OCSP responders say of a certificate and of the CAs between it and the root (RFC 6960), asked now.
struct ResponderReport {
    /// One certificate that was asked about.
    struct Entry {
        let certificate: Certificate
        /// Who was asked; nil where nobody is known.
        let responder: String?
        /// What was said.
        let answer: OCSPAnswer?
        /// Why nothing was.
        let failure: String?
    }

    /// Leaf first.
    private(set) var entries: [Entry] = []
    /// What is wrong.
    private(set) var faults: [CertificateError] = []

    /// How long each answer may take, in seconds.
    private static let timeout = 10

    /// Asks about the certificates of a file.
    ///
    /// - Parameters:
    ///   - roots: where issuers may be besides.
    ///   - responder: who is asked about the first certificate; nil leaves it to what the certificate names.
    init(_ chain: [Certificate], roots: [Certificate], responder: String?) {
        for (index, certificate) in chain.enumerated() where !certificate.isSelfSigned {
            let url = (index == 0 ? responder : nil) ?? certificate.responders.first
            // A CA that names nobody is on a CRL, if anywhere.
            if index > 0, url == nil { continue }
            let issuer = (chain + roots).first { $0 != certificate && certificate.isSigned(by: $0) }
            ask(certificate, issuer, url)
        }
    }

    private mutating func ask(_ certificate: Certificate, _ issuer: Certificate?, _ url: String?) {
        guard let url else {
            return add(certificate, url, failure: "it names no responder", "give --ocsp-responder URL")
        }
        guard let issuer else {
            return add(
                certificate, url, failure: "the certificate of its issuer, which the question needs, is not there",
                "append it to the file, or give --ca")
        }
        let subject = OCSPSubject(certificate, issuer: issuer)
        switch Self.wait({ await ResponderLookup.ask(subject, at: url, timeout: Self.timeout) }) {
        case .failure(let failure):
            add(
                certificate, url, failure: "\(failure.text) (\(failure.code))",
                "see whether \(url) is the right responder")
        case .success(let answer):
            entries.append(Entry(certificate: certificate, responder: url, answer: answer, failure: nil))
            switch answer.status {
            case .good: break
            case .revoked(let time, let reason): faults.append(.revoked(subject, at: time, reason))
            case .unknown:
                faults.append(
                    CertificateError(
                        .revocationUnknown, "the responder \(url) does not know \(certificate.subject)",
                        hint: "does it answer for \(certificate.issuer)?"))
            }
        }
    }

    private mutating func add(_ certificate: Certificate, _ url: String?, failure: String, _ hint: String) {
        entries.append(Entry(certificate: certificate, responder: url, answer: nil, failure: failure))
        faults.append(
            CertificateError(
                .revocationUnknown, "whether \(certificate.subject) is revoked cannot be found out: \(failure)",
                hint: hint))
    }

    /// Commands wait for what agents do meanwhile.
    private static func wait<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) -> Value {
        let (done, outcome) = (DispatchSemaphore(value: 0), Box<Value>())
        Task.detached {
            let value = await body()
            outcome.value.withLock { $0 = value }
            done.signal()
        }
        done.wait()
        guard let value = outcome.value.withLock({ $0 }) else { preconditionFailure("it is set before the signal") }
        return value
    }

    private final class Box<Value: Sendable>: Sendable {
        let value = Locked<Value?>(nil)
    }

    /// For `--json`.
    var json: JSONValue {
        .array(
            entries.map { entry in
                func text(_ time: Int64?) -> JSONValue { time.map { .string(UTCTime.text($0)) } ?? .null }
                return [
                    "subject": .string(entry.certificate.subject), "serial": .string(entry.certificate.serialHex),
                    "responder": entry.responder.map { .string($0) } ?? .null,
                    "status": entry.answer.map { .string($0.status.code) } ?? .null,
                    "thisUpdate": text(entry.answer?.thisUpdate), "validUntil": text(entry.answer?.validUntil),
                    "error": entry.failure.map { .string($0) } ?? .null,
                ]
            })
    }

    /// For people: a line for each.
    var fields: [(label: String, value: String)] {
        entries.map { entry in
            let said = entry.answer.map { "\($0.status.code), until \(UTCTime.text($0.validUntil))" }
            return ("OCSP", "\(entry.certificate.subject): \(said ?? entry.failure ?? "")")
        }
    }
}
