import JSON

/// Tokens and subjects that no longer count. A value: `mesh token revoke` changes and writes it, the edge reads it.
public struct RevocationList: Sendable {
    /// Most bytes of the file.
    public static let sizeLimit = 64 << 20
    /// Most entries.
    public static let countLimit = 200_000

    /// The entries in the order in which they were made.
    public private(set) var entries: [Revocation] = []
    /// Counts the changes of the file.
    public private(set) var revision: Int64 = 0

    /// Where each token's entries are.
    private var tokens: [String: [Int]] = [:]
    private var subjects: [String: [Int]] = [:]

    /// An empty list.
    public init() {}

    /// Reads the file's text.
    ///
    /// Errors: `malformed_file`, `unknown_version`, `too_many_entries`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        let object = try OwnFile.object(text, "the revocation list", sizeLimit: Self.sizeLimit)
        do {
            try object.requireOnly(["version", "revision", "revoked"])
            revision = try object.integer("revision", in: 0...(.max - 1))
            let elements = try object.array("revoked")
            try OwnFile.checkCount(elements.count, limit: Self.countLimit, "revocations")
            for element in elements { append(try Revocation(reading: element.requireObject())) }
        } catch {
            throw OwnFile.widen(error, "the revocation list")
        }
    }

    /// The file's text.
    public var text: [UInt8] {
        let object: JSONObject = [
            "version": .integer(OwnFile.version), "revision": .integer(revision),
            "revoked": .array(entries.map(\.json)),
        ]
        return JSONValue.object(object).serialized(pretty: true) + [UInt8(ascii: "\n")]
    }

    /// Adds an entry and removes those whose time has passed.
    ///
    /// Errors: `too_many_entries`.
    public mutating func add(_ entry: Revocation, at now: Int64) throws(JOSEError) {
        var list = RevocationList()
        for old in entries where old.isInForce(at: now) && old.target != entry.target { list.append(old) }
        try OwnFile.checkCount(list.entries.count + 1, limit: Self.countLimit, "revocations")
        list.append(entry)
        list.revision = revision + 1
        self = list
    }

    /// Whether a token was revoked by its `jti`.
    public func revokesToken(_ id: String, issuer: String, at now: Int64) -> Bool {
        (tokens[id] ?? []).contains { place in
            guard case .token(_, let from) = entries[place].target else { return false }
            return (from ?? issuer) == issuer && entries[place].isInForce(at: now)
        }
    }

    /// Whether the tokens of a subject that were issued at a time were revoked.
    public func revokesSubject(_ subject: String, issuer: String, issuedAt: Int64?, at now: Int64) -> Bool {
        (subjects[subject] ?? []).contains { place in
            guard case .subject(_, let from, let issuedBefore) = entries[place].target, from == issuer,
                entries[place].isInForce(at: now)
            else { return false }
            guard let issuedBefore, let issuedAt else { return true }
            return issuedAt < issuedBefore
        }
    }

    private mutating func append(_ entry: Revocation) {
        switch entry.target {
        case .token(let id, _): tokens[id, default: []].append(entries.count)
        case .subject(let subject, _, _): subjects[subject, default: []].append(entries.count)
        }
        entries.append(entry)
    }
}
