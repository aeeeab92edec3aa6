import Glibc

/// What a program that ran to its end left behind.
public struct FinishedProgram: Sendable {
    /// The exit status; nil when a signal ended it.
    public let status: Int32?
    /// Standard output and standard error, in one.
    public let text: String
}

/// Could not be started: `errno`'s text.
public struct ProgramNotStarted: Error, CustomStringConvertible {
    /// What could not be started, and why.
    public let description: String
}

/// Runs `program`, looked up in PATH, to its end with an empty standard input. A program that is not there ends with 127.
///
/// By posix_spawn: Foundation's Process leaks on Linux, which spoils runs under the leak sanitizer.
///
/// - Parameter directory: The working directory; nil for this process's.
public func runProgram(_ program: String, _ arguments: [String], in directory: String? = nil) throws -> FinishedProgram
{
    guard let file = tmpfile() else { throw ProgramNotStarted(description: "no temporary file") }
    defer { fclose(file) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, fileno(file), 1)
    posix_spawn_file_actions_adddup2(&actions, fileno(file), 2)
    let command = ["env"] + (directory.map { ["--chdir=\($0)"] } ?? []) + [program] + arguments
    var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { words.forEach { free($0) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, "/usr/bin/env", &actions, nil, &words, environ)
    guard code == 0 else { throw ProgramNotStarted(description: "\(program): \(String(cString: strerror(code)))") }
    var ended: Int32 = 0
    while waitpid(process, &ended, 0) < 0 && errno == EINTR {}
    return FinishedProgram(status: ended & 0x7F == 0 ? (ended >> 8) & 0xFF : nil, text: everything(in: file))
}

/// The text of a file. Foundation's reading of an empty one leaks its buffer.
func readText(_ path: String) throws -> String {
    guard let file = fopen(path, "r") else {
        throw ProgramNotStarted(description: "\(path): \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    return everything(in: file)
}

private func everything(in file: UnsafeMutablePointer<FILE>) -> String {
    rewind(file)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self)
}
