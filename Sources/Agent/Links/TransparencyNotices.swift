import JSON
import PKI

/// Counts what servers' SCTs came to, and logs what is only reported: once for each server until it changes, as a target can be
/// dialled a thousand times a second.
struct TransparencyNotices {
    /// So many servers are remembered; beyond it, all are forgotten and logged once more.
    private static let capacity = 1024
    private var reported: [String: TransparencyReview.Result] = [:]

    /// True where this result is to be logged.
    mutating func isNews(_ review: TransparencyReview, of server: String) -> Bool {
        guard review.action == "reported" else {
            reported[server] = nil
            return false
        }
        guard reported[server] != review.result else { return false }
        if reported.count >= Self.capacity { reported = [:] }
        reported[server] = review.result
        return true
    }
}

extension WorkerCore {
    /// A server was dialled; nil where nobody looks at its SCTs.
    func noticeTransparency(_ review: TransparencyReview?, of server: String, use: String) {
        guard let review else { return }
        counters.transparencyReviewed(review, use: use)
        guard transparency.isNews(review, of: "\(use) \(server)"), let error = review.error else { return }
        shared.log.warning(
            "ct_unproven", "too few logs vouch for the certificate of a server that was dialled (report only)",
            [
                ("use", .string(use)), ("server", .string(server)), ("reason", .string(error.code)),
                ("result", .string(review.result.rawValue)), ("detail", .string(error.message)),
                ("hint", .string(error.hint)),
            ])
    }
}
