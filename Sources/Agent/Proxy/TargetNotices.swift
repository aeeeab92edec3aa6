import JSON
import PKI
import TLS

/// What was found out about targets that are spoken to over TLS: counted, and where it is only reported, logged once for each target
/// until it changes, as a target can be dialled a thousand times a second.
struct TargetNotices {
    /// So many targets are remembered; beyond it, all are forgotten and logged once more.
    private static let capacity = 1024
    /// The certificate that matches no pin, by target.
    private var reported: [String: String] = [:]

    /// True where this mismatch of pins is to be logged; `fingerprint` is nil where there is none.
    mutating func isNews(_ fingerprint: String?, of target: String) -> Bool {
        guard reported[target] != fingerprint else { return false }
        if reported.count >= Self.capacity { reported = [:] }
        reported[target] = fingerprint
        return fingerprint != nil
    }
}

extension WorkerCore {
    /// A target was dialled; nothing is said of one without TLS.
    func noticeTarget(_ session: TLSSession?, at place: String) {
        guard let session else { return }
        noticeTransparency(session.transparency, of: place, use: "target")
        if let error = session.certificateError {
            counters.targetChecked("certificate", error.code)
            switch error.reason {
            case .pinMismatch: counters.targetChecked("pin", "refused")
            case .stapleMissing, .badStaple: counters.targetChecked("staple", error.code)
            default: break
            }
            return
        }
        guard let identity = session.peerIdentity else { return }
        counters.targetChecked("certificate", "ok")
        if let staple = session.staple { counters.targetChecked("staple", staple.code) }
        if let result = session.pinOutcome.code { counters.targetChecked("pin", result) }
        guard case .mismatch(let error) = session.pinOutcome else {
            _ = targets.isNews(nil, of: place)
            return
        }
        guard targets.isNews(identity.fingerprint, of: place) else { return }
        shared.log.warning(
            "pin_mismatch", "a target is used although its certificate matches no pin (report only)",
            [
                ("target", .string(place)), ("detail", .string(error.message)), ("hint", .string(error.hint)),
                ("fingerprint", .string(identity.fingerprint)),
            ])
    }
}
