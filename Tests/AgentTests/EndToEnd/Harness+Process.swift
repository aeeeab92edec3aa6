import CTestSystem
import Foundation
import JSON

/// Starts processes on a thread that lives as long as the test process, so that they can be told to die with it
/// (the kernel watches the thread that started them).
private final class Spawner: @unchecked Sendable {
    static let shared = Spawner()
    private let lock = NSCondition()
    private var jobs: [() -> Void] = []

    private init() {
        let thread = Thread {
            while true {
                self.lock.lock()
                while self.jobs.isEmpty { self.lock.wait() }
                let job = self.jobs.removeFirst()
                self.lock.unlock()
                job()
            }
        }
        thread.start()
    }

    func run<Value>(_ body: @escaping () -> Value) -> Value {
        let done = DispatchSemaphore(value: 0)
        nonisolated(unsafe) var value: Value?
        lock.lock()
        jobs.append {
            value = body()
            done.signal()
        }
        lock.signal()
        lock.unlock()
        done.wait()
        return value!
    }
}

/// A process that a test started; what it writes goes to a file.
final class Child: @unchecked Sendable {
    let pid: pid_t
    let outputFile: String
    /// What it has logged.
    let log: LogReader
    private let lock = NSLock()
    private var status: Int32?

    /// `arguments[0]` is looked up in PATH where it has no slash. With `input`, a descriptor that becomes standard input.
    init(
        _ arguments: [String], environment: [String: String] = [:], output: String, input: Int32? = nil,
        prefix: [String] = []
    ) throws {
        outputFile = output
        log = LogReader(output)
        let all = prefix + ["setpriv", "--pdeathsig", "KILL", "--"] + arguments
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("MESH_") }
        variables["NOTIFY_SOCKET"] = nil
        variables.merge(environment) { $1 }
        let merged = variables
        let result = Spawner.shared.run { () -> (Int32, pid_t) in
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            if let input {
                posix_spawn_file_actions_adddup2(&actions, input, 0)
            } else {
                posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
            }
            posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
            // Whatever the test has open stays its own: a copy in an agent would keep connections alive.
            ctest_close_from(&actions, 3)
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            var none = sigset_t()
            sigemptyset(&none)
            posix_spawnattr_setsigmask(&attributes, &none)
            var every = sigset_t()
            sigfillset(&every)
            posix_spawnattr_setsigdefault(&attributes, &every)
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
            var pid: pid_t = 0
            let argv = all.map { strdup($0) } + [nil]
            let envp = merged.map { strdup("\($0.key)=\($0.value)") } + [nil]
            defer { for pointer in argv + envp { free(pointer) } }
            return (posix_spawnp(&pid, all[0], &actions, &attributes, argv, envp), pid)
        }
        guard result.0 == 0 else { throw Failure("cannot start \(all[0]): \(String(cString: strerror(result.0)))") }
        pid = result.1
    }

    deinit { kill() }

    /// The exit status, once it has ended; a signal's number is negative.
    var exitStatus: Int32? {
        lock.withLock {
            if let status { return status }
            var raw: Int32 = 0
            guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : -(raw & 0x7F)
            return status
        }
    }

    var isRunning: Bool { exitStatus == nil }

    func signal(_ signal: Int32) {
        lock.withLock { if status == nil { Glibc.kill(pid, signal) } }
    }

    /// Ends it at once and waits until it is gone.
    func kill() {
        lock.withLock {
            guard status == nil else { return }
            Glibc.kill(pid, SIGKILL)
            var raw: Int32 = 0
            waitpid(pid, &raw, 0)
            status = -SIGKILL
        }
    }

    /// Waits until it has ended by itself.
    @discardableResult
    func wait(within seconds: Double = Deadline.patience) throws -> Int32 {
        try Deadline.wait("process \(pid) ends", within: seconds) { exitStatus }
    }

    /// What it has written so far. The last character may be half there: it is somebody else who writes.
    var output: String {
        String(decoding: (try? Data(contentsOf: URL(fileURLWithPath: outputFile))) ?? Data(), as: UTF8.self)
    }

    /// Whole lines of what it has written so far; without one that is being written at the moment.
    var outputLines: [Substring] {
        let output = output
        guard let last = output.lastIndex(of: "\n") else { return [] }
        return output[..<last].split(separator: "\n")
    }

    /// Resident memory that is the process's own (not shared with files), in bytes.
    var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix("RssAnon:") {
            return (Int(line.split(separator: " ").dropFirst().first ?? "0") ?? 0) << 10
        }
        return 0
    }

    /// The number of one of its threads.
    func thread(named name: String) -> Int32? {
        let tasks = "/proc/\(pid)/task"
        return (try? FileManager.default.contentsOfDirectory(atPath: tasks))?.first { task in
            (try? String(contentsOfFile: "\(tasks)/\(task)/comm", encoding: .utf8)) == name + "\n"
        }.flatMap { Int32($0) }
    }

    /// Whether a thread waits for something at this moment.
    func isAsleep(_ thread: Int32) -> Bool {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/task/\(thread)/stat", encoding: .utf8)) ?? ""
        return text.split(separator: ")").last?.hasPrefix(" S ") == true
    }

    /// Leaves it no descriptor beside those that it has, while `body` lasts.
    func withoutDescriptors(_ body: () throws -> Void) throws {
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").compactMap { Int($0) }
        let free = UInt((0...).first { !open.contains($0) } ?? 0)
        try demandEqual(ctest_limit_descriptors(pid, free), 0, "prlimit")
        defer { ctest_limit_descriptors(pid, .max) }
        try body()
    }

    /// How many descriptors it has open.
    var descriptorCount: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0 }
}

/// Runs a program to its end.
@discardableResult
func runProgram(
    _ arguments: [String], prefix: [String] = [], environment: [String: String] = [:], within seconds: Double = 30
) throws -> (
    status: Int32, output: String
) {
    let file = NSTemporaryDirectory() + "/e2e-output-\(UUID().uuidString)"
    defer { unlink(file) }
    let child = try Child(arguments, environment: environment, output: file, prefix: prefix)
    let status = try child.wait(within: seconds * Deadline.slowness)
    return (status, child.output)
}

/// A thread of an agent that stands still until it is released, or the test goes out of it by an error: whoever holds a thread could
/// wait for ever for its process to end.
final class HeldThread {
    private let thread: Int32
    private var isHeld = true

    init(_ name: String, of process: Child) throws {
        thread = try demandValue(process.thread(named: name), "the thread \(name)")
        // Between two pieces of work: one that is held with a lock of everybody holds everybody.
        try Deadline.until("the thread \(name) waits") { [thread] in
            (0..<5).allSatisfy { _ in process.isAsleep(thread) && usleep(1_000) == 0 }
        }
        try demandEqual(ctest_hold_thread(thread), 0, "the thread \(name) is held: \(Wire.error):")
    }

    deinit { if isHeld { ctest_release_thread(thread) } }

    func release() throws {
        isHeld = false
        try demandEqual(ctest_release_thread(thread), 0, "the thread is released")
    }
}
