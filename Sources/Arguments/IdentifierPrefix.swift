/// What somebody means who types the beginning of an id.
public enum IdentifierPrefix {
    /// What a text stands for among the ids that there are.
    public enum Match: Equatable, Sendable {
        /// Exactly this one.
        case one(String)
        /// None begins with it.
        case none
        /// Several begin with it, in order.
        case several([String])
    }

    /// The shortest beginning that counts, in characters: less is a slip.
    public static let shortest = 4

    /// The id that a text means: the text itself where there is one, else the only one that begins with it.
    public static func resolve(_ text: String, among ids: some Sequence<String>) -> Match {
        let all = Set(ids)
        if all.contains(text) { return .one(text) }
        guard text.count >= shortest else { return .none }
        let found = all.filter { $0.hasPrefix(text) }.sorted()
        if let only = found.first, found.count == 1 { return .one(only) }
        return found.isEmpty ? .none : .several(found)
    }
}
