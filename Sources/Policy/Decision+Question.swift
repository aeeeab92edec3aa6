extension Decision {
    /// The arguments of `mesh why` that ask about this decision again, quoted for a shell; where somebody in between is the
    /// reason, what that one lacks.
    public var question: String {
        let asked = principal.isIdentified ? principal.id.description : Self.name(of: principal.subject)
        switch (reason, peer?.id) {
        case (.actAsMissing, let peer?):
            return "--from \(Self.quoted(peer.description)) --to \(Self.quoted(asked)) --verb \(Verb.actAs)"
        case (.nodeNotAllowed, let peer?):
            return "--from \(Self.quoted(peer.description)) --to \(Self.quoted(target)) --verb \(verb)"
        case (_, let peer?)
        where peer.namespace == .node && (principal.subject.isExternal || reason == .notVouchedFor):
            return "--from \(Self.quoted(asked))\(attributes) --to \(Self.quoted(target)) --as-node \(peer.name)"
        default:
            return "--from \(Self.quoted(asked))\(attributes) --to \(Self.quoted(target)) --verb \(verb)"
        }
    }

    private var attributes: String {
        principal.subject.attributes.sorted { $0.key < $1.key }
            .flatMap { name, values in values.map { " --attribute \(Self.quoted("\(name)=\($0)"))" } }.joined()
    }

    /// The name of somebody whom the policy does not know.
    private static func name(of subject: Subject) -> String {
        switch subject {
        case .token(let issuer, let name, _):
            PrincipalID.token(issuer: issuer, subject: name)?.description ?? "anonymous"
        case .key(let id, _): "key:\(id)"
        case .user(let uid, _, _): "uid:\(uid)"
        case .node(_, let spiffe?): spiffe
        case .node(let name?, nil): "cn:\(name)"
        case .service(let name): "service:\(name)"
        case .node(nil, nil), .anonymous: "anonymous"
        }
    }

    private static func quoted(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            Name.isNameByte(byte) || [".", ":", "/", "=", ",", "@", "%", "+"].contains { $0 == Unicode.Scalar(byte) }
        }
        return plain && !text.isEmpty ? text : "'\(Printable.text(text).replacing("'", with: "'\\''"))'"
    }
}
