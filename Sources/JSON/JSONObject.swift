/// The members of a JSON object: unique keys in the order in which they were written or added.
///
/// Two objects are equal when they have the same members, in whatever order (RFC 8259, section 4). Keys are compared
/// as Swift compares strings, by canonical equivalence.
public struct JSONObject: Sendable {
    /// One member.
    public struct Member: Sendable, Equatable {
        /// The key.
        public let key: String
        /// The value.
        public internal(set) var value: JSONValue

        /// A member from its parts.
        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// Up to this many members a search is faster than a dictionary.
    static let searchLimit = 16

    /// The members in order.
    public private(set) var members: [Member]
    /// Where each key is; only for objects beyond `searchLimit`.
    private var index: [String: Int]?

    /// An object without members.
    public init() {
        members = []
    }

    /// An object from pairs; of two equal keys the later value stays, at the first one's place.
    @inlinable
    public init(_ pairs: some Sequence<(String, JSONValue)>) {
        self.init(minimumCapacity: pairs.underestimatedCount)
        for (key, value) in pairs {
            self[key] = value
        }
    }

    /// An object without members, with room for so many.
    public init(minimumCapacity: Int) {
        members = []
        members.reserveCapacity(minimumCapacity)
    }

    /// For the reader, which has made sure that keys are unique.
    init(unique members: [Member], index: [String: Int]?) {
        self.members = members
        self.index = index
    }

    /// How many members there are.
    public var count: Int { members.count }

    /// Whether there are none.
    public var isEmpty: Bool { members.isEmpty }

    /// The keys in order.
    public var keys: [String] { members.map(\.key) }

    /// The value of a member. Setting adds it at the end or replaces it where it is; setting nil removes it.
    public subscript(key: String) -> JSONValue? {
        get {
            place(of: key).map { members[$0].value }
        }
        set {
            switch (place(of: key), newValue) {
            case (let place?, let value?):
                members[place].value = value
            case (let place?, nil):
                members.remove(at: place)
                index = nil
                indexIfLarge()
            case (nil, let value?):
                members.append(Member(key: key, value: value))
                if index != nil {
                    index?[key] = members.count - 1
                } else {
                    indexIfLarge()
                }
            case (nil, nil):
                break
            }
        }
    }

    private func place(of key: String) -> Int? {
        if let index { return index[key] }
        return members.firstIndex { $0.key == key }
    }

    private mutating func indexIfLarge() {
        guard members.count > Self.searchLimit else { return }
        var index = [String: Int](minimumCapacity: members.count)
        for (place, member) in members.enumerated() {
            index[member.key] = place
        }
        self.index = index
    }
}

extension JSONObject: Equatable {
    /// Whether both have the same members, in whatever order.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.members.allSatisfy { right[$0.key] == $0.value }
    }
}

extension JSONObject: Sequence {
    /// Goes through the members in order.
    public func makeIterator() -> IndexingIterator<[Member]> {
        members.makeIterator()
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// An object with its members in the literal's order.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init(elements)
    }
}
