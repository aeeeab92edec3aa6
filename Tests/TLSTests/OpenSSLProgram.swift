import Glibc

/// An `openssl` program that runs beside the test.
///
/// By posix_spawn: Foundation's Process leaks on Linux and hangs in `waitUntilExit` when it is released early.
final class OpenSSLProgram {
    private var pid: pid_t = 0
    /// Its standard input, output and error, in one; what other programs are started meanwhile do not inherit it.
    private let socket: Int32

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw PreparationFailed(description: "no socket pair") }
        socket = ends[0]
        defer { close(ends[1]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in 0...2 { posix_spawn_file_actions_adddup2(&actions, ends[1], descriptor) }
        var words: [UnsafeMutablePointer<CChar>?] = (["openssl"] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        let code = posix_spawn(&pid, "/usr/bin/openssl", &actions, nil, &words, environ)
        guard code == 0 else {
            throw PreparationFailed(description: "openssl did not start: \(String(cString: strerror(code)))")
        }
    }

    deinit {
        if pid > 0 {
            kill(pid, SIGKILL)
            _ = wait()
        }
        close(socket)
    }

    /// Writes to its standard input. Blocks while it does not read.
    func type(_ text: String) {
        var rest = Substring(text).utf8
        while !rest.isEmpty {
            let count =
                rest.withContiguousStorageIfAvailable { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                ?? -1
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    func endInput() {
        Glibc.shutdown(socket, Int32(SHUT_WR))
    }

    /// Everything it says until `mark` has appeared, or it ends.
    func said(until mark: String) -> String {
        var text = ""
        while !text.contains(mark), let more = hear() { text += more }
        return text
    }

    /// Everything it says until it ends.
    func lastWords() -> String {
        var text = ""
        while let more = hear() { text += more }
        _ = wait()
        return text
    }

    /// Waits for the end; true when it was a good one.
    func wait() -> Bool {
        var status: Int32 = -1
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        pid = 0
        return status == 0
    }

    private func hear() -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(socket, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}

/// Runs the `openssl` program; what it says is only of interest when it fails.
@discardableResult
func openssl(_ arguments: [String]) throws -> String {
    let program = try OpenSSLProgram(arguments)
    program.endInput()
    let text = program.said(until: "\u{0}")
    guard program.wait() else {
        throw PreparationFailed(description: "openssl \(arguments.joined(separator: " ")): \(text)")
    }
    return text
}
