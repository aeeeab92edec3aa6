import Foundation
import Synchronization

/// What a test could not prepare.
struct PreparationFailed: Error, CustomStringConvertible {
    let description: String
}

/// The programs that were built together with these tests.
enum Programs {
    static let directory = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    static let tester = directory.appendingPathComponent("mtls-tester")
    static let agent = directory.appendingPathComponent("mesh-agent")
    static let openssl = URL(fileURLWithPath: "/usr/bin/openssl")
}

/// A server that runs beside a test until this object goes; nothing else is ever ended.
///
/// Unchecked: `Process` is started in `init` and ended in `deinit` or at exit, and not touched in between.
final class BackgroundProgram: @unchecked Sendable {
    /// Those that run, for the end of the test process: objects in static properties never go.
    private static let running: Mutex<Set<pid_t>> = {
        atexit { BackgroundProgram.running.withLock { for process in $0 { kill(process, SIGKILL) } } }
        return Mutex([])
    }()

    private let process = Process()
    private let input = Pipe()
    private let collected: Collected

    /// What the program has written.
    private final class Collected: Sendable {
        private let state = Mutex((text: "", ended: false))
        private let changed = NSCondition()

        var text: String { state.withLock { $0.text } }

        func append(_ data: Data) {
            state.withLock {
                $0.text += String(decoding: data, as: UTF8.self)
                $0.ended = data.isEmpty
            }
            changed.lock()
            changed.broadcast()
            changed.unlock()
        }

        /// Waits until all words are there; false at the end of the output and of patience.
        func wait(for words: [String], until limit: Date) -> Bool {
            changed.lock()
            defer { changed.unlock() }
            while true {
                let (text, ended) = state.withLock { ($0.text, $0.ended) }
                if words.allSatisfy(text.contains) { return true }
                guard !ended, changed.wait(until: limit) else { return false }
            }
        }
    }

    /// Starts a program and waits until it writes `word`.
    init(
        _ program: URL, _ arguments: [String], in directory: URL, environment: [String: String] = [:],
        readyAfter word: String
    ) throws {
        let output = Pipe()
        process.executableURL = program
        process.arguments = arguments
        process.currentDirectoryURL = directory
        var all = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("MESH_") }
        all.merge(environment) { $1 }
        process.environment = all
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        let collected = Collected()
        self.collected = collected
        try process.run()
        _ = Self.running.withLock { $0.insert(process.processIdentifier) }
        let reading = output.fileHandleForReading
        Thread.detachNewThread {
            while case let data = reading.availableData {
                collected.append(data)
                if data.isEmpty { break }
            }
        }
        guard waits(for: [word]) else {
            throw PreparationFailed(description: "\(program.lastPathComponent) did not start: \(text)")
        }
    }

    deinit {
        // Ours, started above; no draining, the test is over.
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        _ = Self.running.withLock { $0.remove(process.processIdentifier) }
    }

    /// What it has written so far.
    var text: String { collected.text }

    /// Waits until it has written all these words.
    func waits(for words: [String]) -> Bool { collected.wait(for: words, until: Date() + 20) }
}

/// Suites run side by side: what one has been given is not another's, though nobody may listen there yet.
private let givenPorts = Mutex<Set<UInt16>>([])

/// A port on a loopback address of these tests that is free at the moment, and that the kernel gives to nobody who asks for any.
func freePort(on address: String) throws -> UInt16 {
    for _ in 0..<1_000 {
        let port = UInt16.random(in: 20_000..<30_000)
        guard givenPorts.withLock({ $0.insert(port).inserted }) else { continue }
        if try isFree(port, on: address) { return port }
    }
    throw PreparationFailed(description: "no free port on \(address)")
}

private func isFree(_ port: UInt16, on address: String) throws -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw PreparationFailed(description: "no socket") }
    defer { close(descriptor) }
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    inet_pton(AF_INET, address, &name.sin_addr)
    return withUnsafePointer(to: &name) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            bind(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
