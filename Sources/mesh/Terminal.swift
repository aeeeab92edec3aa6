import Glibc
import PKI

/// The terminal that the program may have.
enum Terminal {
    /// Columns of the terminal on standard output; nil for a pipe or file, which has no limit.
    static let outputWidth: Int? = width(STDOUT_FILENO)

    /// Columns for help: as wide as the terminal, within what reads well.
    static func helpWidth(_ descriptor: Int32) -> Int { min(width(descriptor) ?? 80, 100) }

    /// Whether somebody can be asked.
    static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

    private static func width(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard isatty(descriptor) == 1 else { return nil }
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        // Narrower than this nothing can be laid out.
        return max(Int(size.ws_col), 40)
    }

    /// Asks for a passphrase without showing it; nil when the input ended.
    static func askPassphrase(_ prompt: String) -> Passphrase? {
        var old = termios()
        let isTerminal = tcgetattr(STDIN_FILENO, &old) == 0
        // Ctrl-C must not leave the shell without echo: the signals wait until the terminal is as it was.
        var blocked = sigset_t()
        var before = sigset_t()
        sigemptyset(&blocked)
        for signal in [SIGINT, SIGTERM, SIGTSTP, SIGHUP, SIGQUIT] { sigaddset(&blocked, signal) }
        if isTerminal {
            sigprocmask(SIG_BLOCK, &blocked, &before)
            var quiet = old
            quiet.c_lflag &= ~tcflag_t(ECHO)
            // What was typed before the question is not the answer.
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet)
        }
        // Only now: whoever answers at once, a program perhaps, is heard and not shown.
        Output.prompt(prompt)
        var line = readLine()
        defer { wipe(&line) }
        if isTerminal {
            tcsetattr(STDIN_FILENO, TCSADRAIN, &old)
            Output.prompt("\n")
            sigprocmask(SIG_SETMASK, &before, nil)
        }
        return line.last == 0x0A ? Passphrase(bytes: line.dropLast()) : nil
    }

    /// One line with its end, at most 1 KiB of it. Ends without one at the end of input and when a signal waits.
    private static func readLine() -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(1024)
        while line.count < 1024 {
            var pending = sigset_t()
            sigpending(&pending)
            if sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 { break }
            var wait = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            // A fifth of a second is how late Ctrl-C may be noticed.
            if poll(&wait, 1, 200) <= 0 { continue }
            var byte: UInt8 = 0
            let count = read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            line.append(byte)
            if byte == 0x0A { break }
        }
        return line
    }

    private static func wipe(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            if let base = buffer.baseAddress { explicit_bzero(base, buffer.count) }
        }
    }
}

extension Output {
    /// A question, without a line break, on standard error.
    static func prompt(_ text: String) {
        var text = text
        text.withUTF8 { _ = write(UnsafeRawBufferPointer($0), to: STDERR_FILENO) }
    }
}
