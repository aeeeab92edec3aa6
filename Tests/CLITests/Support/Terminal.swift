import Foundation

/// `mesh` on a terminal of its own, with somebody who types.
final class TerminalSession {
    private let master: Int32
    private let process = Process()
    private(set) var screen = ""
    private var read = 0

    /// Starts `mesh` on a terminal of `columns` columns.
    init(_ arguments: [String], columns: UInt16 = 80, in directory: Workspace) throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var unlocked: Int32 = 0
        var number: UInt32 = 0
        // TIOCSPTLCK and TIOCGPTN: what unlockpt and ptsname do, which Glibc's module lacks.
        guard master >= 0, ioctl(master, 0x4004_5431, &unlocked) == 0, ioctl(master, 0x8004_5430, &number) == 0 else {
            throw POSIXError(.EIO)
        }
        let slave = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var size = winsize(ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(slave, UInt(TIOCSWINSZ), &size)
        let handle = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
        process.executableURL = Programs.mesh
        process.arguments = arguments
        process.currentDirectoryURL = directory.url
        process.environment = [:]
        process.standardInput = handle
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        try handle.close()
    }

    deinit {
        if process.isRunning { process.terminate() }
        close(master)
    }

    /// Reads on until `text` stands on the screen behind what was waited for before; false when the program ended.
    func wait(for text: String) -> Bool {
        while true {
            let rest = screen.dropFirst(read)
            if let range = rest.range(of: text) {
                read = screen.distance(from: screen.startIndex, to: range.upperBound)
                return true
            }
            if !more() { return false }
        }
    }

    /// Types a line.
    func type(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(master, $0.baseAddress, $0.count) }
    }

    /// Reads to the end; the exit code.
    func finish() -> Int32 {
        while more() {}
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// The lines on the screen.
    var lines: [String] {
        screen.replacingOccurrences(of: "\r\n", with: "\n").split(separator: "\n").map(String.init)
    }

    private func more() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(master, &buffer, buffer.count)
        if count > 0 { screen += String(decoding: buffer[..<count], as: UTF8.self) }
        return count > 0
    }
}
