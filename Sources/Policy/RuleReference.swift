/// Where a rule, grant or mapping stands and what it says.
public struct RuleReference: Sendable, Hashable, CustomStringConvertible {
    /// The rule's number in the document, from 0; grants of permissions and mappings count apart.
    public let index: Int
    /// The policy's file, or `built-in`.
    public let file: String
    /// The line in the file, from 1; 0 for what is built in.
    public let line: Int
    /// The rule in one line: `allow connect from service:web to db`.
    public let text: String
    /// What its author noted.
    public let note: String?

    /// A reference from its parts.
    public init(index: Int, file: String, line: Int, text: String, note: String? = nil) {
        self.index = index
        self.file = file
        self.line = line
        self.text = text
        self.note = note
    }

    /// `policy.json:12`, or `built-in`.
    public var place: String { line > 0 ? "\(file):\(line)" : file }

    /// `policy.json:12  allow connect from service:web to db`
    public var description: String { "\(place)  \(text)" }
}
