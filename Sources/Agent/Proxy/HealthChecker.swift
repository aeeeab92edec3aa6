import EventLoop
import JSON

/// Checks local services' targets: a TCP connection that succeeds is health, and where TLS is spoken a handshake with a
/// good certificate.
///
/// A service starts as healthy and is told otherwise after as many failures in a row as configured, so that a slow
/// start costs nothing and a flapping target is seen.
@ControlPlane
final class HealthChecker {
    private final class Check: TimerHandler {
        let service: String
        let target: ServiceTarget
        let parts: ChannelLoop
        let interval: UInt64
        let timeout: UInt64
        let failuresNeeded: Int
        let successesNeeded: Int
        var failures = 0
        var successes = 0
        var isHealthy = true
        var isFirst = true
        /// Why the last look failed; nil where it did not.
        var error: String?
        var timer: TimerID?
        var dial: TargetDial?
        let finished: @ControlPlane (String, _ error: String?) -> Void

        init(
            service: String, target: ServiceTarget, check: Configuration.Check, parts: ChannelLoop,
            finished: @escaping @ControlPlane (String, String?) -> Void
        ) {
            self.service = service
            self.target = target
            self.parts = parts
            interval = check.interval.nanoseconds
            timeout = check.timeout.nanoseconds
            failuresNeeded = check.failures
            successesNeeded = check.successes
            self.finished = finished
        }

        func start() {
            dial = TargetDial(target, timeout: timeout, parts: parts) { [unowned self] result in
                dial = nil
                var text: String?
                switch result {
                case .success(let channel): channel.close()
                case .failure(let error): text = error.description
                }
                ControlPlane.assumeIsolated { [finished, service, text] in finished(service, text) }
            }
        }

        func timerFired(tag: Int, loop: EventLoop) {
            timer = nil
            start()
        }

        func stop(_ loop: EventLoop) {
            if let timer { loop.cancel(timer) }
            timer = nil
            dial?.cancel()
            dial = nil
        }
    }

    private let log: Log
    private lazy var channels = ChannelLoop(ControlPlane.loop)
    private var checks: [String: Check] = [:]
    /// A service's health changed.
    var changed: @ControlPlane (_ service: String) -> Void = { _ in }

    init(log: Log) { self.log = log }

    /// A service that is being checked is not healthy until its check succeeds.
    func assumeFailing(_ service: String) {
        guard let check = checks[service] else { return }
        check.isHealthy = false
        check.isFirst = false
    }

    /// Starts to check a service, instead of an earlier check of it.
    func watch(_ service: String, target: ServiceTarget, check: Configuration.Check) {
        forget(service)
        guard check.kind == .tcp else { return }
        let started = Check(service: service, target: target, check: check, parts: channels) {
            [weak self] service, error in
            self?.finished(service, error)
        }
        checks[service] = started
        started.start()
    }

    /// Checks a service no more.
    func forget(_ service: String) {
        checks.removeValue(forKey: service)?.stop(ControlPlane.loop)
    }

    /// Whether a service's check does not fail; one that is not checked is healthy.
    func isHealthy(_ service: String) -> Bool { checks[service]?.isHealthy ?? true }

    /// Why a service's check fails; nil where it does not, or where nobody has looked yet.
    func failure(_ service: String) -> String? {
        checks[service].flatMap { $0.isHealthy ? nil : $0.error }
    }

    /// Stops all checks.
    func stop() {
        for check in checks.values { check.stop(ControlPlane.loop) }
        checks = [:]
    }

    private func finished(_ service: String, _ error: String?) {
        guard let check = checks[service] else { return }
        check.timer = ControlPlane.loop.schedule(after: check.interval, check, tag: 0)
        check.error = error
        if let error {
            check.failures += 1
            check.successes = 0
            // A target that is not there at the first look is not there: no need to wait for a second.
            guard check.isHealthy, check.failures >= check.failuresNeeded || check.isFirst else { return }
            check.isHealthy = false
            log.warning(
                "service_unhealthy", "service \(service) does not answer",
                [
                    ("service", .string(service)), ("target", .string(check.target.endpoint.description)),
                    ("detail", .string(error)),
                ])
        } else {
            check.successes += 1
            check.failures = 0
            let wasFirst = check.isFirst
            check.isFirst = false
            guard !check.isHealthy, check.successes >= check.successesNeeded else {
                if wasFirst { changed(service) }
                return
            }
            check.isHealthy = true
            log.info("service_healthy", "service \(service) answers", [("service", .string(service))])
        }
        check.isFirst = false
        changed(service)
    }
}
