/// What a door has verified about its caller, before any mapping.
public enum Subject: Hashable, Sendable, CustomStringConvertible {
    /// A peer: what its verified leaf certificate says. A SPIFFE URI identifies; without one the common name does,
    /// where a mapping names it.
    case node(commonName: String?, spiffe: String?)
    /// A local process: its Unix credentials, the user's name where the host knows it, all its groups.
    case user(uid: UInt32, name: String?, gids: [UInt32])
    /// A service identity by its name; only ever made by what has checked that the caller holds it.
    case service(String)
    /// An external client: a verified token's issuer and subject.
    case token(issuer: String, subject: String)
    /// An external client: a verified API key's id.
    case key(String)
    /// Nobody proved anything.
    case anonymous

    /// The facts as they are shown in explanations.
    public var description: String {
        switch self {
        case .node(_, let spiffe?): Printable.text(spiffe)
        case .node(let commonName?, nil): "CN \"\(Printable.text(commonName))\" (no SPIFFE URI)"
        case .node(nil, nil): "a certificate without a name"
        case .user(let uid, let name, _): name.map { "uid \(uid) (\(Printable.text($0)))" } ?? "uid \(uid)"
        case .service(let name): "service:\(Printable.text(name))"
        case .token(let issuer, let subject): "token of \(Printable.text(subject)) by \(Printable.text(issuer))"
        case .key(let id): "API key \(Printable.text(id))"
        case .anonymous: "nobody"
        }
    }

    /// The facts that a principal's id stands for when somebody else names it: its name and nothing more.
    ///
    /// A uid named from afar has neither a user's name nor groups here.
    public init(_ id: PrincipalID, trustDomain: String? = nil) {
        switch id.namespace {
        case .node: self = .node(commonName: id.name, spiffe: trustDomain.map { "spiffe://\($0)/node/\(id.name)" })
        case .service: self = .service(id.name)
        case .uid: self = .user(uid: id.uid ?? .max, name: nil, gids: [])
        case .jwt:
            let slash = id.name.utf8.lastIndex(of: UInt8(ascii: "/")) ?? id.name.startIndex
            let subject = id.name[slash...].dropFirst()
            self = .token(issuer: String(id.name[..<slash]), subject: String(subject))
        case .key: self = .key(id.name)
        case .anonymous: self = .anonymous
        }
    }
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
