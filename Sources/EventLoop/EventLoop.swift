internal import CLinux
internal import Glibc

/// Waits for descriptors, timers and posted jobs, and calls who is concerned.
///
/// A loop lives on one thread: the one that calls `run()`; until then, the one that created it. Everything but its
/// `handle` may be used only there. It knows no protocol and owns no descriptor but its own.
///
/// A *tick* is one turn: wait; run the jobs that were posted; handle the descriptors that are ready (at most `batchSize`),
/// and if there were several, those that became ready meanwhile, again after the jobs; run the jobs that the handlers posted;
/// fire the timers that are due; end the tick. Nothing in a tick allocates once the tables have grown.
///
/// A job that was posted before a descriptor became ready runs before its handler: what the control plane has told a loop and
/// then answered to somebody holds for the connection that this somebody makes next, unless that joins a batch which is being
/// accepted at the moment.
public final class EventLoop {
    /// How many ready descriptors a tick fetches at most. More would delay timers and jobs without saving much: the
    /// call costs about as much as handling a few events.
    public static let batchSize = 256

    /// The token of the loop's own eventfd; no registration has it, since slots do not reach 2^32 - 1.
    private static let wakeToken = UInt64.max

    /// What other threads may use.
    public let handle: Handle

    private let poller: FileDescriptor
    private let events: UnsafeMutablePointer<epoll_event>
    private var handlers = HandlerSlab()
    private var timers = TimerHeap()
    private var tickHandlers: [any TickHandler] = []
    /// Empty arrays kept for their capacity.
    private var spareTickHandlers: [any TickHandler] = []
    private var spareJobs: [Handle.Job] = []
    private var isRunning = false
    private var tickTime: UInt64 = 0
    private var ticks: UInt64 = 0
    private var shortWaits: ShortWaits?

    /// Creates a loop with its epoll and eventfd descriptors.
    public init() throws(SystemError) {
        handle = try Handle()
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        try Syscall.check(descriptor, "epoll_create1")
        poller = FileDescriptor(owning: descriptor)
        events = .allocate(capacity: Self.batchSize)
        // Edge-triggered, so that a wake-up needs no read: each write is an event of its own.
        var event = epoll_event()
        event.events = clinux_EPOLLIN | clinux_EPOLLET
        event.data.u64 = Self.wakeToken
        let result = epoll_ctl(descriptor, EPOLL_CTL_ADD, handle.eventDescriptor.rawValue, &event)
        if result == -1 {
            events.deallocate()
            throw SystemError(call: "epoll_ctl", errno: errno)
        }
    }

    deinit { events.deallocate() }

    /// Nanoseconds of the monotonic clock: inside `run()` as of the start of the tick's work, else the current ones.
    public var now: UInt64 { isRunning ? tickTime : Clock.monotonicNanoseconds() }

    /// How many ticks there were, for metrics.
    public var tickCount: UInt64 { ticks }

    /// How often the loop looked for its next event before sleeping, with and without success; see `pollBeforeSleeping`.
    public var polls: (found: UInt64, missed: UInt64) { (shortWaits?.found ?? 0, shortWaits?.missed ?? 0) }

    /// Number of registered descriptors.
    public var registrationCount: Int { handlers.count }

    /// Number of scheduled timers.
    public var timerCount: Int { timers.count }

    /// Number of entries that the table of timers holds, cancelled ones not yet swept included; bounded by twice
    /// `timerCount` and a little.
    public var timerEntryCount: Int { timers.entryCount }
}

// MARK: - Running

extension EventLoop {
    /// How long a loop that polls looks for its next event, in nanoseconds: what the answer of another process on the same
    /// host takes at most, and more would cost a core more than being woken does.
    public static let pollingTime: UInt64 = 50 * Clock.microsecond

    /// From now on the loop looks for its next event for up to `nanoseconds`, twice that where one comes at a time, before it
    /// sleeps, but only where the last waits were that short, again and again. It gives way to other threads meanwhile.
    public func pollBeforeSleeping(_ nanoseconds: UInt64 = pollingTime) {
        shortWaits = ShortWaits(budget: nanoseconds)
    }

