import Foundation

/// The programs that are tested: those that were built beside this test bundle.
enum Programs {
    /// The directory of the build: `.build/debug` or `.build/release`.
    static let directory = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()

    static let mesh = directory.appendingPathComponent("mesh")
    static let agent = directory.appendingPathComponent("mesh-agent")
}

/// What a finished program left behind.
struct Finished {
    let status: Int32
    let output: Data
    let errors: String

    var text: String { String(decoding: output, as: UTF8.self) }
    var lines: [Substring] { text.split(separator: "\n") }
}

/// Runs `mesh`, or another program, to its end, with nothing of this process's environment.
///
/// - Parameters:
///   - input: Bytes of standard input; none is /dev/null.
///   - directory: The working directory.
func mesh(
    _ arguments: [String], input: Data? = nil, in directory: Workspace, environment: [String: String] = [:],
    program: URL = Programs.mesh
) throws -> Finished {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.currentDirectoryURL = directory.url
    process.environment = environment
    let name = UUID().uuidString
    // Files, not pipes: nobody has to read while the program runs.
    let out = directory.url.appendingPathComponent(".out-\(name)")
    let err = directory.url.appendingPathComponent(".err-\(name)")
    let inFile = directory.url.appendingPathComponent(".in-\(name)")
    for file in [out, err] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    if let input {
        try input.write(to: inFile)
        process.standardInput = try FileHandle(forReadingFrom: inFile)
    } else {
        process.standardInput = FileHandle.nullDevice
    }
    try process.run()
    // A program that hangs is a failure, not a reason to wait for ever.
    let identifier = process.processIdentifier
    let watchdog = DispatchWorkItem { kill(identifier, SIGKILL) }
    DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: watchdog)
    process.waitUntilExit()
    watchdog.cancel()
    defer { for file in [out, err, inFile] { try? FileManager.default.removeItem(at: file) } }
    let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    return Finished(
        status: status, output: try Data(contentsOf: out), errors: try String(contentsOf: err, encoding: .utf8))
}

/// A directory that goes with its owner.
final class Workspace: Sendable {
    let url: URL

    init() throws {
        var name = Array("/tmp/mesh-cli-test.XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw POSIXError(.EIO) }
        url = URL(fileURLWithPath: String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    @discardableResult
    func write(_ text: String, to name: String, mode: Int = 0o644) throws -> String {
        try write(Data(text.utf8), to: name, mode: mode)
    }

    @discardableResult
    func write(_ data: Data, to name: String, mode: Int = 0o644) throws -> String {
        _ = FileManager.default.createFile(atPath: path(name), contents: data, attributes: [.posixPermissions: mode])
        return path(name)
    }

    func read(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    func mode(_ name: String) throws -> Int {
        (try FileManager.default.attributesOfItem(atPath: path(name))[.posixPermissions] as? Int) ?? 0
    }

    func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
}
