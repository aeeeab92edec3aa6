public import JSON

/// Something that is wrong with an audit log.
public struct AuditFinding: Sendable, Equatable {
    /// What kind of damage it is.
    public enum Kind: String, Sendable, CaseIterable {
        /// A record is not what was written.
        case changed
        /// Records are not there.
        case removed
        /// Records stand in another order, or twice.
        case reordered
        /// The end of the log is not there: something that was sealed is missing.
        case truncated
        /// What a seal covers is not what was sealed: everything since the seal before was written anew.
        case rewritten
        /// A seal is not signed, or by another key than the log's.
        case badSeal = "bad_seal"
        /// A file or record belongs to another log.
        case otherLog = "other_log"
    }

    /// What kind of damage it is.
    public let kind: Kind
    /// The file; empty where it concerns none.
    public let file: String
    /// The line in the file, from 1; 0 where it concerns none.
    public let line: Int
    /// What is wrong, in one line.
    public let message: String

    /// As programs read it.
    public var json: JSONValue {
        [
            "kind": .string(kind.rawValue), "file": .string(file), "line": JSONValue(line), "message": .string(message),
        ]
    }
}
