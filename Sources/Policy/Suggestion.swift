/// Finds what somebody probably meant.
enum Suggestion {
    /// `; did you mean "from"?` when one of the candidates is near enough, otherwise nothing.
    static func text(for word: String, among candidates: some Sequence<String>) -> String {
        nearest(to: word, among: candidates).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    /// The candidate with the smallest distance, if that is at most a third of the word (and one at least).
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let distance = distance(word, candidate)
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        guard let best, best.distance <= max(1, word.utf8.count / 3) else { return nil }
        return best.candidate
    }

    /// Edit distance (insert, remove, replace, swap of neighbours), case aside. Words beyond 64 bytes are cut: nobody
    /// mistypes those by a letter or two, and the cost grows with the square.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = left.lowercased().utf8.prefix(64).map { $0 }
        let right = right.lowercased().utf8.prefix(64).map { $0 }
        guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
        var before: [Int] = []
        var last = Array(0...right.count)
        for row in 1...left.count {
            var current = [row]
            for column in 1...right.count {
                let same = left[row - 1] == right[column - 1]
                var cost = min(last[column] + 1, current[column - 1] + 1, last[column - 1] + (same ? 0 : 1))
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    cost = min(cost, before[column - 2] + 1)
                }
                current.append(cost)
            }
            before = last
            last = current
        }
        return last[right.count]
    }
}
