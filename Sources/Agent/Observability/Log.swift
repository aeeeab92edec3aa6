import EventLoop
import Glibc
public import JSON

/// How much a log record matters: the configuration's words.
public typealias LogLevel = Configuration.LogLevel

extension Configuration.LogLevel: Comparable {
    private var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }

    /// Debug is least, error is most.
    public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// Writes records to standard error: readable lines on a terminal, one JSON object a line otherwise.
///
/// A record has an event code (stable, snake_case: what a machine matches on), a sentence for people, and
/// fields. A record never holds a secret: callers pass names, reasons and numbers only.
public final class Log: Sendable {
    /// How records are written.
    public enum Format: Sendable {
        /// A line for people.
        case text(colour: Bool)
        /// One JSON object a line.
        case json

        /// The form that the configuration asks for.
        public init(_ format: Configuration.LogFormat) {
            switch format {
            case .auto: self = Log.automaticFormat()
            case .text: self = .text(colour: isatty(STDERR_FILENO) == 1 && getenv("NO_COLOR") == nil)
            case .json: self = .json
            }
        }
    }

    /// One named value of a record.
    public typealias Field = (name: String, value: JSONValue)

    private struct State {
        var minimum: LogLevel
        var format: Format
        /// Records that standard error did not take since the last one that it did.
        var dropped: Int64 = 0
    }

    private let state: Locked<State>
    private let observer = Locked<Observer?>(nil)

    /// Sees every record, on the thread that writes it, whatever the level.
    typealias Observer = @Sendable (LogLevel, _ event: String, _ message: String, [Field]) -> Void

    /// Lets `observer` see every record from now on; nil for nobody.
    func observe(_ observer: Observer?) { self.observer.withLock { $0 = observer } }

    /// A log that writes records of at least `minimum`.
    public init(minimum: LogLevel = .info, format: Format = Log.automaticFormat()) {
        state = Locked(State(minimum: minimum, format: format))
    }

    /// Text on a terminal, JSON otherwise.
    public static func automaticFormat() -> Format {
        guard isatty(STDERR_FILENO) == 1 else { return .json }
        return .text(colour: getenv("NO_COLOR") == nil)
    }

    /// Changes level and format while running (configuration reload).
    public func configure(minimum: LogLevel, format: Format) {
        state.withLock { state in
            state.minimum = minimum
            state.format = format
        }
    }

    /// Writes a record for whoever debugs the agent.
    public func debug(_ event: String, _ message: String, _ fields: [Field] = []) {
        write(.debug, event, message, fields)
    }

    /// Writes a record of normal operation.
    public func info(_ event: String, _ message: String, _ fields: [Field] = []) {
        write(.info, event, message, fields)
    }

    /// Writes a record of something wrong that the agent survives.
    public func warning(_ event: String, _ message: String, _ fields: [Field] = []) {
        write(.warning, event, message, fields)
    }

    /// Writes a record of a failure.
    public func error(_ event: String, _ message: String, _ fields: [Field] = []) {
        write(.error, event, message, fields)
    }

    private func write(_ level: LogLevel, _ event: String, _ message: String, _ fields: [Field]) {
        observer.withLock { $0 }?(level, event, message, fields)
        state.withLock { state in
            guard level >= state.minimum else { return }
            // A pipe that nobody reads, a terminal that was stopped: the workers write here too, and must not wait.
            guard Self.isWritable else {
                state.dropped += 1
                return
            }
            if state.dropped > 0 {
                let lost: [Field] = [("records", .integer(state.dropped))]
                state.dropped = 0
                Self.emit(state.format, .warning, "log_dropped", "standard error did not take records", lost)
            }
            Self.emit(state.format, level, event, message, fields)
        }
    }

    private static var isWritable: Bool {
        var descriptor = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        return poll(&descriptor, 1, 0) != 0
    }

    /// One write a record, under the lock: records of several threads never mix in a line. A closed standard error must
    /// not stop the agent, so the result is not looked at.
    private static func emit(
        _ format: Format, _ level: LogLevel, _ event: String, _ message: String, _ fields: [Field]
    ) {
        let line =
            switch format {
            case .json: jsonLine(level, event, message, fields)
            case .text(let colour): textLine(level, event, message, fields, colour: colour)
            }
        let bytes = Array(line.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func jsonLine(_ level: LogLevel, _ event: String, _ message: String, _ fields: [Field]) -> String {
        var record = JSONObject()
        record["time"] = .string(Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()))
        record["level"] = .string(level.rawValue)
        record["event"] = .string(event)
        record["message"] = .string(message)
        for field in fields { record[field.name] = field.value }
        return JSONValue.object(record).text() + "\n"
    }

    private static func textLine(
        _ level: LogLevel, _ event: String, _ message: String, _ fields: [Field], colour: Bool
    ) -> String {
        let time = Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds())
        let clock = time.dropFirst(11).prefix(12)
        let tag =
            switch level {
            case .debug: "debug"
            case .info: "info "
            case .warning: "WARN "
            case .error: "ERROR"
            }
        let paint: (String, String) =
            switch (colour, level) {
            case (false, _), (true, .info): ("", "")
            case (true, .debug): ("\u{1B}[2m", "\u{1B}[0m")
            case (true, .warning): ("\u{1B}[33m", "\u{1B}[0m")
            case (true, .error): ("\u{1B}[31m", "\u{1B}[0m")
            }
        var line = "\(clock) \(paint.0)\(tag)\(paint.1) \(message)"
        for field in fields {
            let text =
                switch field.value {
                case .string(let value):
                    value.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) || value.isEmpty
                        ? field.value.text() : value
                default: field.value.text()
                }
            line += " \(field.name)=\(text)"
        }
        // Control characters of a peer's making must not reach the operator's terminal.
        return String(line.map { $0.isASCIIControl ? "\u{FFFD}" : $0 }) + "\n"
    }
}

extension Character {
    fileprivate var isASCIIControl: Bool {
        guard let value = asciiValue else { return false }
        return value < 0x20 || value == 0x7F
    }
}
