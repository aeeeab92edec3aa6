/// Who asks, as a name in one of the disjoint namespaces: `node:db-1`, `service:web`, `uid:1000`,
/// `jwt:<issuer>/<subject>`, `key:<id>`, or `anonymous`.
public struct PrincipalID: Hashable, Sendable, CustomStringConvertible {
    /// The kinds of principals. A pattern never reaches from one into another.
    public enum Namespace: String, Sendable, CaseIterable {
        /// A host with an agent, proven by its certificate.
        case node
        /// A service identity that a node's or user's mapping gives.
        case service
        /// A local user, proven by Unix peer credentials.
        case uid
        /// An external client, proven by a token; the name is `<issuer>/<subject>`, see ``PrincipalID/token(issuer:subject:)``.
        case jwt
        /// An external client, proven by an API key; the name is the key's id.
        case key
        /// Somebody who proved nothing; has no name.
        case anonymous

        /// What separates the segments of names in this namespace, for patterns.
        var separator: UInt8 {
            self == .jwt ? UInt8(ascii: "/") : UInt8(ascii: ".")
        }
    }

    /// The kind of principal.
    public let namespace: Namespace
    /// The name within the namespace; empty only for `anonymous`.
    public let name: String

    /// For names that are known to be legal.
    init(_ namespace: Namespace, _ name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// A principal's id from its parts; nil when the name is not legal in the namespace.
    public init?(namespace: Namespace, name: String) {
        guard Self.isLegal(name, in: namespace) else { return nil }
        self.init(namespace, name)
    }

    /// Reads `node:db-1` and the like; nil when the namespace is unknown or the name is not legal in it.
    public init?(_ text: String) {
        guard let (namespace, name) = Self.split(text) else { return nil }
        self.init(namespace: namespace, name: name)
    }

    /// Somebody who proved nothing.
    public static let anonymous = PrincipalID(.anonymous, "")

    /// A node by its name; nil when the name is not legal.
    public static func node(_ name: String) -> PrincipalID? { PrincipalID(namespace: .node, name: name) }

    /// A service identity by its name; nil when the name is not legal.
    public static func service(_ name: String) -> PrincipalID? { PrincipalID(namespace: .service, name: name) }

    /// A local user.
    public static func uid(_ uid: UInt32) -> PrincipalID { PrincipalID(.uid, String(uid)) }

    /// `node:db-1`; `anonymous` alone.
    public var description: String {
        namespace == .anonymous ? "anonymous" : "\(namespace.rawValue):\(name)"
    }

    /// An external client by its token's issuer and subject; nil when one is empty or both are too long together.
    ///
    /// The name is `ISSUER/SUBJECT`. Bytes besides visible ASCII, `%` and `*` are written as `%XX`, in the subject `/`
    /// too, so that no two pairs share a name, and the last slash is the border.
    public static func token(issuer: String, subject: String) -> PrincipalID? {
        guard !issuer.isEmpty, !subject.isEmpty else { return nil }
        let name = PercentEscapes.escaped(issuer, slash: false) + "/" + PercentEscapes.escaped(subject, slash: true)
        return name.utf8.count <= maximumOpaque ? PrincipalID(.jwt, name) : nil
    }

    /// Issuer and subject as the token says them, for principals of the namespace `jwt`.
    public var tokenParts: (issuer: String, subject: String)? {
        guard namespace == .jwt, let slash = name.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
        guard let issuer = PercentEscapes.plain(name[..<slash]),
            let subject = PercentEscapes.plain(name[name.utf8.index(after: slash)...])
        else { return nil }
        return (issuer, subject)
    }

    /// Whether it is a client from outside of the mesh, known by a token or an API key.
    public var isExternal: Bool { namespace == .jwt || namespace == .key }

    /// The user's number, for principals of the namespace `uid`.
    public var uid: UInt32? { namespace == .uid ? UInt32(name) : nil }

    /// Splits `namespace:name`; nil when the namespace is unknown.
    static func split(_ text: String) -> (Namespace, String)? {
        if text == "anonymous" { return (.anonymous, "") }
        guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        guard let namespace = Namespace(rawValue: String(text[..<colon])), namespace != .anonymous else { return nil }
        return (namespace, String(text[text.utf8.index(after: colon)...]))
    }

    private static func isLegal(_ name: String, in namespace: Namespace) -> Bool {
        switch namespace {
        case .node, .service:
            return Name.isLegal(name)
        case .uid:
            guard let uid = UInt32(name) else { return false }
            return String(uid) == name
        case .jwt:
            // Only the one spelling that `token` gives: otherwise a rule about one spelling would miss another.
            guard isOpaque(name), let (issuer, subject) = PrincipalID(.jwt, name).tokenParts else { return false }
            return token(issuer: issuer, subject: subject)?.name == name
        case .key:
            return isOpaque(name)
        case .anonymous:
            return name.isEmpty
        }
    }

    /// The most bytes of a name in `jwt` and `key`.
    private static let maximumOpaque = 1024

    /// What issuers and key ids may consist of: visible ASCII but `*`, which is for patterns.
    private static func isOpaque(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= maximumOpaque
            && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "*") }
    }
}
