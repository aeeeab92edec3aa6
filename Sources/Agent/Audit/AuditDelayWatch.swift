import EventLoop

/// Looks now and then, from a thread that waits for no disk, whether the audit log's has had its time.
@ControlPlane
final class AuditDelayWatch: TimerHandler {
    private let trail: AuditTrail
    private let interval: UInt64
    private var timer: TimerID?

    /// Begins.
    init(_ trail: AuditTrail) {
        self.trail = trail
        // A quarter of the time more or less is soon enough, and once a second costs nothing.
        interval = min(max(trail.maximumDelay / 4, 20 * Clock.millisecond), Clock.second)
        schedule()
    }

    private func schedule() { timer = ControlPlane.loop.schedule(after: interval, self, tag: 0) }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            trail.judgeDelay(at: Clock.monotonicNanoseconds())
            schedule()
        }
    }

    /// Ends.
    func stop() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }
}
