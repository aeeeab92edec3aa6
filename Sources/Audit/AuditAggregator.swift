internal import JSON

/// Keeps floods out of the log: in each minute the first events of a class are written one by one, and what comes beyond that is
/// counted, by event and reason. Pure: the time is a parameter.
///
/// Each event has an allowance of its own, small for what strangers cause without having proven anything: so they can neither
/// fill the disk nor push out what others did, and noise of one kind does not hide an attack of another.
public struct AuditAggregator: Sendable {
    /// Who causes an event.
    public enum Cause: Sendable, Hashable {
        /// Anybody who can reach a listener.
        case strangers
        /// Somebody who has proven who he is, again and again.
        case known
        /// The agent itself or whoever runs it: each is written.
        case own

        /// How often an event is written by itself in a minute.
        var allowance: Int {
            switch self {
            case .strangers: 30
            case .known: 600
            case .own: .max
            }
        }
    }

    /// What was counted in a minute.
    public struct Summary: Sendable, Equatable {
        /// The event.
        public let event: String
        /// What it is, and who causes it.
        public let kind: SecurityEvent
        /// Its reason; empty where it has none.
        public let reason: String
        /// How often it was not written.
        public let count: Int
        /// From how many sources; at most ``AuditAggregator/maximumSources``.
        public let sources: Int
        /// Some of them, the first that came.
        public let examples: [String]
    }

    private struct Class: Hashable {
        let event: String
        let kind: SecurityEvent
    }

    private struct Group: Hashable {
        let event: Class
        let reason: String
    }

    /// What is counted of a group.
    private struct Tally {
        var count = 0
        var sources: Set<String> = []
        var examples: [String] = []

        mutating func add(_ source: String) {
            count += 1
            guard !source.isEmpty, sources.count < maximumSources, sources.insert(source).inserted else { return }
            if examples.count < maximumExamples { examples.append(source) }
        }
    }

    /// The length of a window, in milliseconds.
    public static let window: Int64 = 60_000
    /// Sources that are told apart in a group.
    public static let maximumSources = 256
    /// Sources that a summary names.
    public static let maximumExamples = 8
    /// Groups that are told apart; the rest is one without a reason.
    private static let maximumGroups = 64

    private var began: Int64?
    private var written: [Class: Int] = [:]
    private var groups: [Group: Tally] = [:]

    /// An aggregator that has seen nothing.
    public init() {}

    /// When the window ends, in milliseconds; nil where nothing was counted in it.
    public var due: Int64? { groups.isEmpty ? nil : began.map { $0 + Self.window } }

    /// Whether an event is written by itself; else it is counted. Call `summaries` first.
    public mutating func admits(
        _ event: String, _ kind: SecurityEvent, reason: String, source: String, now: Int64
    ) -> Bool {
        if began == nil { began = now }
        guard kind.cause != .own else { return true }
        let event = Class(event: event, kind: kind)
        if written[event, default: 0] < kind.cause.allowance {
            written[event, default: 0] += 1
            return true
        }
        var group = Group(event: event, reason: AuditFields.name(reason))
        if groups[group] == nil, groups.count >= Self.maximumGroups { group = Group(event: event, reason: "") }
        groups[group, default: Tally()].add(AuditFields.name(source))
        return false
    }

    /// What was counted in the window, when it is over; then a new one begins.
    public mutating func summaries(now: Int64, atEnd: Bool = false) -> [Summary] {
        guard let began, atEnd || now - began >= Self.window || now < began else { return [] }
        let found = groups.map {
            Summary(
                event: $0.key.event.event, kind: $0.key.event.kind, reason: $0.key.reason, count: $0.value.count,
                sources: $0.value.sources.count,
                examples: $0.value.examples)
        }
        self.began = nil
        written = [:]
        groups = [:]
        return found.sorted { ($0.event, $0.reason) < ($1.event, $1.reason) }
    }
}
