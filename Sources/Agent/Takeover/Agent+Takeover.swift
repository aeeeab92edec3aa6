import Directory
import EventLoop
import Glibc
import JSON

/// An agent that another process of the same node takes over from, and one that has taken over.
extension Agent {
    /// A socket for the other process.
    struct OfferedListener {
        let kind: InheritedListeners.Kind
        let descriptor: Int32
        let isActivated: Bool
    }

    // MARK: - The old process

    /// How long the audit log may take to write what waits, in nanoseconds: a disk that takes longer does not answer.
    private static var auditTime: UInt64 { 5_000_000_000 }

    /// Closes the files that only one process can have, and changes nothing any more.
    func freeze() async throws {
        isFrozen = true
        renewal.suspend()
        lists.suspend()
        await directoryHost?.suspend()
        await ca?.suspend()
        if let audit, await !audit.suspend(within: Self.auditTime) {
            throw TakeoverError(description: "the audit log's disk does not answer")
        }
        // The other process reads them, and what is in force here must not be undone by it.
        guard await documents.isStored(within: Self.auditTime) else {
            throw TakeoverError(description: "a document that is in force is not on disk, which takes nothing")
        }
        log.info("takeover_started", "another process starts to take over; nothing is written until it has")
    }

    /// The other process failed: all goes on.
    func thaw() {
        guard isFrozen, !isHandedOver else { return }
        isFrozen = false
        audit?.resume()
        directoryHost?.resume()
        ca?.resume(log)
        renewal.resume()
        lists.resume()
    }

    /// The other process is ready: it gets everything new from now on.
    func handOver(to channel: TakeoverChannel, pid: Int32) async {
        isHandedOver = true
        shared.passOn = { descriptor, origin, bytes in
            channel.send("connection", ["origin": .string(origin)], bytes: bytes, passing: [descriptor.release()])
        }
        // Before it: systemd takes this only from the process that it knows, and would take our end for the service's.
        Systemd.notify("MAINPID=\(pid)")
        let links = supervisor.takeoverLinks
        closeDoors()
        supervisor.handOver()
        for worker in shared.workers { await worker.ask { $0.handOver() } }
        edge.handOver()
        directoryClient?.stop()
        await ca?.stopListening()
        closeControlConnections()
        renewal.stop()
        identityWatcher.stop()
        unapplied.stop()
        targetWatcher.stop()
        var state = TakeoverState()
        state.isOutOfService = isOutOfService
        state.links = links
        state.failing = registry.entries.keys.filter { !registry.isHealthy($0) }.sorted()
        let directory = directoryClient.map { $0.hasSnapshot ? $0.snapshot.json.serialized() : [] } ?? []
        channel.send("handed", state.json, bytes: directory)
        forwardAudit(to: channel)
        log.info(
            "handed_over", "another process has taken over; this one finishes what it has begun",
            [("pid", .init(Int(pid))), ("links", .init(links.count))])
        Task { @ControlPlane in await self.finish(channel) }
    }

    /// Carries on what is under way, for the time to drain at most, and ends.
    private func finish(_ channel: TakeoverChannel) async {
        let deadline = Clock.monotonicNanoseconds() + configuration.shutdown.drainTimeout.nanoseconds
        var told = -1
        while Clock.monotonicNanoseconds() < deadline, !isLeaving {
            let streams = await activity()
            if streams != told { channel.send("progress", ["streams": .init(streams)]) }
            told = streams
            if streams == 0, await isLeft() { break }
            await ControlPlane.sleep(nanoseconds: 20_000_000)
        }
        await edge.sayGoodbye()
        await audit?.settle()
        await channel.drain(within: 1_000_000_000)
        stop()
    }

    private func isLeft() async -> Bool {
        let start = shared.handovers.now
        for worker in shared.workers where await !worker.ask({ $0.isLeft }) { return false }
        return shared.handovers.missed(since: start) == 0
    }

    // MARK: - The new process

    /// Checks the new process' files while the running agent still has its own.
    static func review(_ effective: EffectiveConfiguration, for predecessor: Predecessor) throws {
        let problems = check(effective, includingCA: false)
        guard problems.isEmpty else { throw StartFailure(problems: problems) }
        let node = try NodeIdentity.load(effective.configuration).node
        guard node == predecessor.node else {
            throw StartFailure(
                exitCode: 78,
                lines: ["the agent that runs here is node \(predecessor.node), and this one would be \(node)"],
                hint: "give this one the running agent's configuration, or a control socket of its own (listen.control)"
            )
        }
    }

    /// Takes over what the old process knew.
    func takeOver(_ state: TakeoverState, directory: [UInt8]) {
        isOutOfService = state.isOutOfService
        registry.assumeFailing(state.failing)
        if !directory.isEmpty {
            do {
                directoryClient?.assume(try DirectorySnapshot(json: try JSONReader.parse(directory)))
            } catch {
                log.warning(
                    "takeover_directory",
                    "the old process's copy of the directory cannot be read; the directory has it",
                    [("detail", .string("\(error)"))])
            }
        }
        publish()
        supervisor.expect(state.links)
    }

    /// Takes a connection over that the old process had accepted.
    func adopt(_ descriptor: consuming FileDescriptor, _ origin: String, _ bytes: [UInt8]) {
        guard let upstream = upstreams[origin] else {
            log.warning(
                "takeover_connection",
                "the old process gave a connection of an upstream that is not configured any more",
                [("upstream", .string(origin))])
            return
        }
        let raw = descriptor.release()
        shared.workers[0].submit { _ in upstream.adopt(FileDescriptor(owning: raw), bytes) }
    }

    /// Starts the program anew, to take over from this process.
    func upgrade() {
        guard !isDraining, !isFrozen, relaunch?.isRunning != true else {
            return log.warning("upgrade_refused", "SIGUSR2 came while the agent ends or is being taken over")
        }
        relaunch = Relaunch(log: log)
    }
}
