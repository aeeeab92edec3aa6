/// Why a JSON text was refused, and where.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a refusal.
    public enum Code: String, Sendable, CaseIterable {
        /// Nothing but white space (and comments).
        case emptyDocument = "empty_document"
        /// The text ends in the middle of a value.
        case unexpectedEnd = "unexpected_end"
        /// A character that cannot stand at its place.
        case unexpectedCharacter = "unexpected_character"
        /// Something follows the document's one value.
        case trailingData = "trailing_data"
        /// A key appears twice in one object; `related` is the first place.
        case duplicateKey = "duplicate_key"
        /// More nested arrays and objects than ``JSONLimits/maximumDepth``.
        case tooDeep = "too_deep"
        /// More bytes than ``JSONLimits/maximumBytes``.
        case tooLarge = "too_large"
        /// More values than ``JSONLimits/maximumValues``.
        case tooManyValues = "too_many_values"
        /// A number that is not written as the grammar asks.
        case badNumber = "bad_number"
        /// A number that a Double cannot hold, such as 1e400.
        case numberOutOfRange = "number_out_of_range"
        /// An unknown or incomplete escape in a string.
        case badEscape = "bad_escape"
        /// Half of a surrogate pair written as an escape.
        case loneSurrogate = "lone_surrogate"
        /// A raw control character in a string.
        case controlCharacter = "control_character"
        /// Bytes that are not UTF-8.
        case invalidUTF8 = "invalid_utf8"
        /// The text starts with a byte order mark or is UTF-16.
        case byteOrderMark = "byte_order_mark"
        /// A string without its closing quotation mark.
        case unterminatedString = "unterminated_string"
        /// A `/*` without its `*/`.
        case unterminatedComment = "unterminated_comment"
        /// Something that only the JSON5 dialect allows.
        case onlyJSON5 = "only_json5"
        /// A value of another type than the reader asked for.
        case wrongType = "wrong_type"
        /// An integer outside of the range that the reader asked for.
        case outOfRange = "out_of_range"
        /// A member that the reader asked for is not there.
        case missingMember = "missing_member"
        /// A member that the reader does not know.
        case unknownMember = "unknown_member"
    }

    /// The stable name of the refusal.
    public let code: Code
    /// The place that is wrong.
    public let position: JSONPosition
    /// What was expected and what was found, without the position.
    public let message: String
    /// A second place that belongs to the refusal: the first of two equal keys.
    public let related: JSONPosition?

    /// An error at a place.
    public init(code: Code, position: JSONPosition, message: String, related: JSONPosition? = nil) {
        self.code = code
        self.position = position
        self.message = message
        self.related = related
    }

    /// The line, from 1.
    public var line: Int { position.line }

    /// The column in characters, from 1.
    public var column: Int { position.column }

    /// `12:5: expected …`, to be put after a file's name and a colon.
    public var description: String { "\(position): \(message)" }
}
