/// What a credential looks like from outside, so that whoever sends one can see that a file holds something else before its
/// text has left the host.
public enum CredentialText {
    /// Whether a text can be a signed token in its compact form: three parts in base64url with a dot between them (RFC 7515
    /// section 7.1).
    public static func isToken(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return parts.count == 3
            && parts.allSatisfy { part in
                !part.isEmpty
                    && part.allSatisfy { byte in
                        switch byte {
                        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                            true
                        default: false
                        }
                    }
            }
    }

    /// Whether a text claims to be an API key.
    public static func isAPIKey(_ text: String) -> Bool { APIKeyText.looksLike(text) }
}
