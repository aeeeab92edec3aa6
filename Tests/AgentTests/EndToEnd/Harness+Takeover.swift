import Foundation
import JSON

extension TestNode {
    /// Starts another process of this node that takes over, and waits until it has; gives the old one, which ends when its
    /// streams do.
    func takeOver(within seconds: Double = Deadline.patience) throws -> Child {
        let old = try running()
        try launch(["--takeover"])
        try Deadline.wait("\(name) is taken over", within: seconds) { () -> Bool? in
            if let status = process?.exitStatus {
                throw Failure("the process that was to take over ended with \(status): \(process!.output)")
            }
            return records.contains { $0.event == "taken_over" } ? true : nil
        }
        return old
    }

    /// Starts a process that is to fail to take over; gives its status and what it said. The running one stays this node's.
    func failToTakeOver(
        _ arguments: [String] = [], environment more: [String: String] = [:], prefix: [String] = []
    ) throws -> (status: Int32, output: String) {
        try runProgram(
            [TestMesh.binaries + "/mesh-agent", "--config", configurationFile, "--takeover"] + arguments,
            prefix: prefix,
            environment: environment.merging(more) { $1 })
    }

    /// The records of the audit log.
    func audited() throws -> [JSONValue] {
        let result = try mesh(["audit", "tail", "--json", "-n", "1000"])
        try demandEqual(result.status, 0, result.output)
        return try result.output.split(separator: "\n").map { try JSONReader.parse(String($0)) }
    }

    var takeoverPath: String { controlPath + ".takeover" }
}

/// Short connections, one after the other on several threads, at a steady pace: connect, echo, end in order.
final class ShortConnections: @unchecked Sendable {
    private let lock = NSLock()
    private var isStopped = false
    private var failures: [String] = []
    private var count = 0
    private var slowest = 0.0
    private var threads: [Background<Void>] = []

    /// - Parameter perMinute: how many in all; a thread that cannot keep up makes fewer.
    init(to address: String, perMinute: Int, threads number: Int = 8) {
        let interval = 60 / Double(perMinute) * Double(number)
        for thread in 0..<number {
            threads.append(
                Background { [self] in
                    var next = Deadline.now + interval * Double(thread) / Double(number)
                    while !lock.withLock({ isStopped }) {
                        let wait = next - Deadline.now
                        if wait > 0 { usleep(UInt32(wait * 1e6)) }
                        next = max(next + interval, Deadline.now - interval)
                        once(address)
                    }
                })
        }
    }

    private func once(_ address: String) {
        let start = Deadline.now
        var failure: String?
        do {
            let wire = try Wire(address)
            defer { wire.close() }
            try wire.echo("connection \(UInt64.random(in: 0 ... .max))")
            wire.finishSending()
            try demandEqual(wire.receive(), .end, "behind the echo")
        } catch {
            failure = "after \(Int((Deadline.now - start) * 1000)) ms: \(error)"
        }
        lock.withLock {
            count += 1
            slowest = max(slowest, Deadline.now - start)
            if let failure { failures.append(failure) }
        }
    }

    /// How many there have been.
    var total: Int { lock.withLock { count } }

    /// Waits until `more` further connections have been made.
    func goOn(_ more: Int) throws {
        let wanted = total + more
        try Deadline.until("\(more) more connections") { total >= wanted }
    }

    /// Ends it. Throws if one was refused or failed.
    func finish(_ what: String) throws {
        lock.withLock { isStopped = true }
        for thread in threads { try thread.value(within: Deadline.patience, "a thread of short connections") }
        try lock.withLock {
            print("\(what): \(count) connections, \(failures.count) failed, slowest \(Int(slowest * 1000)) ms")
            guard let first = failures.first else { return }
            throw Failure("\(what): \(failures.count) of \(count) connections failed, the first \(first)")
        }
    }
}
