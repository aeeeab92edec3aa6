public import JSON
public import PKI

/// Checks an audit log from its first line to its last: finds a record that was changed, removed or moved, an end that was cut
/// off, and a log that was written anew. Pure: lines in, findings out; how many records there are does not matter for memory.
///
/// A line is checked against the one that has the number before its own, wherever that stands, so that a moved record is not
/// taken for a changed one.
public struct AuditVerifier: Sendable {
    /// What was found wrong, in the order in which it was found; at most ``maximumFindings``.
    public private(set) var findings: [AuditFinding] = []
    /// Findings beyond those.
    public private(set) var furtherFindings = 0
    /// Records that were read.
    public private(set) var records: UInt64 = 0
    /// The log's id; nil before the first record that says it.
    public private(set) var log: String?
    /// The first record that is there; 0 where there is none.
    public private(set) var first: UInt64 = 0
    /// The last record that is there; 0 where there is none.
    public private(set) var last: UInt64 = 0
    /// The hash of the chain with the last record.
    public private(set) var hash = AuditHash.zero
    /// The last record that a good seal covers.
    public private(set) var sealed: UInt64 = 0
    /// Bytes of a record at the very end that was being written when the agent was killed.
    public private(set) var torn = 0

    /// More is said as a number: a log that is damaged everywhere need not be listed.
    public static let maximumFindings = 100
    /// Hashes that are kept to check what was moved.
    private static let memory: UInt64 = 4096

    /// Gaps that are kept to tell what was moved from what was removed.
    private static let maximumGaps = 1024

    private let key: PublicKey?
    /// Seals from elsewhere, by the record that they cover.
    private var receipts: [UInt64: [AuditSeal]]
    private var largestReceipt: UInt64 = 0
    private var hashes: [UInt64: AuditHash] = [:]
    /// Numbers that were passed over and have not been seen yet.
    private var missing: [ClosedRange<UInt64>] = []
    /// Up to here files were removed to make room, as the log says.
    private var removedThrough: UInt64 = 0
    private var file = ""
    private var lineNumber = 0
    private var isFileStart = false
    /// Bytes without a line end at the end of the file before, which the next file has to know of.
    private var pendingTorn = 0

    /// A verifier.
    ///
    /// - Parameters:
    ///   - key: the public half of the key that seals the log; without it only the chain is checked, which whoever can write
    ///     the files can make anew.
    ///   - receipts: seals that were kept apart from the log.
    public init(key: PublicKey?, receipts: [AuditSeal] = []) {
        self.key = key
        self.receipts = Dictionary(grouping: receipts, by: \.sequence)
        largestReceipt = receipts.map(\.sequence).max() ?? 0
        for seal in receipts {
            if let key, !seal.isSigned(by: key) { report(.badSeal, "a receipt is not signed by the log's key") }
        }
    }

    // MARK: - Reading

    /// The next file begins.
    public mutating func begin(file name: String) {
        if torn > 0 { pendingTorn = torn }
        torn = 0
        file = name
        lineNumber = 0
        isFileStart = true
    }
    /// Bytes at the end of a file that have no line end.
    public mutating func tail(_ count: Int) { torn = count }

    /// The next line of the file, without its end; gives its record.
    @discardableResult
    public mutating func line(_ bytes: [UInt8]) -> AuditRecord? {
        lineNumber += 1
        defer { isFileStart = false }
        let line: AuditLine
        let record: AuditRecord
        do throws(AuditError) {
            line = try AuditLine(parsing: bytes)
            record = try AuditRecord(content: line.content)
        } catch {
            report(.changed, "the line cannot be read: \(error.message)")
            return nil
        }
        records += 1
        if first == 0 { startFirst(record) }
        checkLink(line, record)
        place(record.sequence)
        remember(line.hash, record.sequence)
        look(at: record)
        return record
    }

    /// The first record that there is: where the chain comes from is what it says itself, under a seal.
    private mutating func startFirst(_ record: AuditRecord) {
        first = record.sequence
        last = record.sequence - 1
        if record.sequence == 1 { hashes[0] = .zero }
        guard record.event == AuditChain.openedEvent, let seal = seal(in: record) else { return }
        if record.sequence > 1 { hashes[record.sequence - 1] = seal.hash }
    }

    private mutating func checkLink(_ line: AuditLine, _ record: AuditRecord) {
        // Without the record before there is nothing to compare with; that it is missing is said in its place.
        guard let previous = hashes[record.sequence - 1] else { return }
        if !line.follows(previous) { report(.changed, "record \(record.sequence) is not what was written") }
    }

