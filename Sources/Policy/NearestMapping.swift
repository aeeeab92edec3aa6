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
        case .service, .token, .key, .anonymous:
            return nil
        }
    }
}
