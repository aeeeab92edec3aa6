/// What a door has verified about its caller, before any mapping.
public enum Subject: Hashable, Sendable, CustomStringConvertible {
    /// What a token or an API key says about its holder besides the name: lists of texts by name, such as `groups`.
    public typealias Attributes = [String: [String]]

    /// A peer: what its verified leaf certificate says. A SPIFFE URI identifies; without one the common name does,
    /// where a mapping names it.
    case node(commonName: String?, spiffe: String?)
    /// A local process: its Unix credentials, the user's name where the host knows it, all its groups.
    case user(uid: UInt32, name: String?, gids: [UInt32])
    /// A service identity by its name; only ever made by what has checked that the caller holds it.
    case service(String)
    /// An external client: a verified token's issuer and subject, and what else it says that mappings may ask for.
    case token(issuer: String, subject: String, attributes: Attributes = [:])
    /// An external client: a verified API key's id, and what stands beside the key that mappings may ask for.
    case key(String, attributes: Attributes = [:])
    /// Nobody proved anything.
    case anonymous

    /// The facts as they are shown in explanations.
    public var description: String {
        switch self {
        case .node(_, let spiffe?): Printable.text(spiffe)
        case .node(let commonName?, nil): "CN \"\(Printable.text(commonName))\" (no SPIFFE URI)"
        case .node(nil, nil): "a certificate without a name"
        case .user(let uid, let name, let gids):
            "uid \(uid)" + (name.map { " (\(Printable.text($0)))" } ?? "") + Self.described(gids)
        case .service(let name): "service:\(Printable.text(name))"
        case .token(let issuer, let subject, let attributes):
            "token of \(Printable.text(subject)) by \(Printable.text(issuer))" + Self.described(attributes)
        case .key(let id, let attributes): "API key \(Printable.text(id))" + Self.described(attributes)
        case .anonymous: "nobody"
        }
    }

    /// Whether it is a client from outside of the mesh.
    public var isExternal: Bool {
        switch self {
        case .token, .key: true
        case .node, .user, .service, .anonymous: false
        }
    }

    /// The attributes of a token or key; nothing for other callers.
    public var attributes: Attributes {
        switch self {
        case .token(_, _, let attributes), .key(_, let attributes): attributes
        case .node, .user, .service, .anonymous: [:]
        }
    }

    /// The facts that a principal's id stands for when somebody else names it: its name and, for tokens and keys, the
    /// attributes that came with it.
    ///
    /// A uid named from afar has neither a user's name nor groups here. Attributes of others than tokens and keys are
    /// left out.
    public init(_ id: PrincipalID, trustDomain: String? = nil, attributes: Attributes = [:]) {
        switch id.namespace {
        case .node: self = .node(commonName: id.name, spiffe: trustDomain.map { "spiffe://\($0)/node/\(id.name)" })
        case .service: self = .service(id.name)
        case .uid: self = .user(uid: id.uid ?? .max, name: nil, gids: [])
        case .jwt:
            let (issuer, subject) = id.tokenParts ?? ("", "")
            self = .token(issuer: issuer, subject: subject, attributes: attributes)
        case .key: self = .key(id.name, attributes: attributes)
        case .anonymous: self = .anonymous
        }
    }

    /// Reads `groups=admins`, as command lines and queries write an attribute; nil when it is none.
    public static func attribute(_ text: String) -> (name: String, value: String)? {
        guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")), equals != text.startIndex else { return nil }
        return (String(text[..<equals]), String(text[text.utf8.index(after: equals)...]))
    }

    /// ` in groups 0, 50`, cut where it gets long; nothing without groups.
    private static func described(_ gids: [UInt32]) -> String {
        guard !gids.isEmpty else { return "" }
        let shown = gids.prefix(maximumShown).map(String.init).joined(separator: ", ")
        return " in group\(gids.count == 1 ? "" : "s") \(shown)\(gids.count > maximumShown ? ", …" : "")"
    }

    /// ` (groups: admins, ops; scope: read)`, cut where it gets long; nothing without attributes.
    private static func described(_ attributes: Attributes) -> String {
        guard !attributes.isEmpty else { return "" }
        let shown = attributes.sorted { $0.key < $1.key }.prefix(maximumShown).map { name, values in
            let more = values.count > maximumShown ? ", …" : ""
            let texts = values.prefix(maximumShown).map(Printable.text).joined(separator: ", ")
            return "\(Printable.text(name)): \(texts)\(more)"
        }
        return " (\(shown.joined(separator: "; "))\(attributes.count > maximumShown ? "; …" : ""))"
    }

    /// Attributes, and values of each, that an explanation shows: enough to see what is there, and still a line.
    private static let maximumShown = 8
}

/// Text from outside made safe for a terminal and a log.
enum Printable {
    /// The text with control and direction-changing characters written as `\u{…}`.
    static func text(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var safe = ""
        for scalar in text.unicodeScalars {
            if isHidden(scalar) {
                safe += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                safe.unicodeScalars.append(scalar)
            }
        }
        return safe
    }

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF: true
        default: false
        }
    }
}
