/// Who calls, as the service is told: in fields of which the client's own copies are removed.
///
/// Values are made safe for fields: what is not visible ASCII, and "%", becomes `%XX` of its UTF-8 bytes; in groups a
/// comma as well. So `%` occurs only as an escape and decoding gives the text back.
public struct Caller: Sendable, Hashable {
    /// `Conduit-Caller`: the principal, such as `jwt:https://issuer/subject` or `key:build`.
    public var principal: String
    /// `Conduit-Caller-Groups`: its groups, separated by commas; the field is missing where there are none.
    public var groups: [String]
    /// `Conduit-Caller-CN`: the common name of the client's certificate, where he had one.
    public var commonName: String?

    /// A caller.
    public init(principal: String, groups: [String] = [], commonName: String? = nil) {
        self.principal = principal
        self.groups = groups
        self.commonName = commonName
    }

    /// The value of `Conduit-Caller`.
    public var principalField: String { Text.escaped(principal) }
    /// The value of `Conduit-Caller-Groups`; empty where there are none.
    public var groupsField: String {
        groups.map { Text.escaped($0, reserving: ",".utf8) }.joined(separator: ",")
    }
    /// The value of `Conduit-Caller-CN`; empty where there is none.
    public var commonNameField: String { commonName.map { Text.escaped($0) } ?? "" }
}
