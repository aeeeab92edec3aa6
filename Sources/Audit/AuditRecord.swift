public import JSON

/// One thing that happened, as the audit log has it: the content of a line, which is a JSON object on its own.
public struct AuditRecord: Sendable, Equatable {
    /// Its place in the log, from 1, without gaps.
    public let sequence: UInt64
    /// When, in RFC 3339 with milliseconds, UTC: texts that are ordered as the times are.
    public let time: String
    /// The event's stable code.
    public let event: String
    /// What kind of event it is.
    public let category: AuditCategory
    /// `info`, `warning` or `error`.
    public let severity: String
    /// The named values of the event.
    public let fields: JSONObject

    /// A record from its parts.
    public init(
        sequence: UInt64, time: String, event: String, category: AuditCategory, severity: String, fields: JSONObject
    ) {
        self.sequence = sequence
        self.time = time
        self.event = event
        self.category = category
        self.severity = severity
        self.fields = fields
    }

    /// As it stands in a line.
    public var json: JSONValue {
        [
            "seq": JSONValue(sequence), "time": .string(time), "event": .string(event),
            "category": .string(category.rawValue), "severity": .string(severity), "fields": .object(fields),
        ]
    }

    /// Reads the content of a line.
    ///
    /// Errors: `malformed_record`.
    public init(content: [UInt8]) throws(AuditError) {
        do {
            let object = try JSONReader.parse(content).requireObject()
            try object.requireOnly(["seq", "time", "event", "category", "severity", "fields"])
            guard let category = AuditCategory(rawValue: try object.string("category")) else {
                throw JSONAccessError(code: .badValue, path: "category", message: "is none that this version knows")
            }
            self.init(
                sequence: UInt64(try object.integer("seq", in: 1...Self.largestSequence)),
                time: try object.string("time"), event: try object.string("event"), category: category,
                severity: try object.string("severity"),
                fields: try object.read("fields") { (value) throws(JSONAccessError) in
                    try value.requireObject()
                })
        } catch {
            throw AuditError(.malformed, "\(error)")
        }
    }

    /// Exact in every JSON reader (RFC 8259, section 6).
    private static let largestSequence: Int64 = (1 << 53) - 1
}

/// What kind of security event a record tells of.
public enum AuditCategory: String, Sendable, Hashable, CaseIterable {
    /// Who somebody is: handshakes, certificates, tokens.
    case authentication
    /// What somebody may do: links, streams, calls of the control API.
    case access
    /// What the mesh goes by: policy, revocations, operators, configuration.
    case policy
    /// The mesh's CA: tokens, certificates, nodes.
    case ca
    /// This node's own certificate and trust.
    case identity
    /// The agent: start, end, services.
    case agent
    /// The log itself.
    case audit
}

/// Why something is no part of an audit log.
public struct AuditError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name.
    public enum Code: String, Sendable {
        /// A line is not a hash, a blank and a record.
        case malformed = "malformed_record"
        /// A seal is not what a seal is.
        case badSeal = "bad_seal"
        /// A seal contradicts one that was left before.
        case sealGoesBack = "seal_goes_back"
    }

    /// The stable code.
    public let code: Code
    /// What is wrong.
    public let message: String

    /// An error from its parts.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// `message (code)`
    public var description: String { "\(message) (\(code.rawValue))" }
}
