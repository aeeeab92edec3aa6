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
        case .none:
            throw CommandFailure(
                .notFound, "no_such_id", "there is no \(what) whose id is \(text), or begins with it",
                hint: "\(list) has them; \(IdentifierPrefix.shortest) characters are the least")
        case .several(let ids):
            throw .usage(
                "\(text) is the beginning of several ids: \(ids.prefix(5).joined(separator: ", "))",
                hint: "give more of the one that you mean")
        }
    }
}
