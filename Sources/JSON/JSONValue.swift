/// A JSON value.
///
/// Integers that fit are exact; every other number is a Double (so are `-0` and integers beyond Int64). The two do not
/// compare equal: `1` and `1.0` are different values here, as they are different texts.
public enum JSONValue: Sendable, Equatable {
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int64)
    /// Any other number; finite when it was read.
    case number(Double)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object; its members keep their order.
    case object(JSONObject)

    /// A 64-bit integer value.
    public init(_ integer: Int) {
        self = .integer(Int64(integer))
    }

    /// A string value.
    public init(_ string: String) {
        self = .string(string)
    }

    /// An array of strings.
    public init(_ strings: [String]) {
        self = .array(strings.map { .string($0) })
    }

    /// An unsigned value: an integer when it fits 63 bits, otherwise the nearest Double.
    public init(_ unsigned: UInt64) {
        if let integer = Int64(exactly: unsigned) {
            self = .integer(integer)
        } else {
            self = .number(Double(unsigned))
        }
    }
}

extension JSONValue {
    /// Whether this is `null`.
    public var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The boolean, nil for other types.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The integer, nil for other types (a Double is never taken for an integer).
    public var integer: Int64? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// The number as a Double, integers included; nil for other types.
    public var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The string, nil for other types.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The elements, nil for other types.
    public var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The object, nil for other types.
    public var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The value of a member; nil when this is no object or has no such member.
    public subscript(key: String) -> JSONValue? {
        object?[key]
    }

    /// An element; nil when this is no array or is shorter.
    public subscript(index: Int) -> JSONValue? {
        guard let array, array.indices.contains(index) else { return nil }
        return array[index]
    }

    /// The type in words with its article, for messages: `a string`.
    public var typeName: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .number: "a number with fraction or exponent"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// `null`
    public init(nilLiteral: ()) {
        self = .null
    }

    /// `true` or `false`
    public init(booleanLiteral value: Bool) {
        self = .bool(value)
    }

    /// An integer.
    public init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    /// A Double.
    public init(floatLiteral value: Double) {
        self = .number(value)
    }

    /// A string.
    public init(stringLiteral value: String) {
        self = .string(value)
    }

    /// An array.
    public init(arrayLiteral elements: JSONValue...) {
        self = .array(elements)
    }

    /// An object with its members in the literal's order.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(JSONObject(elements))
    }
}
