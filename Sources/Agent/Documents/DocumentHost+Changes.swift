import Documents
import JSON
import PKI

/// What a new version of a list changes, for the log and the audit log: of older versions nobody has the content any more.
extension DocumentHost {
    /// Names in a field at most; how many more there are is said.
    private static let namedAtMost = 32

    /// The fields `added` and `removed`, of lists of revocations (with reasons) and of operators; those that would be empty are left
    /// out.
    static func changes(_ kind: DocumentKind, from before: DocumentLedger, to after: DocumentLedger) -> [Log.Field] {
        let (old, new): (Set<String>, Set<String>) =
            switch kind {
            case .revocations: (names(before.revocations), names(after.revocations))
            case .operators: (names(before.operators), names(after.operators))
            case .policy, .trust: ([], [])
            }
        return field("added", new.subtracting(old)) + field("removed", old.subtracting(new))
    }

    private static func names(_ revocations: RevocationSet) -> Set<String> {
        Set(revocations.entries.map { "\($0.name) (\($0.reason))" })
    }

    private static func names(_ operators: OperatorList?) -> Set<String> {
        Set((operators?.members ?? []).map { "\($0.name) (\($0.key.spkiSHA256))" })
    }

    private static func field(_ name: String, _ items: Set<String>) -> [Log.Field] {
        guard !items.isEmpty else { return [] }
        let rest = items.count - namedAtMost
        let text = items.sorted().prefix(namedAtMost).joined(separator: ", ")
        return [(name, .string(rest > 0 ? "\(text) and \(rest) more" : text))]
    }
}