    private mutating func place(_ sequence: UInt64) {
        if sequence == last + 1 {
            last = sequence
        } else if sequence > last {
            let gap = last + 1...sequence - 1
            if missing.count < Self.maximumGaps {
                missing.append(gap)
            } else {
                report(.removed, "\(Self.text(gap)) missing")
            }
            last = sequence
        } else if let index = missing.firstIndex(where: { $0.contains(sequence) }) {
            report(.reordered, "record \(sequence) stands in the wrong place")
            let gap = missing.remove(at: index)
            if gap.lowerBound < sequence { missing.append(gap.lowerBound...sequence - 1) }
            if gap.upperBound > sequence { missing.append(sequence + 1...gap.upperBound) }
        } else {
            report(.reordered, "record \(sequence) is there twice")
        }
    }

    private mutating func remember(_ hash: AuditHash, _ sequence: UInt64) {
        if hashes[sequence] == nil || sequence == last { hashes[sequence] = hash }
        if sequence == last { self.hash = hash }
        if sequence > Self.memory { hashes[sequence - Self.memory] = nil }
        for seal in receipts.removeValue(forKey: sequence) ?? [] { compare(seal, "a receipt") }
    }

    // MARK: - What the log says of itself

    private mutating func look(at record: AuditRecord) {
        switch record.event {
        case AuditChain.openedEvent:
            guard let seal = checkedSeal(record) else { return }
            checkFile(record)
            if first == record.sequence { sealed = max(sealed, seal.sequence) }
        case AuditChain.checkpointEvent: _ = checkedSeal(record)
        case AuditChain.removedEvent:
            if let through = record.fields["through"]?.integer, through > 0 {
                removedThrough = max(removedThrough, UInt64(through))
            }
        default:
            if isFileStart { report(.removed, "the first record of the file is missing") }
        }
    }

    private mutating func checkFile(_ record: AuditRecord) {
        if isFileStart, let number = AuditFileName.first(of: file), number != record.sequence {
            report(.removed, "the file should begin with record \(number), and begins with \(record.sequence)")
        }
        let known = record.fields["torn"]?.integer ?? 0
        if pendingTorn > 0, Int64(pendingTorn) != known {
            report(
                .changed,
                "the file before ends with \(pendingTorn) bytes that are no record, and nobody was killed then")
        }
        pendingTorn = 0
    }

    private func seal(in record: AuditRecord) -> AuditSeal? {
        record.fields["seal"].flatMap { try? AuditSeal(json: $0) }
    }

    /// The seal of a record, which covers the one before it.
    private mutating func checkedSeal(_ record: AuditRecord) -> AuditSeal? {
        guard let seal = seal(in: record), seal.sequence == record.sequence - 1 else {
            report(.badSeal, "record \(record.sequence) has no seal of what stands before it")
            return nil
        }
        return compare(seal, "the seal in record \(record.sequence)") ? seal : nil
    }

    @discardableResult
    private mutating func compare(_ seal: AuditSeal, _ what: String) -> Bool {
        if let key, !seal.isSigned(by: key) {
            report(.badSeal, "\(what) is not signed by the log's key")
            return false
        }
        guard seal.log == log ?? seal.log else {
            report(.otherLog, "\(what) is of another log")
            return false
        }
        log = seal.log
        if let known = hashes[seal.sequence], known != seal.hash {
            report(
                .rewritten,
                "\(what) does not fit: what it covers was written anew, back to record \(sealed + 1) at most")
            return false
        }
        sealed = max(sealed, seal.sequence)
        return true
    }

    // MARK: - The end

    /// Everything was read.
    public mutating func finish() {
        (file, lineNumber) = ("", 0)
        for gap in missing.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            report(.removed, "\(Self.text(gap)) missing")
        }
        missing = []
        if first > 1, removedThrough < first - 1 {
            report(.removed, "\(Self.text(1...first - 1)) missing, and the log says nothing of files that were removed")
        }
        if largestReceipt > last {
            report(.truncated, "the end is missing: \(Self.text(last + 1...largestReceipt)) sealed, and not there")
        }
    }

    private static func text(_ range: ClosedRange<UInt64>) -> String {
        range.count == 1 ? "record \(range.lowerBound) is" : "records \(range.lowerBound) to \(range.upperBound) are"
    }

    private mutating func report(_ kind: AuditFinding.Kind, _ message: String) {
        guard findings.count < Self.maximumFindings else { return furtherFindings += 1 }
        findings.append(AuditFinding(kind: kind, file: file, line: lineNumber, message: message))
    }
}

extension AuditVerifier {
    /// Reads a whole file.
    public mutating func read(file name: String, _ bytes: [UInt8]) {
        begin(file: name)
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            line(Array(bytes[start..<end]))
            start = end + 1
        }
        tail(bytes.endIndex - start)
    }

    /// What was found, for programs.
    public var json: JSONValue {
        [
            "ok": .bool(findings.isEmpty), "log": log.map { .string($0) } ?? .null, "first": JSONValue(first),
            "last": JSONValue(last), "records": JSONValue(records), "sealedThrough": JSONValue(sealed),
            "tornBytes": JSONValue(torn), "findings": .array(findings.map(\.json)),
            "furtherFindings": JSONValue(furtherFindings),
        ]
    }
}
