public import JSON

/// One entry of the revocation list.
public struct Revocation: Sendable, Hashable {
    /// What no longer counts.
    public enum Target: Sendable, Hashable {
        /// The token with this `jti`; without an issuer, of whichever.
        case token(id: String, issuer: String?)
        /// All tokens of a subject; with `issuedBefore`, those whose `iat` is before that second, or that have none.
        case subject(String, issuer: String, issuedBefore: Int64?)
    }

    /// What no longer counts.
    public let target: Target
    /// When it was revoked, unix seconds.
    public let revokedAt: Int64
    /// When the entry can go, since what it revokes has ended by itself; unix seconds.
    public let expiresAt: Int64?
    /// Why, for people.
    public let note: String?

    /// Most bytes of a note.
    static let noteLimit = 256

    /// An entry.
    ///
    /// Errors: `bad_value`.
    public init(
        _ target: Target, revokedAt: Int64, expiresAt: Int64? = nil, note: String? = nil
    ) throws(JOSEError) {
        let isGood =
            switch target {
            case .token(let id, let issuer):
                !id.isEmpty && id.utf8.count <= Claims.tokenIDLimit && issuer != ""
            case .subject(let subject, let issuer, _):
                !subject.isEmpty && subject.utf8.count <= Claims.subjectLimit && !issuer.isEmpty
            }
        guard isGood, note.map({ $0.utf8.count <= Self.noteLimit && !$0.contains("\n") }) ?? true else {
            throw JOSEError(
                .badValue, "the jti, subject, issuer or note is empty or too long",
                hint: "copy them from the token: mesh token inspect FILE")
        }
        self.target = target
        self.revokedAt = revokedAt
        self.expiresAt = expiresAt
        self.note = note
    }

    /// Whether it still has something to say.
    func isInForce(at now: Int64) -> Bool { expiresAt.map { now < $0 } ?? true }

    init(reading object: JSONObject) throws {
        try object.requireOnly(["jti", "subject", "issuer", "issuedBefore", "revokedAt", "expiresAt", "note"])
        let times: ClosedRange<Int64> = 0...Claims.latestTime
        let target: Target
        if object["jti"] != nil {
            target = .token(id: try object.string("jti"), issuer: try object.optionalString("issuer"))
        } else {
            target = .subject(
                try object.string("subject"), issuer: try object.string("issuer"),
                issuedBefore: try object.optionalInteger("issuedBefore", in: times))
        }
        try self.init(
            target, revokedAt: object.integer("revokedAt", in: times),
            expiresAt: object.optionalInteger("expiresAt", in: times), note: object.optionalString("note"))
    }

    /// As the file has it.
    public var json: JSONValue {
        var object = JSONObject()
        switch target {
        case .token(let id, let issuer):
            object["jti"] = .string(id)
            if let issuer { object["issuer"] = .string(issuer) }
        case .subject(let subject, let issuer, let issuedBefore):
            object["subject"] = .string(subject)
            object["issuer"] = .string(issuer)
            if let issuedBefore { object["issuedBefore"] = .integer(issuedBefore) }
        }
        object["revokedAt"] = .integer(revokedAt)
        if let expiresAt { object["expiresAt"] = .integer(expiresAt) }
        if let note { object["note"] = .string(note) }
        return .object(object)
    }
}
