internal import CLinux
internal import Synchronization

extension EventLoop {
    /// The side of a loop that other threads may use: they post jobs to it and stop it.
    ///
    /// A handle may outlive its loop; what is posted then is never run.
    public final class Handle: Sendable {
        /// Something to be run on the loop's thread.
        enum Job: Sendable {
            case closure(@Sendable () -> Void)
            case loopClosure(@Sendable (EventLoop) -> Void)
            case actor(UnownedJob, LoopExecutor)
        }

        let eventDescriptor: FileDescriptor
        private let jobs = Locked<[Job]>([])
        /// Whether jobs or a stop wait and the loop was told: a thousand posts cost one write.
        private let isPending = Atomic<Bool>(false)
        private let isStopRequested = Atomic<Bool>(false)
        /// Identity of the thread inside `run()`; 0 while there is none.
        private let thread = Atomic<UInt>(0)
        private let writes = Atomic<UInt>(0)

        init() throws(SystemError) {
            let descriptor = clinux_eventfd()
            try Syscall.check(descriptor, "eventfd")
            eventDescriptor = FileDescriptor(owning: descriptor)
        }

        /// Runs `job` on the loop's thread, after all jobs posted before it. Any thread may call this.
        ///
        /// A job posted by a job waits until descriptors that are ready have been looked at.
        public func post(_ job: @escaping @Sendable () -> Void) { enqueue(.closure(job)) }

        /// Like `post`, for a job that needs the loop itself, to register or schedule something.
        public func withLoop(_ job: @escaping @Sendable (EventLoop) -> Void) { enqueue(.loopClosure(job)) }

        /// Makes `run()` return after the current tick; if the loop does not run, the next `run()` returns at once.
        ///
        /// Jobs posted before are still run. Any thread may call this.
        public func stop() {
            isStopRequested.store(true, ordering: .releasing)
            wakeUp()
        }

        /// Whether the caller runs on the loop's thread, inside `run()`.
        public var isOnLoopThread: Bool {
            thread.load(ordering: .relaxed) == clinux_thread_identity()
        }

        /// How often a thread had to wake the loop up (writes to its eventfd), for metrics.
        public var wakeUpCount: UInt { writes.load(ordering: .relaxed) }

        func enqueue(_ job: Job) {
            jobs.withLock { $0.append(job) }
            wakeUp()
        }

        private func wakeUp() {
            guard !isPending.exchange(true, ordering: .acquiringAndReleasing) else { return }
            // The loop itself looks at the flag before it waits.
            guard !isOnLoopThread else { return }
            writes.add(1, ordering: .relaxed)
            // Fails only when the counter is full, at 2^64 - 2 writes.
            _ = eventfd_write(eventDescriptor.rawValue, 1)
        }
    }
}

// MARK: - The loop's side

extension EventLoop.Handle {
    /// Whether the loop must not wait: something was posted.
    var hasPending: Bool { isPending.load(ordering: .acquiring) }

    /// Takes what was posted into `batch`, which is empty; false where there was nothing.
    func take(into batch: inout [Job]) -> Bool {
        // The flag goes first: what is posted from here on wakes the loop again.
        guard isPending.exchange(false, ordering: .acquiringAndReleasing) else { return false }
        jobs.withLock { swap(&$0, &batch) }
        return !batch.isEmpty
    }

    /// Whether a stop was requested; asking withdraws it.
    func takeStop() -> Bool { isStopRequested.exchange(false, ordering: .acquiringAndReleasing) }

    /// The calling thread enters (true) or leaves (false) `run()`.
    func bind(_ isRunning: Bool) {
        thread.store(isRunning ? clinux_thread_identity() : 0, ordering: .releasing)
    }
}
