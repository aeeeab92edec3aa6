extension PolicyDocument {
    /// What this policy's mappings ask for among attributes: the values that a condition matches, and all of an attribute
    /// that `groupsFrom` or `permissionsFrom` names. The rest makes no difference to any decision of this policy.
    public func attributesAskedFor(_ attributes: Subject.Attributes) -> Subject.Attributes {
        let whole = Set(mappings.flatMap { [$0.groupsFrom, $0.permissionsFrom].compactMap { $0 } })
        var asked: Subject.Attributes = [:]
        for (name, values) in attributes {
            if whole.contains(name) {
                asked[name] = values
                continue
            }
            let conditions = mappings.lazy.flatMap(\.match.attributes).filter { $0.name == name }
            let matching = values.filter { value in conditions.contains { $0.matches(value) } }
            if !matching.isEmpty { asked[name] = matching }
        }
        return asked
    }
}
