import EventLoop
import Glibc
import JSON

/// The agent's end.
extension Agent {
    /// Waits until the agent has ended; gives the exit code.
    public func finished() async -> Int32 {
        if let exitCode { return exitCode }
        return await withCheckedContinuation { finish = $0 }
    }

    /// Ends in order: no new connections, deregistered, streams under way may go on for the drain timeout.
    func drain(_ why: String) {
        guard !isDraining else { return stop() }
        if isHandedOver {
            isLeaving = true
            return
        }
        isDraining = true
        log.info("draining", "no new connections are taken", [("why", .string(why))])
        Systemd.notify("STOPPING=1")
        Systemd.extendStop()
        meshDoor?.close()
        meshDoor = nil
        Task { @ControlPlane in
            await directoryClient?.deregister()
            publish()
            supervisor.stop()
            edge.drain()
            for worker in shared.workers { worker.submit { $0.drain() } }
            let deadline = Clock.monotonicNanoseconds() + configuration.shutdown.drainTimeout.nanoseconds
            while Clock.monotonicNanoseconds() < deadline {
                Systemd.extendStop()
                if await activity() == 0 { break }
                await ControlPlane.sleep(nanoseconds: 50_000_000)
            }
            await edge.sayGoodbye()
            stop()
        }
    }

    func stop() {
        guard exitCode == nil else { return }
        exitCode = 0
        closeDoors()
        certificateWatch?.stop()
        removeSocketFiles()
        registry.stop()
        edge.stop(keepsFiles: isHandedOver)
        staples.stop()
        peerStatus.stop()
        lists.stop()
        directoryClient?.stop()
        directoryHost?.stop()
        renewal.stop()
        sealCourier.stop()
        identityWatcher.stop()
        unapplied.stop()
        targetWatcher.stop()
        ca?.stop()
        for worker in shared.workers { worker.stop() }
        log.info("stopped", "node \(shared.node) is down")
        log.observe(nil)
        audit?.stop()
        finish?.resume(returning: 0)
        finish = nil
    }
}
