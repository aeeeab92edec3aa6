import JSON

/// Turns one claim into the values of one attribute.
struct ClaimMapping: Sendable, Hashable {
    /// The steps from the claims to the value; one for a plain name.
    let path: [String]
    /// The attribute.
    let attribute: String
    /// Whether a text holds several values with spaces between them.
    let isSpaceSeparated: Bool

    /// Most values of an attribute.
    static let valueLimit = 256
    /// Most bytes of a value.
    static let lengthLimit = 1024

    /// A mapping; nil for a claim or attribute that cannot be.
    init?(claim: String, attribute: String) {
        guard !claim.isEmpty, Self.isAttribute(attribute) else { return nil }
        self.attribute = attribute
        isSpaceSeparated = claim == "scope" || claim == "scp"
        guard claim.hasPrefix("/") else {
            path = [claim]
            return
        }
        // RFC 6901, section 4.
        path = claim.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { step in
            step.split(separator: "~1", omittingEmptySubsequences: false).map { part in
                part.split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
            }.joined(separator: "/")
        }
    }

    /// Names of attributes: letters, digits, `.`, `_`, `-`, up to 64.
    static func isAttribute(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 64
            && name.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".")
                    || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
            }
    }

    /// The values in the claims; empty where the claim is absent or null.
    func values(in claims: JSONObject) throws(Refusal) -> [String] {
        var value: JSONValue? = .object(claims)
        for step in path { value = value?[step] }
        guard let value, !value.isNull else { return [] }
        let values: [String]
        if let text = value.string {
            values = isSpaceSeparated ? text.split(separator: " ").map(String.init) : [text]
        } else if let elements = value.array {
            values = elements.compactMap(\.string)
            guard values.count == elements.count else { throw bad("holds something else than texts") }
        } else if value.bool != nil || value.integer != nil {
            values = [value.text()]
        } else {
            throw bad("is \(value.typeName)")
        }
        guard values.count <= Self.valueLimit, values.allSatisfy({ $0.utf8.count <= Self.lengthLimit }) else {
            throw bad("is too large")
        }
        // Attributes end up in header fields and logs.
        guard values.allSatisfy({ $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F } }) else {
            throw bad("has control characters")
        }
        return values
    }

    private func bad(_ what: String) -> Refusal {
        Refusal(.badClaim, "the claim for the attribute \(attribute) \(what)")
    }
}
