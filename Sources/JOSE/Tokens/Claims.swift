import JSON

/// The registered claims of a token (RFC 7519, section 4.1; RFC 8693 `scope`; RFC 7800 `cnf`), read with their types.
struct Claims {
    /// `sub`.
    let subject: String
    /// `aud`.
    let audiences: [String]
    /// `exp`, unix seconds.
    let expiry: Int64
    /// `nbf`, unix seconds.
    let notBefore: Int64?
    /// `iat`, unix seconds.
    let issuedAt: Int64?
    /// `jti`.
    let tokenID: String?
    /// `scope`, or `scp` where there is no `scope`.
    let scopes: [String]
    /// `cnf`.
    let confirmation: Confirmation
    /// All of them.
    let all: JSONObject

    /// Most bytes of a subject; percent-encoded it fits a principal with the longest issuer.
    static let subjectLimit = 255
    /// Most bytes of a `jti`.
    static let tokenIDLimit = 256
    /// Most scopes of a token.
    static let scopeLimit = 256
    /// The last second of the year 9999: beyond it a time is a mistake.
    static let latestTime: Int64 = 253_402_300_799

    /// Reads them.
    init(_ claims: JSONObject) throws(Refusal) {
        all = claims
        guard let expiry = try Self.time(claims, "exp", rounded: .down) else {
            throw Refusal(.missingExpiry, "no exp")
        }
        self.expiry = expiry
        notBefore = try Self.time(claims, "nbf", rounded: .up)
        issuedAt = try Self.time(claims, "iat", rounded: .down)
        audiences = try Self.audiences(claims["aud"])
        subject = try Self.subject(claims["sub"])
        tokenID = try Self.tokenID(claims["jti"])
        scopes = try Self.scopes(claims)
        confirmation = try Confirmation(claims["cnf"])
    }

    /// A NumericDate (RFC 7519, section 2): an integer or a finite number from 1970 to 9999.
    static func time(
        _ claims: JSONObject, _ name: String, rounded rule: FloatingPointRoundingRule
    ) throws(Refusal) -> Int64? {
        guard let value = claims[name] else { return nil }
        switch value {
        case .integer(let seconds) where (0...latestTime).contains(seconds): return seconds
        case .number(let seconds) where seconds >= 0 && seconds <= Double(latestTime):
            return Int64(seconds.rounded(rule))
        default: throw Refusal(.badTime, "\(name) is \(value.typeName) or out of range")
        }
    }

    private static func audiences(_ value: JSONValue?) throws(Refusal) -> [String] {
        guard let value else { throw Refusal(.missingAudience, "no aud") }
        if let one = value.string, !one.isEmpty { return [one] }
        guard let elements = value.array, !elements.isEmpty else {
            throw Refusal(.badAudience, "aud is \(value.typeName) or empty")
        }
        let audiences = elements.compactMap(\.string)
        guard audiences.count == elements.count, !audiences.contains("") else {
            throw Refusal(.badAudience, "aud holds something else than texts")
        }
        return audiences
    }

    private static func subject(_ value: JSONValue?) throws(Refusal) -> String {
        guard let value else { throw Refusal(.missingSubject, "no sub") }
        guard let subject = value.string, !subject.isEmpty, subject.utf8.count <= subjectLimit,
            !subject.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) })
        else { throw Refusal(.badSubject, "sub is \(value.typeName), or has a bad length or control characters") }
        return subject
    }

    private static func tokenID(_ value: JSONValue?) throws(Refusal) -> String? {
        guard let value else { return nil }
        guard let tokenID = value.string, !tokenID.isEmpty, tokenID.utf8.count <= tokenIDLimit else {
            throw Refusal(.badTokenID, "jti is \(value.typeName) or has a bad length")
        }
        return tokenID
    }

    private static func scopes(_ claims: JSONObject) throws(Refusal) -> [String] {
        guard let value = claims["scope"] ?? claims["scp"] else { return [] }
        let all: [String]
        if let text = value.string {
            all = text.split(separator: " ").map(String.init)
        } else if let elements = value.array, elements.allSatisfy({ $0.string != nil }) {
            all = elements.compactMap(\.string)
        } else {
            throw Refusal(.badScope, "scope is \(value.typeName)")
        }
        var seen: Set<String> = []
        let scopes = all.filter { seen.insert($0).inserted }
        guard scopes.count <= scopeLimit, scopes.allSatisfy(isScope) else {
            throw Refusal(.badScope, "scope has too many, or characters that a scope cannot have")
        }
        return scopes
    }

    /// RFC 6749, section 3.3: visible ASCII but `"` and `\`.
    static func isScope(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 256
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }
}
