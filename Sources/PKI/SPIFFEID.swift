/// A SPIFFE ID, "spiffe://example.org/node/db-1", in the strict syntax of the SPIFFE ID specification (section 2).
public struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
    /// The trust domain, lower case, "example.org".
    public let trustDomain: String
    /// The path with its leading slash; empty for the ID of the trust domain itself.
    public let path: String

    /// Longest ID in bytes (SPIFFE-ID, section 2.3).
    static let limit = 2048

    /// Parses a URI.
    ///
    /// Errors: `bad_spiffe_id`.
    public init(parsing uri: String) throws(CertificateError) {
        func refuse(_ why: String) -> CertificateError {
            CertificateError(
                .badSPIFFEID, "\"\(uri.prefix(200))\" is not a SPIFFE ID: \(why)",
                hint: "the form is spiffe://trust-domain/node/NAME; make the certificate again: "
                    + NewCertificate.commands())
        }
        let scheme = "spiffe://"
        guard uri.utf8.count <= SPIFFEID.limit else { throw refuse("longer than \(SPIFFEID.limit) bytes") }
        guard uri.utf8.starts(with: scheme.utf8) else { throw refuse("it does not begin with spiffe://") }
        let rest = uri.utf8.dropFirst(scheme.utf8.count)
        let domain = rest.prefix { $0 != UInt8(ascii: "/") }
        let path = rest.dropFirst(domain.count)
        let domainText = String(Substring(domain))
        guard SPIFFEID.isTrustDomain(domainText) else {
            throw refuse("a trust domain has 1 to 255 characters of a-z, 0-9, dot, hyphen and underscore")
        }
        if !path.isEmpty {
            for segment in path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
                guard !segment.isEmpty else { throw refuse("a path segment is empty") }
                guard segment.allSatisfy({ NodeName.isNameByte($0) }) else {
                    throw refuse("a path segment has letters, digits, dot, hyphen and underscore only")
                }
                guard !segment.elementsEqual(".".utf8), !segment.elementsEqual("..".utf8) else {
                    throw refuse("relative path segments are not allowed")
                }
            }
        }
        trustDomain = domainText
        self.path = String(Substring(path))
    }

    private init(trustDomain: String, path: String) {
        self.trustDomain = trustDomain
        self.path = path
    }

    /// The ID of a node.
    ///
    /// Errors: `bad_name` for the node, `bad_spiffe_id` for the trust domain.
    public static func node(_ name: String, in trustDomain: String) throws(CertificateError) -> SPIFFEID {
        try NodeName.check(name)
        return SPIFFEID(trustDomain: try SPIFFEID.trustDomain(trustDomain).trustDomain, path: "/node/\(name)")
    }

    /// The ID of a trust domain itself, which its root certificate carries.
    ///
    /// Errors: `bad_spiffe_id`.
    public static func trustDomain(_ name: String) throws(CertificateError) -> SPIFFEID {
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard isTrustDomain(name), labels.allSatisfy({ !$0.isEmpty }) else {
            throw CertificateError(
                .badSPIFFEID, "\"\(name.prefix(200))\" is not a trust domain",
                hint: "use 1 to 255 characters of a-z, 0-9, hyphen and underscore, with single dots between them, like "
                    + "mesh.example.org")
        }
        return SPIFFEID(trustDomain: name, path: "")
    }

    /// The node's name when the path is "/node/NAME" and NAME is legal for a node.
    public var nodeName: String? {
        guard path.utf8.starts(with: "/node/".utf8) else { return nil }
        let name = String(path.dropFirst("/node/".count))
        return NodeName.isValid(name) ? name : nil
    }

    /// The URI.
    public var description: String { "spiffe://\(trustDomain)\(path)" }

    /// Whether the text can be a trust domain.
    public static func isTrustDomain(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { NodeName.isNameByte($0) && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    }
}

/// What a node may be called: 1 to 63 characters of letters, digits, dot, hyphen and underscore; case is kept and
/// matters. "." and ".." are refused because they cannot stand in a SPIFFE ID.
public enum NodeName {
    /// Whether the name is legal.
    public static func isValid(_ name: String) -> Bool {
        guard (1...63).contains(name.utf8.count), name != ".", name != ".." else { return false }
        return name.utf8.allSatisfy(isNameByte)
    }

    /// Letters, digits, dot, hyphen and underscore: also what SPIFFE allows in a path segment.
    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// Throws `bad_name` unless the name is legal.
    public static func check(_ name: String) throws(CertificateError) {
        guard isValid(name) else {
            throw CertificateError(
                .badName, "\"\(name.prefix(80))\" cannot be the name of a node",
                hint: "use 1 to 63 letters, digits, dots, hyphens and underscores")
        }
    }
}
