import Arguments
import Glibc
import JSON

/// What the program writes. Unbuffered: a line is out when the call returns. A reader that went away ends the program
/// by SIGPIPE, as it does every other one in a pipe.
enum Output {
    /// Text on standard output, a line break added.
    static func line(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

    /// Text on standard output as it is.
    static func text(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// A value on standard output, laid out for reading.
    static func json(_ value: JSONValue) { line(value.text(.pretty)) }

    /// A remark that is no result, on standard error.
    static func note(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

    /// A remark and the command that comes next, on one line where the terminal has room for it.
    static func note(_ text: String, next step: NextStep) {
        let whole = "\(text); to \(step.purpose): \(step.command)"
        guard let columns = Terminal.outputWidth, DisplayWidth.of(whole) > columns else { return note(whole) }
        note("\(text)\nto \(step.purpose):\n  \(step.command)")
    }

    /// A failure on standard error: one line what, one line how to mend it.
    static func failure(_ failure: CommandFailure, command: String, json: Bool) {
        if json { return note(failure.json.text()) }
        let lines = failure.what.split(separator: "\n").map { DisplayWidth.sanitized(String($0)) }
        let code = failure.showsReason ? " (\(DisplayWidth.sanitized(failure.reason)))" : ""
        note("\(command): \(lines.joined(separator: "\n  "))\(code)")
        if let hint = failure.hint { note("hint: \(DisplayWidth.sanitized(hint))") }
    }

    /// A table on standard output, fitted to the terminal; in words where it has no rows.
    static func table(_ table: TextTable, empty: String, next: NextStep? = nil) {
        if table.count == 0 { return next.map { note(empty, next: $0) } ?? note(empty) }
        text(table.text(width: Terminal.outputWidth))
    }

    /// The first of these tables that the terminal has room for, else the last; the fullest comes first. Which columns are left out
    /// is said on standard error.
    static func table(_ tables: [TextTable], empty: String) {
        let width = Terminal.outputWidth
        let fitting = tables.first { table in width.map { table.leastWidth <= $0 } ?? true }
        guard let chosen = fitting ?? tables.last else { return }
        table(chosen, empty: empty)
        let missing = (tables.first?.titles ?? []).filter { !chosen.titles.contains($0) }
        guard let width, chosen.count > 0, !missing.isEmpty else { return }
        let text =
            "left out for want of width: \(missing.joined(separator: ", ")); --json, or a wider terminal, has them"
        note(DisplayWidth.wrapped(text, to: width).joined(separator: "\n"))
    }

    /// Labels and values on standard output, one a line; values too long for the terminal go on below themselves.
    static func fields(_ fields: [(label: String, value: String)], indent: Int = 0) {
        let width = (fields.map { DisplayWidth.of($0.label) }.max() ?? 0) + 2
        let blank = String(repeating: " ", count: indent)
        for field in fields {
            let label = blank + field.label + String(repeating: " ", count: width - DisplayWidth.of(field.label))
            let value = DisplayWidth.sanitized(field.value)
            // A fingerprint is not cut: it has to be copied.
            guard let columns = Terminal.outputWidth, columns - indent - width >= 20, value.contains(" ") else {
                line(label + value)
                continue
            }
            let hang = String(repeating: " ", count: indent + width)
            line(label + DisplayWidth.wrapped(value, to: columns - indent - width).joined(separator: "\n" + hang))
        }
    }

    /// A line on standard output; what the terminal has no room for goes on below, `indent` columns in.
    static func hanging(_ text: String, by indent: Int) {
        let text = DisplayWidth.sanitized(text)
        guard let columns = Terminal.outputWidth, DisplayWidth.of(text) > columns, columns > 2 * indent else {
            return line(text)
        }
        let isLabelled = text.hasPrefix("  ")
        let head = isLabelled ? String(text.prefix(indent)) : ""
        let body = isLabelled ? String(text.dropFirst(indent)) : text
        let room = columns - (isLabelled ? indent : 0)
        let rest = "\n" + String(repeating: " ", count: isLabelled ? indent : 2)
        line(head + DisplayWidth.wrapped(body, to: isLabelled ? room : room - 2).joined(separator: rest))
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { _ = write(UnsafeRawBufferPointer($0), to: descriptor) }
    }

    /// Writes everything; false when the descriptor takes no more.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno == EAGAIN {
                // Somebody made the descriptor non-blocking and shares it with us.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&wait, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
