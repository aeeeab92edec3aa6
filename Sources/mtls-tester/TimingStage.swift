import EventLoop
import PKI
import TLS

/// How long connections take.
struct TimingStage {
    let dialler: Dialler
    let report: Report
    let identity: OwnIdentity

    /// Enough for a median.
    private static let samples = 5

    func run() {
        report.run(.handshakeTimes) {
            guard let context = try? Dialler.context(credentials: identity.credentials) else {
                return .skipped("our certificate cannot be used")
            }
            var connects: [UInt64] = []
            var handshakes: [UInt64] = []
            for _ in 0..<Self.samples {
                let start = Clock.monotonicNanoseconds()
                guard let wire = try? dialler.dial(context) else { continue }
                connects.append(Clock.monotonicNanoseconds() - start)
                // Before TLS 1.3 a handshake without certificate never completes; its time would mean nothing.
                if case .complete = wire.handshake() { handshakes.append(wire.handshakeNanoseconds) }
                wire.close()
            }
            guard let connect = median(connects) else { return .skipped("no connection succeeded") }
            let tls = median(handshakes).map { "TLS \(Times.milliseconds($0))" } ?? "TLS not complete"
            return .info("TCP \(Times.milliseconds(connect)), \(tls) (median of \(connects.count))")
        }
    }

    private func median(_ values: [UInt64]) -> UInt64? {
        values.isEmpty ? nil : values.sorted()[values.count / 2]
    }
}
