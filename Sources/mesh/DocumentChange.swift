import Arguments
import Documents
import PKI

/// What the next version of a document has and the one before has not, and the other way round: said before it is signed, so that
/// somebody sees what is missing.
struct DocumentChange {
    /// Entries that come.
    let added: [String]
    /// Entries that go.
    let dropped: [String]

    /// More of each are only counted for people.
    private static let most = 20

    /// Compares the contents of two documents of one kind.
    init(_ kind: DocumentKind, from old: [UInt8]?, to new: [UInt8], trustDomain: String) {
        let before = old.map { Self.entries(kind, $0, trustDomain) } ?? []
        let after = Self.entries(kind, new, trustDomain)
        let (had, has) = (Set(before), Set(after))
        added = after.filter { !had.contains($0) }
        dropped = before.filter { !has.contains($0) }
    }

    private static func entries(_ kind: DocumentKind, _ payload: [UInt8], _ trustDomain: String) -> [String] {
        switch kind {
        case .operators:
            return (try? OperatorList(payload: payload))?.members.map { "\($0.name) spki-sha256:\($0.key.spkiSHA256)" }
                ?? []
        case .revocations:
            return (try? RevocationSet(payload: payload))?.entries.map { "\($0.name) (\($0.reason))" } ?? []
        case .trust:
            return (try? RootList(payload: payload, trustDomain: trustDomain))?.entries.map {
                "\($0.certificate.subject) \($0.state.rawValue) spki-sha256:\($0.certificate.spkiSHA256)"
            } ?? []
        case .policy:
            let lines = String(decoding: payload, as: UTF8.self).split(separator: "\n")
            return lines.map { $0.drop { $0 == " " || $0 == "\t" } }.filter { !$0.isEmpty }.map(String.init)
        }
    }

    /// Says it on standard error, but for scripts, to which that is for errors.
    ///
    /// - Parameter all: what shows the rest where it is cut. Nothing else shows the first version, which is never cut.
    func say(_ kind: DocumentKind, version: UInt64, after base: UInt64, all: String? = nil, _ context: CommandContext) {
        guard !context.json else { return }
        let follows = base == 0 ? "the first" : "follows version \(base)"
        let same = added.isEmpty && dropped.isEmpty ? ": nothing is added or dropped" : ":"
        Output.note("signing version \(version) of \(kind.text) (\(follows))\(same)")
        let most = base == 0 ? Int.max : Self.most
        for (sign, entries) in [("-", dropped), ("+", added)] {
            for entry in entries.prefix(most) { Output.note(DisplayWidth.sanitized("  \(sign) \(entry)")) }
            if entries.count > most { Output.note("  \(sign) and \(entries.count - most) more") }
        }
        if let all, max(dropped.count, added.count) > most { Output.note("  \(all) shows all, before it is applied") }
    }
}
