/// A configuration file in the INI form that Python's `configparser` reads: sections in brackets, `key = value` or
/// `key: value`, whole lines of comments with `#` or `;`. Keys have no case. Values are not unquoted and nothing is
/// put in for `%`.
struct INIFile {
    /// One key of a section.
    struct Entry: Equatable {
        let section: String
        let key: String
        let value: String
        /// Line and column of the value, from 1.
        let line: Int
        let column: Int
    }

    /// Why a file is no INI file.
    struct ParseError: Error {
        let line: Int
        let message: String
    }

    private(set) var entries: [Entry] = []

    /// Reads a whole file.
    init(parsing bytes: [UInt8]) throws(ParseError) {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ParseError(line: 1, message: "the file is not UTF-8")
        }
        var section: String?
        var seen: Set<String> = []
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            let line = raw.last == "\r" ? raw.dropLast() : raw
            let content = line.trimmingBlanks
            if content.isEmpty || content.first == "#" || content.first == ";" { continue }
            if line.first == " " || line.first == "\t", !entries.isEmpty, content.first != "[" {
                // A value that goes on: nothing that a front reads has several lines.
                let last = entries.removeLast()
                entries.append(
                    Entry(
                        section: last.section, key: last.key, value: "\(last.value)\n\(content)", line: last.line,
                        column: last.column))
                continue
            }
            if content.first == "[" {
                guard content.last == "]", content.count > 2 else {
                    throw ParseError(line: number, message: "a section's name stands in brackets: [server]")
                }
                let name = String(content.dropFirst().dropLast())
                section = name
                continue
            }
            guard let section else {
                throw ParseError(line: number, message: "a key before the first section: [server] is missing")
            }
            guard let separator = content.firstIndex(where: { $0 == "=" || $0 == ":" }) else {
                throw ParseError(line: number, message: "neither a section nor \"key = value\"")
            }
            let key = content[..<separator].trimmingBlanks.lowercased()
            let value = content[content.index(after: separator)...].trimmingBlanks
            guard !key.isEmpty else { throw ParseError(line: number, message: "a value without a key") }
            guard seen.insert("\(section)\n\(key)").inserted else {
                throw ParseError(line: number, message: "\"\(key)\" is there twice in [\(section)]")
            }
            let column = line.distance(from: line.startIndex, to: value.startIndex) + 1
            entries.append(Entry(section: section, key: key, value: String(value), line: number, column: column))
        }
    }
}

extension Substring {
    /// Without blanks and tabs at both ends.
    fileprivate var trimmingBlanks: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