    /// Turns until `handle.stop()` is called. The calling thread becomes the loop's thread.
    ///
    /// Jobs posted before the stop have run when this returns. The loop may be run again, on the same thread.
    public func run() {
        precondition(!isRunning, "the loop runs already")
        isRunning = true
        tickTime = Clock.monotonicNanoseconds()
        handle.bind(true)
        while !handle.takeStop() { turn() }
        // A job may have been posted between the last look at the mailbox and the stop.
        runJobs()
        endTick()
        handle.bind(false)
        isRunning = false
    }

    private func turn() {
        let count = wait()
        ticks &+= 1
        shortWaits?.fetched(count)
        // Whoever saw that a job was posted may have made one of these descriptors ready: the job comes first. Time that it
        // takes is not the handlers'.
        if runJobs() { tickTime = Clock.monotonicNanoseconds() }
        dispatch(count)
        // A busy moment: what came while these were handled joins them, so that what is sent at the end of the tick is
        // sent for all, and fewer ticks do the same work.
        if count > 1 {
            let more = fetch(0)
            runJobs()
            tickTime = Clock.monotonicNanoseconds()
            dispatch(more)
        }
        runJobs()
        fireTimers()
        endTick()
    }

    private func dispatch(_ count: Int) {
        for index in 0..<count {
            let event = events[index]
            // The wake-up only ends the wait; the mailbox is looked at in each tick.
            guard event.data.u64 != Self.wakeToken else { continue }
            handlers.handler(token: event.data.u64)?.ready(Readiness(events: event.events), loop: self)
        }
    }

    /// Waits until something is to be done, sets the tick's time and returns how many events were fetched.
    private func wait() -> Int {
        let begin = Clock.monotonicNanoseconds()
        let deadline = handle.hasPending ? begin : timers.nextDeadline() ?? .max
        if let found = poll(from: begin, to: deadline) { return found }
        let count = fetch(Self.milliseconds(from: begin, to: deadline))
        tickTime = Clock.monotonicNanoseconds()
        if deadline > begin { shortWaits?.slept(tickTime - begin) }
        return count
    }

    /// Fetches events within `milliseconds`, -1 for ever.
    private func fetch(_ milliseconds: Int32) -> Int {
        let count = epoll_wait(poller.rawValue, events, Int32(Self.batchSize), milliseconds)
        // Only a signal can interrupt it: the descriptor and the buffer are ours. The tick then finds nothing to do.
        return count < 0 ? 0 : Int(count)
    }

    /// How long to wait; -1 for ever. Rounded up, so that a timer never finds itself early and turns the loop.
    private static func milliseconds(from now: UInt64, to deadline: UInt64) -> Int32 {
        guard deadline != .max else { return -1 }
        guard deadline > now else { return 0 }
        return Int32(clamping: (deadline - now - 1) / Clock.millisecond + 1)
    }

    /// Looks for events without sleeping, as long as that is worth while, and gives way to other threads between two
    /// looks: on a busy core it is they who make the events.
    ///
    /// - Returns: nil when the loop should sleep.
    private func poll(from begin: UInt64, to deadline: UInt64) -> Int? {
        guard let expected = shortWaits, expected.isNext, deadline > begin else { return nil }
        repeat {
            let count = fetch(0)
            tickTime = Clock.monotonicNanoseconds()
            if count > 0 || handle.hasPending {
                shortWaits?.looked()
                return count
            }
            if tickTime >= deadline { return 0 }
            sched_yield()
        } while tickTime - begin < expected.budget
        shortWaits?.lookedInVain()
        return nil
    }

    /// - Returns: whether there were any.
    @discardableResult
    private func runJobs() -> Bool {
        guard handle.hasPending else { return false }
        var batch: [Handle.Job] = []
        swap(&batch, &spareJobs)
        if handle.take(into: &batch) {
            for job in batch {
                switch job {
                case .closure(let body): body()
                case .loopClosure(let body): body(self)
                case .actor(let job, let executor): executor.run(job)
                }
            }
            batch.removeAll(keepingCapacity: true)
        }
        swap(&batch, &spareJobs)
        return true
    }

    private func fireTimers() {
        // Timers scheduled from here on wait for the next tick, so that one that renews itself cannot hold the loop.
        let limit = timers.nextSequence
        while let (target, tag) = timers.popDue(at: tickTime, before: limit) {
            target.timerFired(tag: tag, loop: self)
        }
    }

    private func endTick() {
        while !tickHandlers.isEmpty {
            var batch: [any TickHandler] = []
            swap(&batch, &spareTickHandlers)
            swap(&batch, &tickHandlers)
            for handler in batch { handler.tickEnded(loop: self) }
            batch.removeAll(keepingCapacity: true)
            swap(&batch, &spareTickHandlers)
        }
    }
}

