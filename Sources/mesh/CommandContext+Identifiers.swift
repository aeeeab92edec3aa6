import Arguments

extension CommandContext {
    /// The id that an argument means: a whole one, or the beginning of just one of those that there are.
    ///
    /// - Parameters:
    ///   - what: the kind of thing, for errors: "token".
    ///   - list: the command that shows them.
    func identifier(
        _ name: String, of what: String, among ids: some Sequence<String>, list: String
    ) throws(CommandFailure) -> String {
        let text = argument(name)
        switch IdentifierPrefix.resolve(text, among: ids) {
        case .one(let id): return id
        // Whoever keeps them says that there is none.
        case .none: return text
        case .several(let ids):
            throw .usage(
                "\(text) is the beginning of several ids of a \(what): \(ids.prefix(5).joined(separator: ", "))",
                hint: "give more of the one that you mean; \(list) shows them")
        }
    }
}
