/// A table for a terminal: columns aligned, fitted to the width, no blanks at the end of a line.
public struct TextTable: Sendable {
    /// A column.
    public struct Column: Sendable {
        /// Its title; tables whose titles are all empty have no title line.
        public let title: String
        /// Whether cells stand at the right, as numbers do.
        public let isRightAligned: Bool
        /// Columns of the terminal it keeps when the table is too wide; others are shortened first, the widest one first.
        public let minimumWidth: Int

        /// A column.
        public init(_ title: String, isRightAligned: Bool = false, minimumWidth: Int = 4) {
            self.title = title
            self.isRightAligned = isRightAligned
            self.minimumWidth = minimumWidth
        }
    }

    private let columns: [Column]
    private var rows: [[String]] = []

    /// Blanks between columns.
    private static let gap = 2

    /// A table without rows.
    public init(_ columns: [Column]) { self.columns = columns }

    /// A table without rows whose columns stand at the left.
    public init(_ titles: String...) { columns = titles.map { Column($0) } }

    /// The titles of its columns.
    public var titles: [String] { columns.map(\.title) }

    /// Number of rows.
    public var count: Int { rows.count }

    /// Adds a row. Missing cells are empty, those too many are left out; control characters become `�`.
    public mutating func append(_ cells: [String]) {
        rows.append(columns.indices.map { $0 < cells.count ? DisplayWidth.sanitized(cells[$0]) : "" })
    }

    /// The table's text, each line ended. With a width, cells are cut with `…` until it fits, down to the columns'
    /// minimum widths; nil means no limit (a pipe).
    public func text(width: Int? = nil) -> String {
        if columns.isEmpty { return "" }
        let hasTitles = columns.contains { !$0.title.isEmpty }
        let all = (hasTitles ? [columns.map(\.title)] : []) + rows
        let widths = fitted(all, width)
        return all.map { line($0, widths) + "\n" }.joined()
    }

    /// Columns of a terminal below which lines are cut off by it instead.
    public var leastWidth: Int {
        let all = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in
            min(all.map { DisplayWidth.of($0[column]) }.max() ?? 0, max(columns[column].minimumWidth, 1))
        }
        return widths.reduce(0, +) + Self.gap * max(columns.count - 1, 0)
    }

    private func fitted(_ rows: [[String]], _ width: Int?) -> [Int] {
        var widths = columns.indices.map { column in rows.map { DisplayWidth.of($0[column]) }.max() ?? 0 }
        guard let width else { return widths }
        var excess = widths.reduce(0, +) + Self.gap * (columns.count - 1) - width
        while excess > 0 {
            // One column off the widest that may still shrink; the last of equals, since first columns are names.
            var widest: Int?
            for column in columns.indices where widths[column] > max(columns[column].minimumWidth, 1) {
                if widest.map({ widths[column] >= widths[$0] }) ?? true { widest = column }
            }
            guard let widest else { break }
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        var pending = 0
        for column in columns.indices {
            let cell = DisplayWidth.truncated(cells[column], to: widths[column])
            let padding = widths[column] - DisplayWidth.of(cell)
            if columns[column].isRightAligned { pending += padding }
            // Blanks are written only when something follows.
            if !cell.isEmpty {
                line += String(repeating: " ", count: pending) + cell
                pending = 0
            }
            pending += Self.gap + (columns[column].isRightAligned ? 0 : padding)
        }
        return line
    }
}
