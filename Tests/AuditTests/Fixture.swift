import Audit
import JSON
import PKI

/// A log of a few files, and what can be done to it.
struct Fixture {
    static let key = generate()
    static let other = generate()

    private static func generate() -> PrivateKey {
        do { return try PrivateKey.generate(.ed25519) } catch { fatalError("\(error)") }
    }

    var chain = AuditChain(log: "0011")
    /// Files with their lines.
    var files: [(name: String, lines: [[UInt8]])] = []
    /// Bytes without a line end behind a file.
    var torn: [String: [UInt8]] = [:]
    /// What lies beside the log.
    var head: AuditSeal?

    /// Two files of eight records each: an opening, three events, a checkpoint, two events, a checkpoint.
    init(files count: Int = 2) throws {
        for _ in 0..<count {
            try open()
            for index in 0..<3 { add("event_\(index)") }
            try checkpoint()
            for index in 3..<5 { add("event_\(index)") }
            try checkpoint()
        }
    }

    mutating func open(torn: Int = 0) throws {
        let name = AuditFileName.name(first: chain.sequence + 1)
        files.append((name, [try chain.open(time: "t", node: "n", torn: torn, by: Self.key)]))
    }

    mutating func add(_ event: String, _ fields: JSONObject = [:]) {
        files[files.count - 1].lines.append(
            chain.append(time: "t", event: event, category: .access, severity: "warning", fields: fields))
    }

    mutating func checkpoint() throws {
        files[files.count - 1].lines.append(try chain.checkpoint(time: "t", by: Self.key))
        head = try chain.seal(by: Self.key)
    }

    func verified(key: PublicKey? = Fixture.key.publicKey, receipts: [AuditSeal]? = nil) -> AuditVerifier {
        var verifier = AuditVerifier(key: key, receipts: receipts ?? [head].compactMap { $0 })
        for file in files {
            verifier.read(file: file.name, file.lines.flatMap { $0 } + (torn[file.name] ?? []))
        }
        verifier.finish()
        return verifier
    }

    /// The kinds of what is found.
    func found(key: PublicKey? = Fixture.key.publicKey, receipts: [AuditSeal]? = nil) -> [AuditFinding.Kind] {
        verified(key: key, receipts: receipts).findings.map(\.kind)
    }
}
