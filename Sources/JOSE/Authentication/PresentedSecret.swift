/// The one token or key that credentials hold.
enum PresentedSecret {
    /// With the scheme Bearer.
    case bearer(String)
    /// With the scheme DPoP.
    case dpop(String)
    /// From a place without schemes.
    case plain(String)
    /// An API key.
    case apiKey(String)

    /// Finds it.
    init(_ credentials: ClientCredentials) throws(Refusal) {
        let places =
            credentials.authorization.count + (credentials.token == nil ? 0 : 1) + credentials.apiKeys.count
        guard places <= 1 else { throw Refusal(.multipleCredentials, "credentials stand in \(places) places") }
        if let key = credentials.apiKeys.first {
            self = .apiKey(key)
        } else if let token = credentials.token {
            self = APIKeyText.looksLike(token) ? .apiKey(token) : .plain(token)
        } else if let field = credentials.authorization.first {
            self = try Self.parse(field)
        } else {
            throw Refusal(.missingToken, "nothing was presented")
        }
    }

    /// `scheme SP token68` (RFC 9110, section 11.4).
    private static func parse(_ field: String) throws(Refusal) -> PresentedSecret {
        guard field.utf8.count <= CompactToken.sizeLimit + 16 else {
            throw Refusal(.tokenTooLarge, "the field has \(field.utf8.count) bytes")
        }
        let parts = field.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard let scheme = parts.first?.lowercased(), !scheme.isEmpty else {
            throw Refusal(.malformedAuthorization, "the field has no scheme")
        }
        guard scheme == "bearer" || scheme == "dpop" else {
            throw Refusal(.unsupportedScheme, "the scheme is neither Bearer nor DPoP")
        }
        let token = parts.count == 2 ? String(parts[1].drop { $0 == " " }) : ""
        guard !token.isEmpty, token.utf8.allSatisfy(isToken) else {
            throw Refusal(.malformedAuthorization, "no token follows the scheme, or one with characters it cannot have")
        }
        if APIKeyText.looksLike(token) {
            guard scheme == "bearer" else { throw Refusal(.malformedAuthorization, "an API key with the scheme DPoP") }
            return .apiKey(token)
        }
        return scheme == "bearer" ? .bearer(token) : .dpop(token)
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="):
            true
        default: false
        }
    }
}
