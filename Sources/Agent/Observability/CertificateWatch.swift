import EventLoop
import JSON
import PKI

/// Says in the log, once for each threshold, that a certificate in use comes to its end.
@ControlPlane
final class CertificateWatch: TimerHandler {
    /// Between two looks, in nanoseconds: a minute is little beside the shortest threshold of a useful lifetime.
    private static let interval: UInt64 = 60_000_000_000

    private weak var agent: Agent?
    private let log: Log
    private var timer: TimerID?
    /// The threshold that was said last, by fingerprint.
    private var said: [String: Int64] = [:]

    init(_ agent: Agent, log: Log) {
        self.agent = agent
        self.log = log
        look()
    }

    func stop() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        agent = nil
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            look()
        }
    }

    private func look() {
        guard let agent else { return }
        timer = ControlPlane.loop.schedule(after: Self.interval, self)
        Task { @ControlPlane in self.report(await agent.certificates(), now: Clock.unixSeconds()) }
    }

    /// Says what is due; a certificate that was renewed has another fingerprint and begins anew.
    func report(_ certificates: [KnownCertificate], now: Int64) {
        var next: [String: Int64] = [:]
        for certificate in certificates {
            guard let threshold = certificate.expiry.passedThreshold(at: now) else { continue }
            next[certificate.fingerprint] = threshold
            guard said[certificate.fingerprint] != threshold else { continue }
            let left = certificate.expiry.notAfter - now
            let fields: [Log.Field] = [
                ("use", .string(certificate.use.rawValue)), ("name", .string(certificate.name)),
                ("subject", .string(certificate.subject)), ("serial", .string(certificate.serial)),
                ("expires", .string(Timestamp.rfc3339(milliseconds: certificate.expiry.notAfter * 1000))),
                ("hint", "see whether its renewal works; mesh certs lists all"),
            ]
            if left <= 0 {
                log.error("certificate_expired", "a certificate in use has expired", fields)
            } else {
                log.warning(
                    "certificate_expiring", "a certificate in use expires in \(UTCTime.duration(left))", fields)
            }
        }
        said = next
    }
}
