/// A pattern over names: anchored at both ends, matched segment by segment.
///
/// `*` stands for any run of characters within one segment (alone for one whole segment, never an empty one), `**` as a
/// whole segment, once, for one or more segments. Everything else stands for itself; case counts. So `db-*` matches
/// `db-1` and not `db-1.example.org`, which `db-*.example.org` and `**.org` match. Where names may have empty segments
/// (`https://…`), `**` takes those as well.
struct NamePattern: Hashable, Sendable, CustomStringConvertible {
    /// One segment of a pattern.
    enum Segment: Hashable, Sendable {
        case literal([UInt8])
        case any
        case glob([UInt8])
        case deep
    }

    /// Why a text is no pattern.
    enum Flaw: Error {
        case empty
        case deepInsideSegment
        case deepTwice

        var message: String {
            switch self {
            case .empty: "a pattern can't be empty or have empty segments"
            case .deepInsideSegment: "`**` must be a whole segment of its own"
            case .deepTwice: "`**` can stand only once in a pattern"
            }
        }
    }

    let text: String
    let separator: UInt8
    private let segments: [Segment]
    /// Where `**` stands.
    private let deep: Int?
    /// Whether `**` takes empty segments.
    private let takesEmpty: Bool
    /// Whether the first segment is spelled out, so that the pattern may reach reserved names.
    private let spellsFirstSegment: Bool
    /// What every match starts with.
    let literalPrefix: [UInt8]

    var description: String { text }

    /// Whether there is no wildcard, so that only the text itself matches.
    var isExact: Bool { literalPrefix.count == text.utf8.count }

    init(_ text: String, separator: UInt8, emptySegments: Bool = false) throws(Flaw) {
        guard !text.isEmpty else { throw .empty }
        var segments: [Segment] = []
        var deep: Int?
        for bytes in Array(text.utf8).split(separator: separator, omittingEmptySubsequences: false) {
            if bytes.isEmpty {
                guard emptySegments else { throw .empty }
                segments.append(.literal([]))
            } else if !bytes.contains(Self.star) {
                segments.append(.literal(Array(bytes)))
            } else if bytes.elementsEqual([Self.star]) {
                segments.append(.any)
            } else if bytes.elementsEqual([Self.star, Self.star]) {
                guard deep == nil else { throw .deepTwice }
                deep = segments.count
                segments.append(.deep)
            } else {
                guard !zip(bytes, bytes.dropFirst()).contains(where: { $0 == Self.star && $1 == Self.star }) else {
                    throw .deepInsideSegment
                }
                segments.append(.glob(Array(bytes)))
            }
        }
        self.text = text
        self.separator = separator
        self.segments = segments
        self.deep = deep
        takesEmpty = emptySegments
        literalPrefix = Array(text.utf8.prefix { $0 != Self.star })
        if case .literal = segments[0] { spellsFirstSegment = true } else { spellsFirstSegment = false }
    }

    /// `**` over names.
    static let everything = NamePattern()

    private init() {
        text = "**"
        separator = UInt8(ascii: ".")
        segments = [.deep]
        deep = 0
        takesEmpty = false
        literalPrefix = []
        spellsFirstSegment = false
    }

    /// Whether the whole of `name` matches. With `sparingReserved`, names of built-in services match only when the
    /// pattern spells their first segment.
    func matches(_ name: String, sparingReserved: Bool = false) -> Bool {
        if sparingReserved, !spellsFirstSegment, Name.isReserved(name) { return false }
        var name = name
        return name.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }

    func matches(_ name: UnsafeRawBufferPointer) -> Bool {
        guard !name.isEmpty else { return false }
        var count = 1
        for byte in name where byte == separator { count += 1 }
        let skipped = count - segments.count
        if deep == nil ? skipped != 0 : skipped < 0 { return false }
        var start = 0
        for number in 0..<count {
            var end = start
            while end < name.count, name[end] != separator { end += 1 }
            let segment: Segment
            if let deep, number >= deep {
                segment = number <= deep + skipped ? .deep : segments[number - skipped]
            } else {
                segment = segments[number]
            }
            guard matches(segment, UnsafeRawBufferPointer(rebasing: name[start..<end])) else { return false }
            start = end + 1
        }
        return true
    }

    private static let star = UInt8(ascii: "*")

    private func matches(_ segment: Segment, _ name: UnsafeRawBufferPointer) -> Bool {
        switch segment {
        case .literal(let bytes): bytes.count == name.count && bytes.elementsEqual(name)
        case .any: !name.isEmpty
        case .deep: takesEmpty || !name.isEmpty
        case .glob(let pattern): Self.glob(pattern, name)
        }
    }

    /// The usual two-pointer match: on a mismatch the last `*` takes one character more.
    private static func glob(_ pattern: [UInt8], _ name: UnsafeRawBufferPointer) -> Bool {
        var place = 0
        var read = 0
        var retry: (place: Int, read: Int)?
        while read < name.count {
            if place < pattern.count, pattern[place] == star {
                retry = (place + 1, read)
                place += 1
            } else if place < pattern.count, pattern[place] == name[read] {
                place += 1
                read += 1
            } else if let last = retry {
                place = last.place
                read = last.read + 1
                retry = (last.place, last.read + 1)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == star }
    }
}
