import EventLoop

/// One timer of a connection that is moved often: moving it later costs nothing, since a timer that fires early only
/// schedules itself again.
struct Deadline {
    private var timer: TimerID?
    /// When the scheduled timer fires.
    private var scheduled: UInt64 = 0
    /// When time is over; nil while no time runs.
    private(set) var time: UInt64?

    /// Nothing runs.
    init() {}

    /// Time is over `delay` nanoseconds from now.
    mutating func set(after delay: UInt64, _ loop: EventLoop, _ target: any TimerHandler, tag: Int) {
        let (end, overflow) = loop.now.addingReportingOverflow(delay)
        let deadline = overflow ? UInt64.max : end
        time = deadline
        if timer != nil, scheduled <= deadline { return }
        if let timer { loop.cancel(timer) }
        scheduled = deadline
        timer = loop.schedule(at: deadline, target, tag: tag)
    }

    /// No time runs; the timer, if there is one, fires in vain.
    mutating func clear() { time = nil }

    /// No timer is left on the loop.
    mutating func cancel(_ loop: EventLoop) {
        if let timer { loop.cancel(timer) }
        timer = nil
        time = nil
    }

    /// The timer fired: whether time is over. If not, it is scheduled again.
    mutating func fired(_ loop: EventLoop, _ target: any TimerHandler, tag: Int) -> Bool {
        timer = nil
        guard let time else { return false }
        guard loop.now < time else {
            self.time = nil
            return true
        }
        scheduled = time
        timer = loop.schedule(at: time, target, tag: tag)
        return false
    }
}
