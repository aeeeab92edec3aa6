public import JSON
public import PKI

/// The end of an audit log, to which records are added. Pure: gives the bytes that have to be written.
public struct AuditChain: Sendable {
    /// Which log it is.
    public let log: String
    /// The last record; 0 before the first.
    public private(set) var sequence: UInt64
    /// The hash with it.
    public private(set) var hash: AuditHash

    /// The first record of each file.
    public static let openedEvent = "audit_opened"
    /// A seal over what stands before it.
    public static let checkpointEvent = "audit_checkpoint"
    /// Older files were removed, to make room.
    public static let removedEvent = "audit_files_removed"
    /// Records that could not be written.
    public static let lostEvent = "audit_records_lost"

    /// A log that goes on behind a record, or begins.
    public init(log: String, sequence: UInt64 = 0, hash: AuditHash = .zero) {
        self.log = log
        self.sequence = sequence
        self.hash = hash
    }

    /// Adds a record; gives its line. What makes it longer than a line may be is left out, and said to be.
    public mutating func append(
        time: String, event: String, category: AuditCategory, severity: String, fields: JSONObject
    ) -> [UInt8] {
        func content(_ fields: JSONObject) -> [UInt8] {
            AuditRecord(
                sequence: sequence + 1, time: time, event: event, category: category, severity: severity, fields: fields
            ).json.serialized()
        }
        var bytes = content(fields)
        if bytes.count > Self.largestContent { bytes = content(["omitted": JSONValue(bytes.count)]) }
        let line = AuditLine(content: bytes, after: hash)
        sequence += 1
        hash = line.hash
        return line.bytes
    }

    /// Room for the hash and what is around it.
    private static let largestContent = AuditLine.largest - 64

    /// The seal of everything so far.
    public func seal(by key: PrivateKey) throws(CertificateError) -> AuditSeal {
        try AuditSeal(log: log, sequence: sequence, hash: hash, by: key)
    }

    /// The first record of a file: where the chain comes from, sealed.
    ///
    /// - Parameter torn: bytes without a line end at the end of the file before: a record that was being written when the agent
    ///   was killed.
    public mutating func open(
        time: String, node: String, torn: Int, by key: PrivateKey
    ) throws(CertificateError) -> [UInt8] {
        var fields: JSONObject = ["node": .string(node), "seal": try seal(by: key).json]
        if torn > 0 { fields["torn"] = JSONValue(torn) }
        return append(time: time, event: Self.openedEvent, category: .audit, severity: "info", fields: fields)
    }

    /// A checkpoint.
    public mutating func checkpoint(time: String, by key: PrivateKey) throws(CertificateError) -> [UInt8] {
        let fields: JSONObject = ["seal": try seal(by: key).json]
        return append(time: time, event: Self.checkpointEvent, category: .audit, severity: "info", fields: fields)
    }
}

/// The names of a log's files: each has the number of its first record, so that their order is that of their names.
public enum AuditFileName {
    private static let (prefix, suffix, digits) = ("audit-", ".log", 16)

    /// The file that begins with a record.
    public static func name(first sequence: UInt64) -> String {
        let number = String(sequence)
        return prefix + String(repeating: "0", count: max(0, digits - number.count)) + number + suffix
    }

    /// The number in a name; nil for other files.
    public static func first(of name: String) -> UInt64? {
        guard name.hasPrefix(prefix), name.hasSuffix(suffix) else { return nil }
        let number = name.dropFirst(prefix.count).dropLast(suffix.count)
        guard number.count >= digits, number.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(number)
    }
}
