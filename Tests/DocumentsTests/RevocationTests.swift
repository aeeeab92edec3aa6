import Documents
import JSON
import PKI
import Testing

@Suite struct RevocationTests {
    private let fixture = Fixture.shared

    private func chain(_ node: String, at time: Int64 = Fixture.now + 1000) throws -> [Certificate] {
        let below = try fixture.root.createIntermediate(name: "Below", now: Fixture.now)
        return try below.issueCredentials(IssueRequest(node: node), now: time).chain + [fixture.root.root]
    }

    private func set(_ target: RevocationEntry.Target) throws -> RevocationSet {
        try RevocationSet(payload: RevocationSet.payload([RevocationEntry(target, revoked: 5, reason: "lost")]))
    }

    @Test func oneCertificate() throws {
        let chain = try chain("db-1")
        let set = try set(.certificate(issuer: chain[0].issuer, serial: chain[0].serialHex))
        #expect(set.entry(for: chain)?.reason == "lost")
        #expect(set.entry(for: try self.chain("db-1")) == nil, "another certificate of the same node")
        let other = try self.set(.certificate(issuer: "CN=Somebody else", serial: chain[0].serialHex))
        #expect(other.entry(for: chain) == nil, "the same number of another issuer")
    }

    @Test func anIntermediate() throws {
        let chain = try chain("db-1")
        #expect(chain.count == 3)
        #expect(
            try set(.certificate(issuer: chain[1].issuer, serial: chain[1].serialHex)).entry(for: chain) != nil)
        #expect(try set(.key(chain[1].spkiSHA256)).entry(for: chain) != nil)
    }

    @Test func aKeyInAnyCertificate() throws {
        let key = try PrivateKey.generate()
        let now = Fixture.now + 1000
        let one = try fixture.root.issue(IssueRequest(node: "a"), for: key.publicKey, now: now)
        let two = try fixture.root.issue(IssueRequest(node: "b"), for: key.publicKey, now: now + 50)
        let set = try set(.key(key.publicKey.spkiSHA256))
        #expect(set.entry(for: [one]) != nil && set.entry(for: [two]) != nil)
        #expect(set.entry(for: try chain("a")) == nil)
    }

    /// Nothing issued to the node before now, whatever its key and whoever renewed it.
    @Test func aNode() throws {
        let time = Fixture.now + 5000
        let set = try set(.node("db-1", validBefore: time))
        let backdating = CertificateAuthority.backdating
        #expect(set.entry(for: try chain("db-1", at: time)) != nil, "dated back to before the time")
        #expect(set.entry(for: try chain("db-1", at: time + backdating - 1)) != nil)
        #expect(set.entry(for: try chain("db-1", at: time + backdating)) == nil)
        #expect(set.entry(for: try chain("db-10", at: time)) == nil)
        #expect(set.entry(for: []) == nil)
        #expect(set.entry(ofNode: "db-1") != nil && set.entry(ofNode: "db-10") == nil)
    }

    /// Policy may give a node another name than its certificate has; both are names by which it is revoked.
    @Test func aNodeByTheNameThatPolicyGives() throws {
        let set = try set(.node("db-1", validBefore: Fixture.now + 9000))
        let legacy = try chain("host-17.example")
        #expect(set.entry(for: legacy) == nil)
        #expect(set.entry(for: legacy, node: "db-1")?.reason == "lost")
        #expect(set.entry(for: legacy, node: "db-2") == nil)
        #expect(set.entry(for: try chain("db-1"), node: "other") != nil)
        #expect(set.entry(for: try chain("host-17.example", at: Fixture.now + 10_000), node: "db-1") == nil)
    }

    @Test(arguments: ["0A", "0a", "a", "00:0A", "0x0a", "000a"])
    func serialsAsToolsPrintThem(_ text: String) throws {
        #expect(RevocationEntry.canonicalSerial(text) == "0a")
        let chain = try chain("db-1")
        let serial = "00" + chain[0].serialHex
        let set = RevocationSet([
            RevocationEntry(.certificate(issuer: chain[0].issuer, serial: serial.uppercased()), revoked: 0, reason: "")
        ])
        #expect(set.entry(for: chain) != nil)
    }

    @Test func theSerialNought() {
        #expect(RevocationEntry.canonicalSerial("0") == "00")
        #expect(RevocationEntry.canonicalSerial("") == "")
    }

    /// Of two entries about a node the one that takes away more counts, in whatever order.
    @Test func theLaterTimeCounts() throws {
        let (early, late) = (Fixture.now + 2000, Fixture.now + 9000)
        let chain = try chain("db-1", at: Fixture.now + 5000)
        for times in [[early, late], [late, early]] {
            let set = RevocationSet(
                times.map { RevocationEntry(.node("db-1", validBefore: $0), revoked: 0, reason: "\($0)") })
            #expect(set.entry(for: chain)?.reason == "\(late)")
        }
    }

    @Test func roundTrip() throws {
        let entries = [
            RevocationEntry(.node("db-1", validBefore: 9), revoked: 8, reason: "line\nbreak \"quoted\""),
            RevocationEntry(.key(fixture.alice.publicKey.spkiSHA256), revoked: 1, reason: ""),
            RevocationEntry(.certificate(issuer: "CN=X, O=\"Y\"", serial: "0a"), revoked: 2, reason: "é"),
        ]
        #expect(try RevocationSet(payload: RevocationSet.payload(entries)).entries == entries)
        #expect(entries[0].reason == "linebreak \"quoted\"")
        #expect(
            RevocationEntry(entries[0].target, revoked: 0, reason: String(repeating: "x", count: 900)).reason.count
                == 256)
    }

    @Test(arguments: [
        "[]", "{\"revoked\":{}}", "{\"revoked\":[7]}", "{\"revoked\":[{}]}",
        "{\"revoked\":[{\"node\":\"\",\"validBefore\":1,\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"node\":\"a\",\"validBefore\":-1,\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"node\":\"a\",\"serial\":\"0a\",\"validBefore\":1,\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"spkiSHA256\":\"AAAA\",\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"issuer\":\"CN=X\",\"serial\":\"0A\",\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"issuer\":\"CN=X\",\"serial\":\"\",\"revoked\":1,\"reason\":\"\"}]}",
        "{\"revoked\":[{\"serial\":\"0a\",\"revoked\":1,\"reason\":\"\"}]}",
    ])
    func malformed(_ text: String) {
        #expect(code { _ = try RevocationSet(payload: Array(text.utf8)) } == .badContent, "\(text)")
    }
}
