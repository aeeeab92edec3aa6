import Bytes
import JSON

/// The API keys of a file. A value: `mesh apikey` changes and writes it, the edge reads it.
///
/// The file holds keyed BLAKE2b of the keys, and the key of the hash; who reads it learns no API key.
public struct APIKeyStore: Sendable {
    /// Most bytes of the file.
    public static let sizeLimit = 16 << 20
    /// Most keys of the file.
    public static let countLimit = 10_000
    /// How many random bytes `add` takes.
    public static let randomBytes = APIKeyText.idBytes + APIKeyText.secretBytes

    /// The keys in the order in which they were made, with those that ended or were revoked.
    public private(set) var records: [APIKeyRecord] = []
    /// Counts the changes of the file.
    public private(set) var revision: Int64 = 0

    private let hashKey: [UInt8]
    private var places: [String: Int] = [:]

    /// An empty store from 32 random bytes.
    public init(random: [UInt8]) {
        precondition(random.count == 32, "a store of API keys takes 32 random bytes")
        hashKey = random
    }

    /// Reads the file's text.
    ///
    /// Errors: `malformed_file`, `unknown_version`, `too_many_entries`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        let object = try OwnFile.object(text, "the file of API keys", sizeLimit: Self.sizeLimit)
        do {
            try object.requireOnly(["version", "revision", "hashKey", "keys"])
            revision = try object.integer("revision", in: 0...(.max - 1))
            hashKey = Base64URL.decode(try object.string("hashKey")) ?? []
            guard hashKey.count == 32 else { throw OwnFile.malformed("the file of API keys", "hashKey has 32 bytes") }
            let elements = try object.array("keys")
            try OwnFile.checkCount(elements.count, limit: Self.countLimit, "API keys")
            for element in elements {
                let record = try APIKeyRecord(reading: element.requireObject())
                guard places.updateValue(records.count, forKey: record.id) == nil else {
                    throw OwnFile.malformed("the file of API keys", "the id \(record.id) stands twice")
                }
                records.append(record)
            }
        } catch {
            throw OwnFile.widen(error, "the file of API keys")
        }
    }

    /// The file's text.
    public var text: [UInt8] {
        let object: JSONObject = [
            "version": .integer(OwnFile.version), "revision": .integer(revision),
            "hashKey": .string(Base64URL.encode(hashKey)), "keys": .array(records.map(\.json)),
        ]
        return JSONValue.object(object).serialized(pretty: true) + [UInt8(ascii: "\n")]
    }

    /// The record with an id.
    public subscript(id: String) -> APIKeyRecord? { places[id].map { records[$0] } }

    /// Makes a key. Its text is in the result and nowhere else.
    ///
    /// - Parameter random: `randomBytes` random bytes.
    ///
    /// Errors: `bad_value`, `too_many_entries`.
    public mutating func add(
        name: String, attributes: [String: [String]] = [:], scopes: [String] = [], expiresAt: Int64? = nil,
        at now: Int64, random: [UInt8]
    ) throws(JOSEError) -> (key: String, record: APIKeyRecord) {
        try OwnFile.checkCount(records.count + 1, limit: Self.countLimit, "API keys")
        let key = APIKeyText(random: random)
        guard places[key.id] == nil else {
            throw JOSEError(.badValue, "there is a key with the id \(key.id)", hint: "try again")
        }
        let record = try APIKeyRecord(
            id: key.id, name: name, attributes: attributes, scopes: scopes, createdAt: now, expiresAt: expiresAt,
            hash: hash(key))
        places[key.id] = records.count
        records.append(record)
        revision += 1
        return (key.text, record)
    }

    /// Revokes a key. It stays in the file, so that its holder learns why, until it is removed.
    ///
    /// Errors: `unknown_key_id`.
    public mutating func revoke(_ id: String, at now: Int64) throws(JOSEError) {
        guard let place = places[id] else {
            throw JOSEError(.unknownKeyID, "there is no API key \(id)", hint: "list them: mesh apikey list")
        }
        guard records[place].revokedAt == nil else { return }
        records[place].revokedAt = now
        revision += 1
    }

    /// The record of a key.
    ///
    /// The work is the same for an unknown id and for a wrong secret: one hash and one comparison in constant time.
    func record(for text: String) throws(Refusal) -> APIKeyRecord {
        guard let key = APIKeyText(text) else {
            throw Refusal(.malformedAPIKey, "not of the form cmk_ID_SECRET")
        }
        let record = self[key.id]
        let isRight = ConstantTime.equal(hash(key), record?.hash ?? hashKey)
        guard isRight, let record else { throw Refusal(.invalidAPIKey, "an unknown id or a wrong secret") }
        return record
    }

    private func hash(_ key: APIKeyText) -> [UInt8] {
        Hash.blake2b(Array(key.id.utf8) + key.secret, key: hashKey)
    }
}
