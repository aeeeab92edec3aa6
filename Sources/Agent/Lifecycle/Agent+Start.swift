import EventLoop
import Glibc
import JSON
import PKI
import TLS

/// From a configuration to an agent that serves.
extension Agent {
    /// Starts an agent. Every file is read and every listener bound before anything is served, so that a bad start is one
    /// clear error.
    ///
    /// - Parameter takesOver: an agent that runs with the same control socket hands everything over once this one is ready;
    ///   it goes on as if nothing had happened where this start fails. Where none runs, this is an ordinary start.
    public static func start(
        _ effective: EffectiveConfiguration, takesOver: Bool = false, reload: @escaping Loader
    ) async throws -> Agent {
        raiseDescriptorLimit()
        let settings = effective.configuration.log
        let log = Log(minimum: settings.level, format: Log.Format(settings.format))
        protectMemory(effective.configuration, log)
        let inherited = InheritedListeners()
        try ActivatedSockets.take(into: inherited)
        guard takesOver,
            let predecessor = try await Predecessor.find(
                control: effective.configuration.listen.control, into: inherited, log: log)
        else {
            let agent = try await prepare(effective, loader: reload, log: log, inherited: inherited)
            try agent.serve()
            return agent
        }
        do {
            let agent = try await prepare(
                effective, loader: reload, log: log, inherited: inherited, predecessor: predecessor)
            do {
                let (state, directory) = try await predecessor.commit()
                agent.takeOver(state, directory: directory)
                try agent.serve()
            } catch {
                // The other process writes on it.
                agent.closeAudit()
                throw error
            }
            predecessor.follow(
                adopt: { [unowned agent] descriptor, origin, bytes in agent.adopt(descriptor, origin, bytes) },
                audit: { [unowned agent] message, process in agent.takeAudit(message, of: process) })
            return agent
        } catch {
            await predecessor.abandon(error)
            throw error
        }
    }

    /// Everything that can fail, up to the first connection that is accepted.
    private static func prepare(
        _ effective: EffectiveConfiguration, loader: @escaping Loader, log: Log, inherited: InheritedListeners,
        predecessor: Predecessor? = nil
    ) async throws -> Agent {
        try TLSGround.prepare(effective.configuration)
        if let predecessor {
            // What is wrong with files is found while the running agent still has its own.
            try review(effective, for: predecessor)
            try await predecessor.freeze()
        }
        // Only now: the running agent wrote to it until it froze.
        let audit = try AuditLog.open(effective.configuration, log: log)
        log.observe(audit?.trail.note)
        do {
            let ca = try CAService.open(effective.configuration, log: log)
            try await StartWait.run(log, isSuccessor: predecessor != nil) {
                try await FirstIdentity.prepare(effective.configuration, ca: ca, log: log)
            }
            let agent = try Agent(
                effective, loader: loader, ca: ca, audit: audit, log: log, inherited: inherited,
                predecessor: predecessor)
            try agent.bind()
            try agent.assemble()
            return agent
        } catch {
            audit?.stop()
            throw error
        }
    }

    /// Before a key is read.
    private static func protectMemory(_ configuration: Configuration, _ log: Log) {
        noteUnlockedSecrets(log)
        guard !configuration.node.coreDumps else {
            return log.warning(
                "core_dumps_allowed", "core dumps and debuggers may show this node's keys (node.coreDumps)")
        }
        do throws(SystemError) {
            try ProcessMemory.protect()
        } catch {
            log.error(
                "memory_not_protected", "core dumps cannot be switched off", [("detail", .string("\(error)"))])
        }
    }

    /// Says so, once, when a secret lies in memory that may be written to swap.
    nonisolated static func noteUnlockedSecrets(_ log: Log) {
        GuardedMemory.whenUnlocked {
            log.warning(
                "secrets_not_locked",
                "memory for secrets cannot be locked, so that they may be written to swap; everything works all the same",
                [
                    (
                        "hint",
                        "raise the limit of locked memory (LimitMEMLOCK= of the unit, ulimit -l), or have no swap or an encrypted one"
                    )
                ])
        }
    }

    /// Each carried connection takes a descriptor, and the usual soft limit of 1,024 is meant for programs that use
    /// select(2). The hard limit is the administrator's and is kept.
    nonisolated static func raiseDescriptorLimit() {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(resource, &limit)
    }
}
