/// A JSON value that knows where it stands in its text: for files whose mistakes are reported by line and column.
public struct JSONNode: Sendable {
    /// What a node holds.
    public enum Content: Sendable {
        /// `null`
        case null
        /// `true` or `false`
        case bool(Bool)
        /// An integer that fits 64 bits.
        case integer(Int64)
        /// Any other number.
        case number(Double)
        /// A string.
        case string(String)
        /// An array.
        case array([JSONNode])
        /// An object's members in order, keys unique.
        case object([JSONMember])
    }

    /// The value.
    public let content: Content
    /// Where the value starts.
    public let position: JSONPosition
    /// The bytes of the text that the value takes; empty when it was not read from one.
    public let range: Range<Int>

    /// A node from its parts.
    public init(content: Content, position: JSONPosition, range: Range<Int> = 0..<0) {
        self.content = content
        self.position = position
        self.range = range
    }

    /// The same value without positions.
    public var value: JSONValue {
        switch content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .array(let elements): .array(elements.map(\.value))
        case .object(let members): .object(JSONObject(members.map { ($0.key, $0.value.value) }))
        }
    }

    /// The type in words with its article, for messages: `a string`.
    public var typeName: String {
        switch content {
        case .array: "an array"
        case .object: "an object"
        default: value.typeName
        }
    }
}

/// A member of an object with the places of key and value (`value.position`).
public struct JSONMember: Sendable {
    /// The key.
    public let key: String
    /// Where the key starts.
    public let keyPosition: JSONPosition
    /// The value.
    public let value: JSONNode

    /// A member from its parts.
    public init(key: String, keyPosition: JSONPosition, value: JSONNode) {
        self.key = key
        self.keyPosition = keyPosition
        self.value = value
    }
}

extension JSONNode {
    /// Whether this is `null`.
    public var isNull: Bool {
        if case .null = content { true } else { false }
    }

    /// The boolean, nil for other types.
    public var bool: Bool? {
        if case .bool(let value) = content { value } else { nil }
    }

    /// The integer, nil for other types.
    public var integer: Int64? {
        if case .integer(let value) = content { value } else { nil }
    }

    /// The number as a Double, integers included; nil for other types.
    public var number: Double? {
        switch content {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The string, nil for other types.
    public var string: String? {
        if case .string(let value) = content { value } else { nil }
    }

    /// The elements, nil for other types.
    public var array: [JSONNode]? {
        if case .array(let elements) = content { elements } else { nil }
    }

    /// The members, nil for other types.
    public var members: [JSONMember]? {
        if case .object(let members) = content { members } else { nil }
    }

    /// A member with its positions; nil when this is no object or has no such member.
    public func member(_ key: String) -> JSONMember? {
        members?.first { $0.key == key }
    }

    /// A member's value; nil when this is no object or has no such member.
    public subscript(key: String) -> JSONNode? {
        member(key)?.value
    }

    /// An element; nil when this is no array or is shorter.
    public subscript(index: Int) -> JSONNode? {
        guard let array, array.indices.contains(index) else { return nil }
        return array[index]
    }
}

extension JSONNode {
    /// The boolean, or an error that says what stands here instead.
    public func requireBool() throws(JSONError) -> Bool {
        guard let bool else { throw wrongType("true or false") }
        return bool
    }

    /// The integer within `range`, or an error that says what stands here instead.
    public func requireInteger(in range: ClosedRange<Int64> = .min ... .max) throws(JSONError) -> Int64 {
        guard let integer else { throw wrongType("an integer") }
        guard range.contains(integer) else {
            let message = "expected an integer from \(range.lowerBound) to \(range.upperBound), found \(integer)"
            throw JSONError(code: .outOfRange, position: position, message: message)
        }
        return integer
    }

    /// The string, or an error that says what stands here instead.
    public func requireString() throws(JSONError) -> String {
        guard let string else { throw wrongType("a string") }
        return string
    }

    /// The elements, or an error that says what stands here instead.
    public func requireArray() throws(JSONError) -> [JSONNode] {
        guard let array else { throw wrongType("an array") }
        return array
    }

    /// The members, or an error that says what stands here instead.
    public func requireObject() throws(JSONError) -> [JSONMember] {
        guard let members else { throw wrongType("an object") }
        return members
    }

    /// The strings of an array of strings, or an error at the first place that is something else.
    public func requireStrings() throws(JSONError) -> [String] {
        var strings: [String] = []
        for element in try requireArray() {
            strings.append(try element.requireString())
        }
        return strings
    }

    /// A member's value, or an error at this object's place.
    public func require(_ key: String) throws(JSONError) -> JSONNode {
        _ = try requireObject()
        guard let node = self[key] else {
            throw JSONError(code: .missingMember, position: position, message: "expected a member \"\(key)\"")
        }
        return node
    }

    /// The error that says that something else was expected here.
    public func wrongType(_ expected: String) -> JSONError {
        JSONError(code: .wrongType, position: position, message: "expected \(expected), found \(typeName)")
    }
}
