import Bytes
import Directory
import Enrolment
import JSON
import PKI

/// What the CA remembers: join tokens (their public keys), the nodes with the names that were granted, and what was issued.
///
/// SQLite with a synced log: what a function did before it returned survives the loss of power. Blocks on the disk; used on
/// the CA's own thread.
final class CALedger {
    /// Marks the file as ours (`PRAGMA application_id`): "MeCA".
    private static let applicationID: Int64 = 0x4D65_4341
    private static let migrations: [[String]] = [
        [
            """
            CREATE TABLE tokens (id TEXT PRIMARY KEY, node TEXT NOT NULL, names TEXT NOT NULL, created INTEGER NOT NULL,
            expires INTEGER NOT NULL, creator TEXT NOT NULL, used INTEGER NOT NULL, key TEXT NOT NULL) WITHOUT ROWID
            """,
            """
            CREATE TABLE nodes (name TEXT PRIMARY KEY, names TEXT NOT NULL, admitted INTEGER NOT NULL) WITHOUT ROWID
            """,
            """
            CREATE TABLE issued (serial TEXT PRIMARY KEY, node TEXT NOT NULL, key TEXT NOT NULL, made INTEGER NOT NULL,
            ends INTEGER NOT NULL) WITHOUT ROWID
            """,
            "CREATE INDEX issued_node ON issued (node, made)",
        ]
    ]
    /// How long tokens and certificates are remembered after their end, in seconds: so that a late use is told apart from a
    /// wrong token, and operators can look.
    static let memory: Int64 = 7 * 86_400

    /// The database and its lock, one after the other: the lock is given back last.
    private final class Opened {
        let connection: SQLiteConnection
        let files: StoreFiles

        init(path: String) throws(StoreError) {
            files = try StoreFiles(path: path)
            connection = try SQLiteConnection(path: path, vfs: nil)
            try connection.prepare(applicationID: CALedger.applicationID, migrations: CALedger.migrations)
        }
    }

    private let path: String
    private var opened: Opened?

    private var connection: SQLiteConnection {
        get throws(StoreError) {
            guard let opened else {
                throw StoreError(
                    code: .refused, path: path, message: "another process takes the CA over",
                    hint: "try again in a moment")
            }
            return opened.connection
        }
    }

    /// Opens the file, or makes it: mode 0600 in a directory of mode 0700.
    init(path: String) throws(StoreError) {
        self.path = path
        opened = try Opened(path: path)
    }

    /// Gives the file up for another process; until `resume` every request fails.
    func suspend() { opened = nil }

    /// Opens the file again.
    func resume() throws(StoreError) {
        if opened == nil { opened = try Opened(path: path) }
    }

    /// A join token as the CA knows it.
    struct Token {
        let id: String
        let grant: NodeGrant
        let created: Int64
        let expires: Int64
        let creator: String
        /// When it was used; 0 while it was not.
        let used: Int64
        /// SPKI hash of the key that used it.
        let key: String
    }

    /// A node as the CA knows it.
    struct Node {
        let grant: NodeGrant
        let admitted: Int64
        /// The newest certificate that was issued to it.
        let last: Issued?
    }

    /// A certificate that was issued.
    struct Issued {
        let serial: String
        let key: String
        let made: Int64
        let ends: Int64
    }

    // MARK: - Tokens

