import Bytes
import JSON

/// What is stored of an API key: everything but the key.
public struct APIKeyRecord: Sendable, Hashable {
    /// Its id, 16 hexadecimal digits; the principal is `key:ID`.
    public let id: String
    /// What people call it.
    public let name: String
    /// Attributes that its holder has.
    public let attributes: [String: [String]]
    /// Scopes that its holder has.
    public let scopes: [String]
    /// When it was made, unix seconds.
    public let createdAt: Int64
    /// The first second at which it no longer counts, unix seconds.
    public let expiresAt: Int64?
    /// When it was revoked, unix seconds.
    public internal(set) var revokedAt: Int64?
    /// Keyed BLAKE2b of id and secret, 32 bytes.
    let hash: [UInt8]

    /// Most bytes of a name.
    static let nameLimit = 128

    init(
        id: String, name: String, attributes: [String: [String]], scopes: [String], createdAt: Int64,
        expiresAt: Int64?, revokedAt: Int64? = nil, hash: [UInt8]
    ) throws(JOSEError) {
        let values = attributes.flatMap(\.value)
        guard APIKeyText.isID(id), hash.count == 32, Self.isLine(name, limit: Self.nameLimit),
            attributes.keys.allSatisfy(ClaimMapping.isAttribute), scopes.allSatisfy(Claims.isScope),
            values.count <= ClaimMapping.valueLimit,
            values.allSatisfy({ Self.isLine($0, limit: ClaimMapping.lengthLimit) })
        else {
            throw JOSEError(
                .badValue, "a name, attribute or scope of an API key cannot be stored",
                hint: "names and values are one line; attributes are letters, digits, . _ -; scopes are visible ASCII")
        }
        self.id = id
        self.name = name
        self.attributes = attributes
        self.scopes = scopes
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.hash = hash
    }

    /// Reads one of the file.
    init(reading object: JSONObject) throws {
        try object.requireOnly([
            "id", "name", "hash", "attributes", "scopes", "createdAt", "expiresAt", "revokedAt",
        ])
        let times: ClosedRange<Int64> = 0...Claims.latestTime
        var attributes: [String: [String]] = [:]
        if object["attributes"] != nil {
            for member in try object.object("attributes") { attributes[member.key] = try member.value.requireStrings() }
        }
        try self.init(
            id: object.string("id"), name: object.string("name"), attributes: attributes,
            scopes: object.strings("scopes"), createdAt: object.integer("createdAt", in: times),
            expiresAt: object.optionalInteger("expiresAt", in: times),
            revokedAt: object.optionalInteger("revokedAt", in: times),
            hash: Base64URL.decode(object.string("hash")) ?? [])
    }

    /// As the file has it.
    var json: JSONValue {
        var object: JSONObject = [
            "id": .string(id), "name": .string(name), "hash": .string(Base64URL.encode(hash)),
            "createdAt": .integer(createdAt),
        ]
        if let expiresAt { object["expiresAt"] = .integer(expiresAt) }
        if let revokedAt { object["revokedAt"] = .integer(revokedAt) }
        if !scopes.isEmpty { object["scopes"] = JSONValue(scopes) }
        if !attributes.isEmpty {
            object["attributes"] = .object(
                JSONObject(attributes.sorted { $0.key < $1.key }.map { ($0.key, JSONValue($0.value)) }))
        }
        return .object(object)
    }

    private static func isLine(_ text: String, limit: Int) -> Bool {
        text.utf8.count <= limit && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    }
}
