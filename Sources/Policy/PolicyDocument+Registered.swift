extension PolicyDocument {
    /// ``warnings``, and one for each rule that names a service which is not among `services` and is spelt almost like one of them; in
    /// the order of the text.
    ///
    /// A service may be registered after the rule is written, so nothing is said of others that are missing.
    ///
    /// - Parameter services: The names of registered services, as far as the caller knows them.
    public func warnings(registered services: some Sequence<String>) -> [PolicyWarning] {
        let registered = Set(services)
        let candidates = registered.sorted()
        var found: [PolicyWarning] = []
        for rule in rules where rule.origin != .builtIn && rule.verbs.contains(where: { $0.targetKind == .service }) {
            for case .exact(let name) in rule.to where !registered.contains(name) && !Name.isReserved(name) {
                guard let meant = Self.meant(by: name, among: candidates) else { continue }
                found.append(
                    PolicyWarning(
                        code: .unknownService, file: file, position: rule.position,
                        message: "no service \(name) is among those that you may discover; did you mean \"\(meant)\"?"))
            }
        }
        return (warnings + found).sorted { $0.position < $1.position }
    }

    /// The service that was probably meant: one slip away, or two in a longer name. A name with another number is another service's.
    private static func meant(by name: String, among candidates: [String]) -> String? {
        let stem = stem(name)
        let nearest = Suggestion.nearest(to: name, among: candidates.filter { Self.stem($0) != stem })
        return nearest.flatMap { Suggestion.distance(name, $0) <= (name.utf8.count < 8 ? 1 : 2) ? $0 : nil }
    }

    /// A name without its numbers, and without what stands before one at its end.
    private static func stem(_ name: String) -> Substring {
        var stem = name.filter { !$0.isNumber }[...]
        while let last = stem.last, "-_.".contains(last) { stem.removeLast() }
        return stem
    }
}
