/// Collects the verdicts on the certificates of one chain: the worst counts.
@ControlPlane
final class OCSPVerdicts {
    private var missing: Int
    private var unknown: String?
    private var done: (@Sendable (OCSPVerdict) -> Void)?

    /// Waits for so many verdicts; `done` is called once, as soon as it is clear what comes of them.
    init(of count: Int, done: @escaping @Sendable (OCSPVerdict) -> Void) {
        missing = count
        self.done = done
    }

    /// One of them.
    func take(_ verdict: OCSPVerdict) {
        missing -= 1
        switch verdict {
        case .passes: break
        case .revoked: return finish(.revoked)
        case .unknown(let why): unknown = unknown ?? why
        }
        if missing == 0 { finish(unknown.map { .unknown($0) } ?? .passes) }
    }

    private func finish(_ verdict: OCSPVerdict) {
        let done = done
        self.done = nil
        done?(verdict)
    }
}
