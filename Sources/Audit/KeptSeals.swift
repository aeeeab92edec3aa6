public import JSON

/// Seals that another node has left here, so that an end of its log that was cut off is missed.
///
/// Whoever writes that node's log anew would like to replace them. So numbers only rise, nothing that was taken is changed, and
/// room is made by age: of each day (UTC, by this node's clock) the first one stays, of the last ones all.
public struct KeptSeals: Sendable, Equatable {
    /// A seal, and when it came.
    public struct Kept: Sendable, Equatable {
        /// The seal.
        public let seal: AuditSeal
        /// Unix seconds, by the clock of whoever keeps it.
        public let at: Int64
    }

    /// What became of a seal.
    public enum Outcome: Sendable, Equatable {
        /// It is kept.
        case taken
        /// It was known.
        case known
    }

    /// The newest that are all kept.
    public static let newest = 32
    /// All that are kept at most.
    public static let capacity = 128
    /// The longest id of a log and digest of a key, in bytes: those that are made are of 32 and 44.
    private static let maximumText = 64

    /// What is kept, the oldest first.
    public private(set) var kept: [Kept] = []

    /// None yet.
    public init() {}

    /// Takes a seal.
    ///
    /// Errors: `bad_seal` for what no log makes; `seal_goes_back` for one that contradicts what is kept: the log was cut off,
    /// written anew, or put back from a copy.
    public mutating func take(_ seal: AuditSeal, now: Int64) throws(AuditError) -> Outcome {
        guard seal.log.utf8.count <= Self.maximumText, seal.key.utf8.count <= Self.maximumText,
            seal.signature.count == 64
        else { throw AuditError(.badSeal, "no log makes such a seal") }
        if let last = kept.last?.seal, last.log == seal.log {
            if last == seal || (last.sequence == seal.sequence && last.hash == seal.hash) { return .known }
            guard seal.sequence > last.sequence else {
                throw AuditError(
                    .sealGoesBack,
                    "it ends with record \(seal.sequence), and one through \(last.sequence) was left before")
            }
        } else if kept.contains(where: { $0.seal.log == seal.log }) {
            throw AuditError(.sealGoesBack, "it is of a log that another one has followed")
        }
        kept.append(Kept(seal: seal, at: now))
        makeRoom()
        return .taken
    }

    private mutating func makeRoom() {
        guard kept.count > Self.newest else { return }
        let old = kept.dropLast(Self.newest)
        var days: Set<Int64> = []
        let firsts = old.filter { days.insert($0.at / 86_400).inserted }
        kept = firsts.suffix(Self.capacity - Self.newest) + kept.suffix(Self.newest)
    }

    // MARK: - In a file

    /// As it is stored and shown.
    public var json: JSONValue { .array(kept.map { ["seal": $0.seal.json, "at": .integer($0.at)] }) }

    /// Reads what was stored.
    ///
    /// Errors: `bad_seal`.
    public init(json: JSONValue) throws(AuditError) {
        guard let values = json.array, values.count <= Self.capacity else {
            throw AuditError(.badSeal, "this is no list of \(Self.capacity) seals at most")
        }
        for value in values {
            guard let at = value["at"]?.integer else { throw AuditError(.badSeal, "a seal came at no time") }
            kept.append(Kept(seal: try AuditSeal(json: value["seal"] ?? .null), at: at))
        }
    }
}
