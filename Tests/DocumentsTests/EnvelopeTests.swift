import Documents
import JSON
import PKI
import Testing

@Suite struct EnvelopeTests {
    private let fixture = Fixture.shared

    @Test func comesBackAsItWas() throws {
        let document = try fixture.document(.policy, 12, Fixture.policy)
        let read = try SignedDocument(envelope: document.envelope)
        #expect(read == document)
        #expect(read.stamp == document.stamp)
        #expect(read.isSigned(by: fixture.alice.publicKey))
        #expect(!read.isSigned(by: fixture.bob.publicKey))
    }

    /// What is signed: a fixed layout, so that other programs can make it.
    @Test func signedBytes() throws {
        let document = try fixture.document(.policy, 258, "ab")
        var wanted = Array("conduit-mesh document v1\0".utf8)
        for text in ["policy", "docs.test", fixture.alice.publicKey.spkiSHA256] {
            wanted += [0, UInt8(text.utf8.count)] + Array(text.utf8)
        }
        wanted += [0, 0, 0, 0, 0, 0, 1, 2]
        wanted += (0..<8).map { UInt8(truncatingIfNeeded: Fixture.now >> Int64(56 - 8 * $0)) }
        wanted += [0, 0, 0, 0, 0, 0, 0, 2, 0x61, 0x62]
        #expect(document.signedBytes == wanted)
    }

    @Test(
        arguments: [
            ("format", .integer(2)), ("format", .null), ("kind", "gossip"), ("kind", 1),
            ("trustDomain", "Not A Domain"),
            ("trustDomain", ""), ("version", 0), ("version", -1), ("version", .integer(1 << 53)), ("version", "1"),
            ("version", .number(1.5)), ("issued", -1), ("signer", "AAAA"), ("signer", "no base64!"),
            ("payload", "not+url/safe=="), ("payload", .null), ("signature", "%"), ("signature", 7), ("extra", 1),
        ] as [(String, JSONValue)])
    func malformed(_ member: String, _ value: JSONValue) throws {
        var object = try #require(try fixture.document(.policy, 1, Fixture.policy).json.object)
        object[member] = value
        #expect(
            code { _ = try SignedDocument(envelope: JSONValue.object(object).serialized()) } == .malformed,
            "\(member): \(value)")
    }

    @Test(arguments: ["", "null", "[]", "{}", "{\"format\":1}", "{\"format\":1,\"format\":1}", "\u{FEFF}{}"])
    func notAnEnvelope(_ text: String) {
        #expect(code { _ = try SignedDocument(envelope: Array(text.utf8)) } == .malformed)
    }

    @Test func tooLarge() throws {
        let bytes = [UInt8](repeating: 0x20, count: SignedDocument.largestEnvelope + 1)
        #expect(code { _ = try SignedDocument(envelope: bytes) } == .tooLarge)
        let payload = [UInt8](repeating: 0x20, count: SignedDocument.largestPayload + 1)
        let document = try SignedDocument(
            .policy, trustDomain: Fixture.domain, version: 1, issued: 0, payload: payload, signedBy: fixture.alice)
        #expect(code { _ = try SignedDocument(envelope: document.envelope) } == .malformed)
    }

    // MARK: - Versions

    @Test func versionsInHello() throws {
        let versions = DocumentVersions([
            .policy: DocumentStamp(version: 7, digest: 0x0102_0304_0506_0708),
            .operators: DocumentStamp(version: 1, digest: .max),
        ])
        let bytes = versions.encoded
        #expect(bytes.count == 34)
        #expect(DocumentVersions(encoded: bytes) == versions)
        #expect(DocumentVersions(encoded: []) == DocumentVersions())
        #expect(DocumentVersions(encoded: Array(bytes.dropLast())) == nil)
        #expect(DocumentVersions(encoded: bytes + bytes) == nil, "a kind twice")
        #expect(DocumentVersions(encoded: [UInt8](repeating: 0, count: 17)) == nil, "version 0")
        var unknown = bytes
        unknown[0] = 200
        #expect(DocumentVersions(encoded: unknown)?.stamps.count == 1, "a kind of a later version is left out")
        #expect(try DocumentVersions(json: versions.json) == versions)
    }

    @Test func whichIsNewer() {
        func stamp(_ version: UInt64, _ digest: UInt64 = 0) -> DocumentStamp {
            DocumentStamp(version: version, digest: digest)
        }
        let one = DocumentVersions([.policy: stamp(2), .revocations: stamp(1), .operators: stamp(1)])
        let other = DocumentVersions([.policy: stamp(1, .max), .revocations: stamp(1, 5)])
        #expect(one.newer(than: other) == [.operators, .policy])
        #expect(other.newer(than: one) == [.revocations])
        #expect(!one.covers(other) && !other.covers(one))
        #expect(one.covers(one) && one.covers(DocumentVersions()))
    }

    // MARK: - Operators

    @Test func operatorLists() throws {
        let list = fixture.list([("alice", fixture.alice), ("bob", fixture.bob)])
        #expect(try OperatorList(payload: list.payload) == list)
        let rsa = try PrivateKey.generate(.p256)
        for bad in [
            fixture.list([]), fixture.list([("a", fixture.alice), ("a", fixture.bob)]),
            fixture.list([("a", fixture.alice), ("b", fixture.alice)]), fixture.list([("p256", rsa)]),
            fixture.list([("with space", fixture.alice)]), fixture.list([("", fixture.alice)]),
        ] {
            #expect(code { _ = try OperatorList(payload: bad.payload) } == .badContent)
        }
    }
}
