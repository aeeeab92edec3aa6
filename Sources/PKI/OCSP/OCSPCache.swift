/// What is known of certificates by OCSP, each until its answer ends; bounded. Pure: times are parameters, unix seconds.
public struct OCSPCache: Sendable {
    /// What is known of one certificate.
    public enum Knowledge: Sendable, Equatable {
        /// Its issuer's responder has said so.
        case answer(OCSPAnswer.Status)
        /// The responder was asked a moment ago and said nothing of use.
        case failed(String)
    }

    private struct Entry {
        var status: OCSPAnswer.Status?
        var thisUpdate: Int64 = 0
        var validUntil: Int64 = 0
        var failure: String?
        var failedUntil: Int64 = 0

        var end: Int64 { max(validUntil, failedUntil) }
    }

    /// How long a failure is remembered, in seconds: a responder that is down is not asked for each of a thousand links.
    public static let failureMemory: Int64 = 5
    private var entries: [String: Entry] = [:]
    private let capacity: Int

    /// A cache for so many certificates.
    public init(capacity: Int = 4096) { self.capacity = max(1, capacity) }

    /// How many certificates something is known of.
    public var count: Int { entries.count }

    /// What is known of a certificate, by its `OCSPSubject.key`; nil where the responder is to be asked.
    public func knowledge(of key: String, at now: Int64) -> Knowledge? {
        guard let entry = entries[key] else { return nil }
        if let status = entry.status, now < entry.validUntil { return .answer(status) }
        if let failure = entry.failure, now < entry.failedUntil { return .failed(failure) }
        return nil
    }

    /// The time of the answer that still counts; nil without one.
    public func validity(of key: String, at now: Int64) -> Range<Int64>? {
        guard let entry = entries[key], entry.status != nil, now < entry.validUntil else { return nil }
        return entry.thisUpdate..<entry.validUntil
    }

    /// Takes over an answer. An older one than what is known changes nothing, whoever brings it: it could be played again to hide
    /// that the certificate has been revoked since.
    /// - Returns: whether it is newer than what was known.
    @discardableResult
    public mutating func note(_ answer: OCSPAnswer, of key: String, at now: Int64) -> Bool {
        var entry = entries[key] ?? Entry()
        guard entry.status == nil || answer.thisUpdate > entry.thisUpdate else { return false }
        entry.status = answer.status
        entry.thisUpdate = answer.thisUpdate
        entry.validUntil = answer.validUntil
        entry.failure = nil
        put(entry, key, now)
        return true
    }

    /// The responder said nothing of use; an answer that still counts goes on counting.
    public mutating func noteFailure(_ text: String, of key: String, at now: Int64) {
        var entry = entries[key] ?? Entry()
        entry.failure = text
        entry.failedUntil = now + Self.failureMemory
        put(entry, key, now)
    }

    private mutating func put(_ entry: Entry, _ key: String, _ now: Int64) {
        if entries[key] == nil, entries.count >= capacity {
            entries = entries.filter { $0.value.end > now }
            if entries.count >= capacity, let first = entries.min(by: { $0.value.end < $1.value.end }) {
                entries[first.key] = nil
            }
        }
        entries[key] = entry
    }
}
