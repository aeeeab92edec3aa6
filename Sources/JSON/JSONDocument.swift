/// A JSON text that was read with positions.
public struct JSONDocument: Sendable {
    /// A step from a value to one inside of it.
    public enum Step: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
        /// The member with this key.
        case key(String)
        /// The element with this index, from 0.
        case index(Int)

        /// A member's key.
        public init(stringLiteral value: String) {
            self = .key(value)
        }

        /// An element's index.
        public init(integerLiteral value: Int) {
            self = .index(value)
        }
    }

    /// The document's one value.
    public let root: JSONNode

    /// A document from its root.
    public init(root: JSONNode) {
        self.root = root
    }

    /// The document without positions.
    public var value: JSONValue { root.value }

    /// The node at the end of a path such as `["services", 0, "name"]`; nil when a step leads nowhere.
    public func node(at path: [Step]) -> JSONNode? {
        var node = root
        for step in path {
            let next: JSONNode? =
                switch step {
                case .key(let key): node[key]
                case .index(let index): node[index]
                }
            guard let next else { return nil }
            node = next
        }
        return node
    }

    /// Where the value at the end of a path starts.
    public func position(of path: [Step]) -> JSONPosition? {
        node(at: path)?.position
    }

    /// Where the key of the member at the end of a path starts; nil when the last step is an index.
    public func keyPosition(of path: [Step]) -> JSONPosition? {
        guard case .key(let key)? = path.last else { return nil }
        return node(at: path.dropLast())?.member(key)?.keyPosition
    }

    private func node(at path: ArraySlice<Step>) -> JSONNode? {
        node(at: Array(path))
    }
}
