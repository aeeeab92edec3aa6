/// Searches for the mapping that comes closest to facts that no mapping matches.
struct NearestMappingSearch {
    let document: PolicyDocument
    let subject: Subject

    func find() -> NearestRule? {
        var best: (distance: Int, found: NearestRule)?
        for mapping in document.mappings {
            guard let (distance, missing) = compare(mapping), distance < best?.distance ?? .max else { continue }
            best = (distance, NearestRule(rule: mapping.reference(file: document.file), missing: missing))
        }
        return best?.found
    }

    /// The first mapping that gives a service identity.
    func find(giving id: PrincipalID) -> NearestRule? {
        guard id.namespace == .service, let mapping = document.mappings.first(where: { $0.services.contains(id.name) })
        else { return nil }
        return NearestRule(
            rule: mapping.reference(file: document.file), missing: "it gives \(id) to \(mapping.match.text)")
    }

    private func compare(_ mapping: IdentityMapping) -> (Int, String)? {
        let match = mapping.match
        switch subject {
        case .node(let commonName, let spiffe):
            guard match.isForNodes else { return nil }
            if mapping.matches(commonName: commonName, spiffe: spiffe, ownNodeName: nil) {
                return (0, "it matches and gives no legal node name; add `node`")
            }
            if let spiffe, let pattern = match.spiffe {
                return (
                    Suggestion.distance(pattern.text, spiffe), "it is for \(pattern), not \(Printable.text(spiffe))"
                )
            }
            if spiffe == nil, let commonName, let pattern = match.commonName {
                return (
                    Suggestion.distance(pattern.text, commonName),
                    "it is for CN \(pattern), not \(Printable.text(commonName))"
                )
            }
            if spiffe == nil, match.commonName == nil {
                return (1000, "it is for SPIFFE identities; match this certificate by `cn`")
            }
            return nil
        case .user(let uid, let name, _):
            guard match.isForUsers else { return nil }
            if let name, let pattern = match.user {
                return (
                    Suggestion.distance(pattern.text, name), "it is for user \(pattern), not \(Printable.text(name))"
                )
            }
            return (1000, "it is for \(match.text), not uid \(uid)")
        case .token(let issuer, let name, let attributes):
            guard let wanted = match.issuer else { return nil }
            guard wanted.utf8.elementsEqual(issuer.utf8) else {
                return (
                    otherIssuer + Suggestion.distance(wanted, issuer),
                    "it is for tokens of \(Printable.text(wanted)), not of \(Printable.text(issuer))"
                )
            }
            if let pattern = match.subject, !pattern.matches(name) {
                return (
                    Suggestion.distance(pattern.text, name),
                    "it is for subject \(Printable.text(pattern.text)), not \(Printable.text(name))"
                )
            }
            return missing(match.attributes, attributes, "token")
        case .key(let id, let attributes):
            guard let pattern = match.key else { return nil }
            guard pattern.matches(id) else {
                return (
                    Suggestion.distance(pattern.text, id), "it is for key \(pattern.text), not \(Printable.text(id))"
                )
            }
            return missing(match.attributes, attributes, "key")
        case .service, .anonymous:
            return nil
        }
    }

    /// A token of another issuer is farther away than any other subject of the same.
    private var otherIssuer: Int { 500 }

    /// The first condition that the attributes do not fulfil.
    private func missing(
        _ conditions: [IdentityMapping.AttributeCondition], _ attributes: Subject.Attributes, _ what: String
    ) -> (Int, String)? {
        guard let condition = conditions.first(where: { !$0.holds(attributes) }) else { return nil }
        let told = attributes[condition.name] ?? []
        let shown = told.prefix(8).map(Printable.text).joined(separator: ", ") + (told.count > 8 ? ", …" : "")
        return (
            0, "it needs \(condition.text), the \(what) has " + (told.isEmpty ? "no \(condition.name)" : shown)
        )
    }

    /// Why a token or key is not in a group, or has not a permission, that mappings give to others.
    func whyNot(in group: Selector) -> String? {
        let found = document.mappings.lazy.filter { $0.gives(group) }.compactMap { mapping in
            compare(mapping).map { (mapping, $0.1) }
        }
        guard subject.isExternal, let (mapping, missing) = found.first else { return nil }
        return "\(mapping.reference(file: document.file).place) gives it, but \(missing)"
    }
}
