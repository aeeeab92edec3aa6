import Arguments
import EventLoop
import JOSE
import JSON
import PKI

/// What the commands about API keys have in common.
enum APIKeyFile {
    static let flag = FlagSpec("file", .path, "The file of API keys.", default: TokenFiles.apiKeys)

    static func path(_ context: CommandContext) -> String { context.invocation.string("file") ?? TokenFiles.apiKeys }

    static func read(_ path: String) throws(CommandFailure) -> APIKeyStore {
        let text = try TokenFiles.contents(
            path, isSecret: true, make: "make the first key: mesh apikey create NAME --file \(path)")
        do throws(JOSEError) {
            return try APIKeyStore(reading: text)
        } catch {
            throw CommandFailure(error, file: path)
        }
    }

    static func json(_ record: APIKeyRecord, _ now: Int64) -> JSONObject {
        var object: JSONObject = [
            "id": .string(record.id), "name": .string(record.name), "state": .string(state(record, now)),
            "created": .string(UTCTime.text(record.createdAt)), "scopes": JSONValue(record.scopes),
            "attributes": .object(
                JSONObject(record.attributes.sorted { $0.key < $1.key }.map { ($0.key, JSONValue($0.value)) })),
        ]
        if let end = record.expiresAt { object["expires"] = .string(UTCTime.text(end)) }
        if let time = record.revokedAt { object["revoked"] = .string(UTCTime.text(time)) }
        return object
    }

    static func state(_ record: APIKeyRecord, _ now: Int64) -> String {
        if record.revokedAt != nil { return "revoked" }
        return record.expiresAt.map { now >= $0 } ?? false ? "expired" : "active"
    }
}

/// `mesh apikey create NAME`
enum APIKeyCreateCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "create", "Make an API key and show it, once.",
            discussion: """
                Only a keyed hash is stored; a key that is lost has to be made anew. Its holder sends it as \
                Authorization: Bearer, or in the field X-API-Key. Its principal is key:ID.
                """,
            flags: [
                APIKeyFile.flag, FlagSpec("ttl", .duration, "How long it counts; without it, until it is revoked."),
                FlagSpec("scope", .string, placeholder: "SCOPE", "A scope that its holder has.", isRepeated: true),
                FlagSpec(
                    "attribute", .string, placeholder: "NAME=VALUE", "An attribute for the policy: groups=robots.",
                    isRepeated: true), .json,
            ],
            positionals: [PositionalSpec("NAME", "What people call it.")],
            examples: [
                .init("mesh apikey create ci --ttl 90d --attribute groups=robots", "a key for three months")
            ])
    ) { (context) throws(CommandFailure) in
        let path = APIKeyFile.path(context)
        let now = Clock.unixSeconds()
        var attributes: [String: [String]] = [:]
        for (name, values) in try context.pairs("attribute") { attributes[name] = values }
        return try TokenFiles.update(path) { () throws(CommandFailure) in
            var store =
                TokenFiles.exists(path) ? try APIKeyFile.read(path) : APIKeyStore(random: TokenFiles.random(32))
            let made: (key: String, record: APIKeyRecord)
            do throws(JOSEError) {
                made = try store.add(
                    name: context.argument("NAME"), attributes: attributes,
                    scopes: context.invocation.strings("scope"), expiresAt: context.seconds("ttl").map { now + $0 },
                    at: now, random: TokenFiles.random(APIKeyStore.randomBytes))
            } catch {
                throw CommandFailure(error)
            }
            // Stored before it is shown: what was shown works.
            try TokenFiles.write(store.text, to: path, mode: 0o600)
            var object = APIKeyFile.json(made.record, now)
            object["key"] = .string(made.key)
            context.print(.object(object)) {
                Output.line(made.key)
                let end = made.record.expiresAt.map { "until \(UTCTime.text($0))" } ?? "without an end"
                Output.note("Key \(made.record.id), \(end). It is shown this once; keep it like a password.")
            }
            return .ok
        }
    }
}

/// `mesh apikey list`
enum APIKeyListCommand {
    static let entry = CommandEntry(
        CommandSpec("list", "List API keys, without the keys themselves.", flags: [APIKeyFile.flag, .json])
    ) { (context) throws(CommandFailure) in
        let store = try APIKeyFile.read(APIKeyFile.path(context))
        let now = Clock.unixSeconds()
        context.print(.array(store.records.map { .object(APIKeyFile.json($0, now)) })) {
            var table = TextTable("ID", "NAME", "STATE", "CREATED", "EXPIRES", "SCOPES", "ATTRIBUTES")
            for record in store.records {
                let attributes = record.attributes.sorted { $0.key < $1.key }
                    .map { "\($0.key)=\($0.value.joined(separator: "+"))" }
                table.append([
                    record.id, record.name, APIKeyFile.state(record, now), UTCTime.text(record.createdAt),
                    record.expiresAt.map { UTCTime.text($0) } ?? Format.none,
                    record.scopes.isEmpty ? Format.none : record.scopes.joined(separator: " "),
                    attributes.isEmpty ? Format.none : attributes.joined(separator: " "),
                ])
            }
            Output.table(table, empty: "There are no API keys.")
        }
        return .ok
    }
}

/// `mesh apikey revoke ID`
enum APIKeyRevokeCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "revoke", "Revoke an API key.",
            discussion: "Edges that watch the file end the connections of its holder.",
            flags: [APIKeyFile.flag, .json],
            positionals: [PositionalSpec("ID", "The key's id, of mesh apikey list, or its beginning.")])
    ) { (context) throws(CommandFailure) in
        let path = APIKeyFile.path(context)
        let now = Clock.unixSeconds()
        return try TokenFiles.update(path) { () throws(CommandFailure) in
            var store = try APIKeyFile.read(path)
            let id = try context.identifier(
                "ID", of: "key", among: store.records.map(\.id), list: "mesh apikey list")
            do throws(JOSEError) {
                try store.revoke(id, at: now)
            } catch {
                throw CommandFailure(error)
            }
            try TokenFiles.write(store.text, to: path, mode: 0o600)
            context.print(.object(store[id].map { APIKeyFile.json($0, now) } ?? [:])) {
                Output.line("Revoked the API key \(id) (\(store[id]?.name ?? ""))")
            }
            return .ok
        }
    }
}
