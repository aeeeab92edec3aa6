import Glibc
import Synchronization

/// Carries bytes between standard input and output and a connection, each direction for itself.
///
/// Each direction has a thread and blocks on its own: whoever reads our output late never stops our input.
final class Pipe: Sendable {
    /// Large enough that system calls do not count.
    private static let bufferSize = 256 << 10

    private let descriptor: Int32
    private let received: [UInt8]
    /// Whether the input's end, or its failure, was reached.
    private let inputEnded = Atomic(false)

    /// A pipe for the blocking socket `descriptor`, of which `received` was read already.
    init(_ descriptor: Int32, received: [UInt8]) {
        self.descriptor = descriptor
        self.received = received
    }

    /// Carries until both directions have ended, or the connection broke.
    func run() throws(CommandFailure) -> ExitCode {
        var thread = pthread_t()
        let own = Unmanaged.passRetained(self).toOpaque()
        let failure = pthread_create(
            &thread, nil,
            { own in
                guard let own else { return nil }
                Unmanaged<Pipe>.fromOpaque(own).takeRetainedValue().carryInput()
                return nil
            }, own)
        guard failure == 0 else {
            throw CommandFailure(.failure, "no_thread", "cannot start a thread: \(String(cString: strerror(failure)))")
        }
        // Nobody waits for it: it may hang in a read of our input when everything else has ended.
        pthread_detach(thread)
        guard carryOutput() else { throw Self.broken() }
        // In this order: a hang-up in order is only seen after our input's end.
        if hasHungUp(0), !inputEnded.load(ordering: .acquiring) { throw Self.broken() }
        // The service has said everything; somebody at a terminal has nothing to add.
        if isatty(STDIN_FILENO) == 1 { return .ok }
        // Its reader learns of the end now, though our input may go on.
        close(STDOUT_FILENO)
        while !inputEnded.load(ordering: .acquiring) {
            if hasHungUp(100), !inputEnded.load(ordering: .acquiring) { throw Self.broken() }
        }
        return .ok
    }

    /// Whether the agent closed the connection altogether. While our input lasts it does that only to break it off.
    private func hasHungUp(_ timeout: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        return poll(&entry, 1, timeout) > 0
    }

    /// The failure of a connection that did not end in order.
    static func broken() -> CommandFailure {
        CommandFailure(
            .unreachable, "connection_reset", "the connection was broken off",
            hint: "the service, its node or a change of policy ended it; the agents' logs say which")
    }

    /// Standard input to the connection, then its end.
    private func carryInput() {
        withUnsafeTemporaryAllocation(byteCount: Self.bufferSize, alignment: 16) { buffer in
            while let count = Self.read(STDIN_FILENO, buffer), count > 0 {
                guard send(UnsafeRawBufferPointer(rebasing: buffer[..<count])) else { return }
            }
        }
        // Said first: an answer to the end may come at once.
        inputEnded.store(true, ordering: .releasing)
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// The connection to standard output; false when it broke.
    private func carryOutput() -> Bool {
        guard received.withUnsafeBytes({ Output.write($0, to: STDOUT_FILENO) }) else { return true }
        return withUnsafeTemporaryAllocation(byteCount: Self.bufferSize, alignment: 16) { buffer in
            while true {
                guard let count = Self.read(descriptor, buffer) else { return false }
                if count == 0 { return true }
                guard Output.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: STDOUT_FILENO) else {
                    return true
                }
            }
        }
    }

    private func send(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// What there is; nil when reading failed.
    private static func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            if errno == EAGAIN {
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                _ = poll(&entry, 1, -1)
            } else if errno != EINTR {
                return nil
            }
        }
    }
}
