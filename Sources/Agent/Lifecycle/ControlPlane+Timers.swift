import EventLoop

/// Timers of the control loop whose work is a closure. Who schedules often, or many at once, is a `TimerHandler` itself.
extension ControlPlane {
    /// Does `work` in `delay` nanoseconds, unless the timer is cancelled (`loop.cancel`). What it captures lives until then.
    @ControlPlane
    static func schedule(after delay: UInt64, _ work: @escaping @ControlPlane () -> Void) -> TimerID {
        loop.schedule(after: delay, Alarm(work))
    }

    /// Does `work` when the loop's clock has reached `deadline`, in nanoseconds, unless the timer is cancelled.
    @ControlPlane
    static func schedule(at deadline: UInt64, _ work: @escaping @ControlPlane () -> Void) -> TimerID {
        loop.schedule(at: deadline, Alarm(work))
    }

    private final class Alarm: TimerHandler {
        private let work: @ControlPlane () -> Void

        init(_ work: @escaping @ControlPlane () -> Void) { self.work = work }

        func timerFired(tag: Int, loop: EventLoop) { ControlPlane.assumeIsolated(work) }
    }
}