// MARK: - Descriptors

extension EventLoop {
    /// Watches `fd` for `handler`, which the loop keeps alive until it is deregistered.
    ///
    /// The descriptor stays the caller's, who must deregister it before closing it. A descriptor can be registered only
    /// once in a loop (EEXIST).
    public func register(
        _ fd: Int32, _ interest: Interest, _ handler: any EventHandler
    ) throws(SystemError) -> Registration {
        let registration = handlers.reserve()
        do throws(SystemError) {
            try control(EPOLL_CTL_ADD, fd, interest, registration)
        } catch {
            _ = handlers.remove(registration)
            throw error
        }
        // Dropped here, outside of any access to the slab: its deinit may call the loop.
        _ = handlers.fill(registration, descriptor: fd, handler: handler)
        return registration
    }

    /// Changes what a descriptor is watched for; edge-triggered ones are re-armed. Nothing happens once it is
    /// deregistered.
    public func modify(_ registration: Registration, _ interest: Interest) {
        guard let fd = handlers.descriptor(registration) else { return }
        do throws(SystemError) {
            try control(EPOLL_CTL_MOD, fd, interest, registration)
        } catch {
            // ENOENT or EBADF: the owner closed the descriptor without deregistering it. It can have no more events.
            assertionFailure("modify of a closed descriptor: \(error)")
        }
    }

    /// Ends a registration and lets the handler go. Events already fetched for it are dropped.
    ///
    /// Nothing happens if it has ended before.
    public func deregister(_ registration: Registration) {
        guard let fd = handlers.descriptor(registration) else { return }
        var event = epoll_event()
        // Fails only where the descriptor was closed before, which has removed it.
        _ = epoll_ctl(poller.rawValue, EPOLL_CTL_DEL, fd, &event)
        _ = handlers.remove(registration)
    }

    /// Ends the registration of a descriptor that the caller closes now, which takes it from the kernel's list as well: a system
    /// call less.
    ///
    /// Only for descriptors of which there is no copy, in this process or another, that stays: the kernel would go on
    /// looking at the connection until that is closed, too. Nothing happens if the registration has ended before.
    public func deregisterForClose(_ registration: Registration) {
        guard handlers.descriptor(registration) != nil else { return }
        _ = handlers.remove(registration)
    }

    private func control(
        _ operation: Int32, _ fd: Int32, _ interest: Interest, _ registration: Registration
    ) throws(SystemError) {
        var event = epoll_event()
        event.events = interest.events
        event.data.u64 = registration.token
        try Syscall.check(epoll_ctl(poller.rawValue, operation, fd, &event), "epoll_ctl", "fd \(fd)")
    }
}

// MARK: - Timers and the end of a tick

extension EventLoop {
    /// Calls `target` with `tag` when the monotonic clock has reached `deadline` (nanoseconds), up to a millisecond
    /// later.
    ///
    /// A deadline in the past means the next tick. The loop keeps `target` alive until then or until the timer is
    /// cancelled. Timers with one deadline fire in the order in which they were scheduled.
    @discardableResult
    public func schedule(at deadline: UInt64, _ target: any TimerHandler, tag: Int = 0) -> TimerID {
        // Not before the current tick: a timer that renews itself with a past deadline would stay in front of others.
        timers.schedule(at: max(deadline, now), target, tag: tag)
    }

    /// Calls `target` with `tag` in `delay` nanoseconds from `now`.
    @discardableResult
    public func schedule(after delay: UInt64, _ target: any TimerHandler, tag: Int = 0) -> TimerID {
        let (deadline, overflow) = now.addingReportingOverflow(delay)
        return schedule(at: overflow ? .max : deadline, target, tag: tag)
    }

    /// Cancels a timer; nothing happens if it fired or was cancelled before.
    public func cancel(_ timer: TimerID) {
        // Dropped here, outside of any access to the heap: its deinit may call the loop.
        _ = timers.cancel(timer)
    }

    /// Calls `target` once when the current tick ends; who wants one call must ask once.
    ///
    /// Handlers that ask during the end of a tick are called in the same one: asking again for oneself, without end,
    /// holds the loop. Outside of `run()`, the first tick counts.
    public func atTickEnd(_ target: any TickHandler) { tickHandlers.append(target) }
}
