import EventLoop
import JSON

/// Checks local services' targets: a TCP connection that succeeds is health.
///
/// A service starts as healthy and is told otherwise after as many failures in a row as configured, so that a slow
/// start costs nothing and a flapping target is seen.
@ControlPlane
final class HealthChecker {
    private final class Check: ConnectHandler, TimerHandler {
        let service: String
        let target: SocketAddress
        let interval: UInt64
        let timeout: UInt64
        let failuresNeeded: Int
        let successesNeeded: Int
        var failures = 0
        var successes = 0
        var isHealthy = true
        var isFirst = true
        var timer: TimerID?
        var connector: Connector?
        let finished: @ControlPlane (String, _ error: String?) -> Void

        init(
            service: String, target: SocketAddress, check: Configuration.Check,
            finished: @escaping @ControlPlane (String, String?) -> Void
        ) {
            self.service = service
            self.target = target
            interval = check.interval.nanoseconds
            timeout = check.timeout.nanoseconds
            failuresNeeded = check.failures
            successesNeeded = check.successes
            self.finished = finished
        }

        func start(_ loop: EventLoop) {
            connector = Connector([target], timeout: timeout, loop: loop, handler: self)
        }

        func connected(
            _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
        ) {
            self.connector = nil
            ControlPlane.assumeIsolated { [finished, service] in finished(service, nil) }
        }

        func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
            self.connector = nil
            let text = error.description
            ControlPlane.assumeIsolated { [finished, service] in finished(service, text) }
        }

        func timerFired(tag: Int, loop: EventLoop) {
            timer = nil
            start(loop)
        }

        func stop(_ loop: EventLoop) {
            if let timer { loop.cancel(timer) }
            timer = nil
            connector?.cancel()
            connector = nil
        }
    }

    private let log: Log
    private var checks: [String: Check] = [:]
    /// A service's health changed.
    var changed: @ControlPlane (_ service: String) -> Void = { _ in }

    init(log: Log) { self.log = log }

    /// Starts to check a service, instead of an earlier check of it.
    func watch(_ service: String, target: SocketAddress, check: Configuration.Check) {
        forget(service)
        guard check.kind == .tcp else { return }
        let started = Check(service: service, target: target, check: check) { [weak self] service, error in
            self?.finished(service, error)
        }
        checks[service] = started
        started.start(ControlPlane.loop)
    }

    /// Checks a service no more.
    func forget(_ service: String) {
        checks.removeValue(forKey: service)?.stop(ControlPlane.loop)
    }

    /// Whether a service's check does not fail; one that is not checked is healthy.
    func isHealthy(_ service: String) -> Bool { checks[service]?.isHealthy ?? true }

    /// Stops all checks.
    func stop() {
        for check in checks.values { check.stop(ControlPlane.loop) }
        checks = [:]
    }

    private func finished(_ service: String, _ error: String?) {
        guard let check = checks[service] else { return }
        check.timer = ControlPlane.loop.schedule(after: check.interval, check, tag: 0)
        if let error {
            check.failures += 1
            check.successes = 0
            // A target that is not there at the first look is not there: no need to wait for a second.
            guard check.isHealthy, check.failures >= check.failuresNeeded || check.isFirst else { return }
            check.isHealthy = false
            log.warning(
                "service_unhealthy", "service \(service) does not answer",
                [("service", .string(service)), ("target", .string("\(check.target)")), ("detail", .string(error))])
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
