internal import Bytes
internal import JSON
public import PKI

/// Who may sign documents of a mesh: the content of a document of the kind `operators`, which a root signs.
public struct OperatorList: Sendable, Equatable {
    /// Somebody with an operator's key.
    public struct Member: Sendable, Equatable {
        /// What people call it.
        public let name: String
        /// Its public key, Ed25519.
        public let key: PublicKey

        /// A member from its parts.
        public init(name: String, key: PublicKey) {
            self.name = name
            self.key = key
        }
    }

    /// The operators, in the order of the list.
    public var members: [Member]

    /// More operators than any mesh needs.
    static let maximumMembers = 64
    /// The longest name, in bytes.
    public static let maximumName = 64

    /// A list of operators.
    public init(_ members: [Member]) { self.members = members }

    /// The operator who has the key with this digest, as `SignedDocument.signer` has it.
    public func member(signer: String) -> Member? { members.first { $0.key.spkiSHA256 == signer } }

    /// Whether something can be an operator's name: 1 to 64 visible ASCII characters.
    public static func isName(_ text: String) -> Bool {
        (1...maximumName).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// The content of the document.
    public var payload: [UInt8] {
        let list = members.map { member -> JSONValue in
            ["name": .string(member.name), "key": .string(Base64.encode(member.key.der))]
        }
        return JSONValue.object(["operators": .array(list)]).serialized()
    }

    /// Reads the content of a document.
    ///
    /// Errors: `bad_document_content`.
    public init(payload: [UInt8]) throws(DocumentError) {
        do {
            let object = try JSONReader.parse(payload).requireObject()
            try object.requireOnly(["operators"])
            members = try object.array("operators").map { try Self.member($0) }
        } catch {
            throw Self.bad("\(error)")
        }
        guard !members.isEmpty, members.count <= Self.maximumMembers else {
            throw Self.bad("it names \(members.count) operators; 1 to \(Self.maximumMembers) are possible")
        }
        guard Set(members.map(\.name)).count == members.count,
            Set(members.map(\.key.spkiSHA256)).count == members.count
        else { throw Self.bad("a name or a key stands in it twice") }
    }

    private static func member(_ value: JSONValue) throws -> Member {
        let object = try value.requireObject()
        try object.requireOnly(["name", "key"])
        let name = try object.string("name")
        guard isName(name) else { throw JSONAccessError(code: .badValue, path: "name", message: "is no name") }
        guard let der = Base64.decode(try object.string("key")) else {
            throw JSONAccessError(code: .badValue, path: "key", message: "is no base64")
        }
        let key = try PublicKey(der: der)
        guard key.kind.family == .ed25519 else {
            throw JSONAccessError(code: .badValue, path: "key", message: "is no Ed25519 key")
        }
        return Member(name: name, key: key)
    }

    private static func bad(_ detail: String) -> DocumentError {
        DocumentError(
            .badContent, "the list of operators cannot be used: \(detail)",
            hint: "make it with mesh ca init, or change it with mesh operator add")
    }
}