    /// Remembers a new token, and forgets those that ended long ago.
    func add(_ key: [UInt8], grant: NodeGrant, now: Int64, expires: Int64, creator: String) throws(StoreError) {
        try connection.transaction { () throws(StoreError) in
            try connection.run("DELETE FROM tokens WHERE expires < ?", [.integer(now - Self.memory)])
            try connection.run(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, 0, '')",
                [
                    .text(Array(Base64URL.encode(key).utf8)), .text(Array(grant.node.utf8)), .text(Self.names(grant)),
                    .integer(now), .integer(expires), .text(Array(creator.utf8)),
                ])
        }
    }

    /// All tokens that are remembered, newest first.
    func tokens() throws(StoreError) -> [Token] {
        var tokens: [Token] = []
        try connection.run("SELECT * FROM tokens ORDER BY created DESC, id") { (row) throws(StoreError) in
            tokens.append(try token(row))
        }
        return tokens
    }

    /// The token of a public key.
    func token(_ key: [UInt8]) throws(StoreError) -> Token? {
        var found: Token?
        try connection.run("SELECT * FROM tokens WHERE id = ?", [.text(Array(Base64URL.encode(key).utf8))]) {
            (row) throws(StoreError) in found = try token(row)
        }
        return found
    }

    /// Withdraws a token; false when there is none.
    func removeToken(_ id: String) throws(StoreError) -> Bool {
        var count: Int64 = 0
        try connection.run("SELECT count(*) FROM tokens WHERE id = ?", [.text(Array(id.utf8))]) { (row) in
            count = row.integer(0)
        }
        try connection.run("DELETE FROM tokens WHERE id = ?", [.text(Array(id.utf8))])
        return count > 0
    }

    // MARK: - Nodes

    /// Uses up a token for a key, admits its node and notes the certificate: all of it, synced, or nothing.
    func admit(_ token: Token, certificate: Certificate, key: String, now: Int64) throws(StoreError) {
        try connection.transaction { () throws(StoreError) in
            try connection.run(
                "UPDATE tokens SET used = ?, key = ? WHERE id = ? AND (used = 0 OR key = ?)",
                [.integer(now), .text(Array(key.utf8)), .text(Array(token.id.utf8)), .text(Array(key.utf8))])
            try put(token.grant, now)
            try note(certificate, node: token.grant.node, key: key, now: now)
        }
    }

    /// Admits a node without a token: the CA's own.
    func admit(_ grant: NodeGrant, certificate: Certificate, key: String, now: Int64) throws(StoreError) {
        try connection.transaction { () throws(StoreError) in
            try put(grant, now)
            try note(certificate, node: grant.node, key: key, now: now)
        }
    }

    /// Notes a renewed certificate.
    func renewed(_ node: String, certificate: Certificate, key: String, now: Int64) throws(StoreError) {
        try connection.transaction { () throws(StoreError) in
            // The newest of a node stays, however long its host is off.
            try connection.run(
                "DELETE FROM issued WHERE ends < ? AND made < (SELECT max(made) FROM issued AS other WHERE other.node = issued.node)",
                [.integer(now - Self.memory)])
            try note(certificate, node: node, key: key, now: now)
        }
    }

    /// What is known of a node.
    func node(_ name: String) throws(StoreError) -> Node? {
        var found: (NodeGrant, Int64)?
        try connection.run("SELECT name, names, admitted FROM nodes WHERE name = ?", [.text(Array(name.utf8))]) {
            (row) throws(StoreError) in found = (try grant(row, 0), row.integer(2))
        }
        return try found.map { (found) throws(StoreError) in
            Node(grant: found.0, admitted: found.1, last: try last(name))
        }
    }

    /// Whether a certificate was issued to a node, since it was admitted or, if it was forgotten once, admitted again.
    func hasIssued(_ serial: String, to node: String, key: String) throws(StoreError) -> Bool {
        var count: Int64 = 0
        try connection.run(
            "SELECT count(*) FROM issued WHERE serial = ? AND node = ? AND key = ?",
            [.text(Array(serial.utf8)), .text(Array(node.utf8)), .text(Array(key.utf8))]
        ) { (row) in count = row.integer(0) }
        return count > 0
    }

    /// All nodes, by name.
    func nodes() throws(StoreError) -> [Node] {
        var found: [(NodeGrant, Int64)] = []
        try connection.run("SELECT name, names, admitted FROM nodes ORDER BY name") { (row) throws(StoreError) in
            found.append((try grant(row, 0), row.integer(2)))
        }
        var nodes: [Node] = []
        for (grant, admitted) in found {
            nodes.append(Node(grant: grant, admitted: admitted, last: try last(grant.node)))
        }
        return nodes
    }

    /// Forgets a node, its tokens and what was issued to it: none of these certificates renews anything any more, also when
    /// a node of that name is admitted again. False when it is not known.
    func forget(_ name: String) throws(StoreError) -> Bool {
        let isKnown = try node(name) != nil
        try connection.transaction { () throws(StoreError) in
            try connection.run("DELETE FROM nodes WHERE name = ?", [.text(Array(name.utf8))])
            try connection.run("DELETE FROM tokens WHERE node = ?", [.text(Array(name.utf8))])
            try connection.run("DELETE FROM issued WHERE node = ?", [.text(Array(name.utf8))])
        }
        return isKnown
    }

    private func last(_ name: String) throws(StoreError) -> Issued? {
        var found: Issued?
        try connection.run(
            "SELECT serial, key, made, ends FROM issued WHERE node = ? ORDER BY made DESC, ends DESC LIMIT 1",
            [.text(Array(name.utf8))]
        ) { (row) in
            found = Issued(
                serial: Self.string(row, 0), key: Self.string(row, 1), made: row.integer(2), ends: row.integer(3))
        }
        return found
    }

    private func put(_ grant: NodeGrant, _ now: Int64) throws(StoreError) {
        try connection.run(
            "INSERT INTO nodes VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET names = excluded.names",
            [.text(Array(grant.node.utf8)), .text(Self.names(grant)), .integer(now)])
    }

    private func note(_ certificate: Certificate, node: String, key: String, now: Int64) throws(StoreError) {
        try connection.run(
            "INSERT INTO issued VALUES (?, ?, ?, ?, ?)",
            [
                .text(Array(certificate.serialHex.utf8)), .text(Array(node.utf8)), .text(Array(key.utf8)),
                .integer(now),
                .integer(certificate.notAfter),
            ])
    }

    // MARK: - Rows

    private func token(_ row: SQLiteConnection.Row) throws(StoreError) -> Token {
        Token(
            id: Self.string(row, 0), grant: try grant(row, 1), created: row.integer(3), expires: row.integer(4),
            creator: Self.string(row, 5), used: row.integer(6), key: Self.string(row, 7))
    }

    /// The grant whose node stands in `column` and whose names stand behind it.
    private func grant(_ row: SQLiteConnection.Row, _ column: Int32) throws(StoreError) -> NodeGrant {
        do {
            let names = try JSONReader.parse(row.text(column + 1))
            return try NodeGrant(
                node: Self.string(row, column), dnsNames: names["dns"]?.array?.compactMap(\.string) ?? [],
                ipAddresses: names["ip"]?.array?.compactMap(\.string) ?? [])
        } catch {
            throw StoreError(
                code: .corrupt, path: path, message: "a row cannot be read: \(error)",
                hint: "restore the file from a backup; without one, make new tokens for all nodes")
        }
    }

    private static func names(_ grant: NodeGrant) -> [UInt8] {
        JSONValue.object(["dns": .init(grant.dnsNames), "ip": .init(grant.ipAddresses)]).serialized()
    }

    private static func string(_ row: SQLiteConnection.Row, _ column: Int32) -> String {
        String(decoding: row.text(column), as: UTF8.self)
    }
}
