/// What the parser builds: plain values, or nodes with positions.
protocol TreeBuilder {
    /// Where a value or key starts, as the builder remembers it.
    associatedtype Mark
    associatedtype Value
    associatedtype Member

    /// Remembers the byte offset at which a value or key starts; offsets come in rising order.
    mutating func mark(_ offset: Int) -> Mark
    /// `end` is the byte offset behind the value, here and below.
    func null(_ mark: Mark, _ end: Int) -> Value
    func bool(_ value: Bool, _ mark: Mark, _ end: Int) -> Value
    func integer(_ value: Int64, _ mark: Mark, _ end: Int) -> Value
    func number(_ value: Double, _ mark: Mark, _ end: Int) -> Value
    func string(_ value: String, _ mark: Mark, _ end: Int) -> Value
    func array(_ elements: [Value], _ mark: Mark, _ end: Int) -> Value
    func object(_ members: [Member], index: [String: Int]?, _ mark: Mark, _ end: Int) -> Value
    func member(_ key: String, _ keyMark: Mark, _ value: Value) -> Member
    func key(of member: Member) -> String
    func keyPosition(of member: Member) -> JSONPosition?
}

struct ValueBuilder: TreeBuilder {
    @inline(__always) func mark(_ offset: Int) {}
    @inline(__always) func null(_ mark: Void, _ end: Int) -> JSONValue { .null }
    @inline(__always) func bool(_ value: Bool, _ mark: Void, _ end: Int) -> JSONValue { .bool(value) }
    @inline(__always) func integer(_ value: Int64, _ mark: Void, _ end: Int) -> JSONValue { .integer(value) }
    @inline(__always) func number(_ value: Double, _ mark: Void, _ end: Int) -> JSONValue { .number(value) }
    @inline(__always) func string(_ value: String, _ mark: Void, _ end: Int) -> JSONValue { .string(value) }
    @inline(__always) func array(_ elements: [JSONValue], _ mark: Void, _ end: Int) -> JSONValue { .array(elements) }

    @inline(__always)
    func object(_ members: [JSONObject.Member], index: [String: Int]?, _ mark: Void, _ end: Int) -> JSONValue {
        .object(JSONObject(unique: members, index: index))
    }

    @inline(__always) func member(_ key: String, _ keyMark: Void, _ value: JSONValue) -> JSONObject.Member {
        JSONObject.Member(key: key, value: value)
    }

    @inline(__always) func key(of member: JSONObject.Member) -> String { member.key }
    func keyPosition(of member: JSONObject.Member) -> JSONPosition? { nil }
}

struct NodeBuilder: TreeBuilder {
    struct Mark {
        let position: JSONPosition
        let offset: Int
    }

    private var tracker: PositionTracker

    init(_ bytes: UnsafeRawBufferPointer) {
        tracker = PositionTracker(bytes)
    }

    mutating func mark(_ offset: Int) -> Mark {
        Mark(position: tracker.position(at: offset), offset: offset)
    }

    private func node(_ content: JSONNode.Content, _ mark: Mark, _ end: Int) -> JSONNode {
        JSONNode(content: content, position: mark.position, range: mark.offset..<end)
    }

    func null(_ mark: Mark, _ end: Int) -> JSONNode { node(.null, mark, end) }
    func bool(_ value: Bool, _ mark: Mark, _ end: Int) -> JSONNode { node(.bool(value), mark, end) }
    func integer(_ value: Int64, _ mark: Mark, _ end: Int) -> JSONNode { node(.integer(value), mark, end) }
    func number(_ value: Double, _ mark: Mark, _ end: Int) -> JSONNode { node(.number(value), mark, end) }
    func string(_ value: String, _ mark: Mark, _ end: Int) -> JSONNode { node(.string(value), mark, end) }
    func array(_ elements: [JSONNode], _ mark: Mark, _ end: Int) -> JSONNode { node(.array(elements), mark, end) }

    func object(_ members: [JSONMember], index: [String: Int]?, _ mark: Mark, _ end: Int) -> JSONNode {
        node(.object(members), mark, end)
    }

    func member(_ key: String, _ keyMark: Mark, _ value: JSONNode) -> JSONMember {
        JSONMember(key: key, keyPosition: keyMark.position, value: value)
    }

    func key(of member: JSONMember) -> String { member.key }
    func keyPosition(of member: JSONMember) -> JSONPosition? { member.keyPosition }
}
