/// The rule for names of nodes, services and identities: 1 to 63 letters, digits, `.`, `-` and `_`, beginning and ending
/// with a letter or digit. They stand in certificates, SPIFFE paths, URLs and metrics unescaped.
enum NameRule {
    /// The rule as a regular expression (ECMA 262, for the schema).
    static let pattern = "^(?!.*\\.\\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"

    /// Whether only the agent's own services may have such a name.
    static func isReserved(_ name: String) -> Bool {
        name == "mesh" || name.hasPrefix("mesh.")
    }

    /// What is wrong with a name, nil when it is legal.
    static func problem(_ name: String) -> String? {
        let bytes = Array(name.utf8)
        guard let first = bytes.first, let last = bytes.last else { return "a name cannot be empty" }
        guard bytes.count <= 63 else { return "a name has at most 63 characters, this one has \(name.count)" }
        if let bad = name.unicodeScalars.first(where: { !isLegal($0) }) {
            return "a name has only letters, digits, '.', '-' and '_', not '\(bad)'"
        }
        guard isLetterOrDigit(first), isLetterOrDigit(last) else {
            return "a name begins and ends with a letter or digit"
        }
        return name.contains("..") ? "a name has no two dots in a row" : nil
    }

    static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default:
            false
        }
    }

    private static func isLegal(_ scalar: Unicode.Scalar) -> Bool {
        guard let byte = UInt8(exactly: scalar.value) else { return false }
        return isLetterOrDigit(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "_")
    }
}
