import EventLoop
import Glibc
import JSON

/// The program started anew by the running agent (SIGUSR2), to take over from it: by that the new process is in the
/// service's control group, which systemd demands of a main process.
@ControlPlane
final class Relaunch {
    /// How often it is asked whether the new process lives, in nanoseconds.
    private static let interval: UInt64 = 200_000_000

    private let log: Log
    /// The process was started and has not ended.
    private(set) var isRunning = false

    /// Starts the program that this process was started as, with its arguments and `--takeover`.
    init(log: Log) {
        self.log = log
        var arguments = CommandLine.arguments.filter { $0 != "--takeover" }
        arguments.append("--takeover")
        var pid: pid_t = 0
        let argv = arguments.map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        // By the name, not /proc/self/exe: that is the old program when a package has replaced it.
        let error = posix_spawnp(&pid, arguments[0], nil, nil, argv, environ)
        guard error == 0 else {
            log.error(
                "upgrade_failed", "the program cannot be started",
                [("program", .string(arguments[0])), ("detail", .string(SystemError.text(error)))])
            return
        }
        isRunning = true
        log.info(
            "upgrade_started", "the program was started anew, to take over",
            [("program", .string(arguments[0])), ("pid", .init(Int(pid)))])
        Task { @ControlPlane in await self.watch(pid) }
    }

    /// Takes the status of a process that ended before it took over.
    private func watch(_ pid: pid_t) async {
        var status: Int32 = 0
        while true {
            let ended = waitpid(pid, &status, WNOHANG)
            if ended == pid || (ended < 0 && errno != EINTR) { break }
            await ControlPlane.sleep(nanoseconds: Self.interval)
        }
        isRunning = false
        let code = status & 0x7F == 0 ? Int(status >> 8) & 0xFF : -Int(status & 0x7F)
        log.error(
            "upgrade_failed", "the program that was to take over has ended; see its messages",
            [("pid", .init(Int(pid))), ("status", .init(code))])
    }
}
