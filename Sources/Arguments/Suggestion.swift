/// Finds what somebody probably meant.
public enum Suggestion {
    /// The candidate closest to `word`, if one is close enough to be meant: case aside, at most one slip for three
    /// letters (a letter missing, added, wrong, or two swapped), or `word` begins it.
    public static func closest(to word: String, among candidates: some Sequence<String>) -> String? {
        let typed = Array(word.lowercased().unicodeScalars)
        // A long word is never a slip of a known one, and the table would be large.
        guard !typed.isEmpty, typed.count <= 64 else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let known = Array(candidate.lowercased().unicodeScalars)
            if known.count > 64 { continue }
            let isBeginning = typed.count >= 2 && known.starts(with: typed)
            let slips = distance(typed, known)
            let distance = isBeginning ? min(slips, 1) : slips
            let allowed = max(1, max(typed.count, known.count) / 3)
            // A short word that shares nothing with the candidate is not a slip of it.
            guard distance <= allowed, distance < known.count, distance < best?.distance ?? .max else { continue }
            best = (candidate, distance)
        }
        return best?.name
    }

    /// Edit distance in which swapping neighbours counts once (optimal string alignment).
    static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, beforeLast[j - 2] + 1) }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
