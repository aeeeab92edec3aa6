import PKI
import Testing

@Suite struct SPIFFEIDTests {
    @Test(arguments: [
        ("spiffe://example.org/node/db-1", "example.org", "/node/db-1", "db-1"),
        ("spiffe://example.org", "example.org", "", nil),
        ("spiffe://a_b-c.9/x/Y.z/_", "a_b-c.9", "/x/Y.z/_", nil),
        ("spiffe://example.org/node/UserService", "example.org", "/node/UserService", "UserService"),
        ("spiffe://example.org/node/a/b", "example.org", "/node/a/b", nil),
        ("spiffe://example.org/nodes/a", "example.org", "/nodes/a", nil),
    ])
    func parses(_ text: String, _ trustDomain: String, _ path: String, _ node: String?) throws {
        let id = try SPIFFEID(parsing: text)
        #expect(id.trustDomain == trustDomain)
        #expect(id.path == path)
        #expect(id.nodeName == node)
        #expect(id.description == text)
    }

    @Test(arguments: [
        "", "spiffe:", "spiffe://", "spiffe:///node/a", "http://example.org/a", "SPIFFE://example.org/a",
        "spiffe://Example.org/a", "spiffe://example.org/", "spiffe://example.org/a/", "spiffe://example.org//a",
        "spiffe://example.org/a//b", "spiffe://example.org/./a", "spiffe://example.org/a/..",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b", "spiffe://example.org/a%20b", "spiffe://example.org:80/a",
        "spiffe://u@example.org/a",
        "spiffe://exämple.org/a", "spiffe://example.org/ä", "spiffe://example.org/a b", "spiffe://example.org/a\0b",
        "spiffe://[::1]/a", " spiffe://example.org/a", "spiffe://example.org/a\n", "spiffe:/example.org/a",
    ])
    func refuses(_ text: String) {
        #expect(reason { try SPIFFEID(parsing: text) } == .badSPIFFEID)
    }

    @Test func limits() throws {
        let longDomain = String(repeating: "a", count: 255)
        #expect(try SPIFFEID(parsing: "spiffe://\(longDomain)/a").trustDomain == longDomain)
        #expect(reason { try SPIFFEID(parsing: "spiffe://\(longDomain)a/a") } == .badSPIFFEID)
        let path = String(repeating: "a", count: 2048 - 11)
        #expect(reason { try SPIFFEID(parsing: "spiffe://a/\(path)") } == nil)
        #expect(reason { try SPIFFEID(parsing: "spiffe://a/\(path)a") } == .badSPIFFEID)
    }

    @Test func nodes() throws {
        #expect(try SPIFFEID.node("ACL", in: "mesh.test").description == "spiffe://mesh.test/node/ACL")
        #expect(reason { try SPIFFEID.node("a/b", in: "mesh.test") } == .badName)
        #expect(reason { try SPIFFEID.node("a", in: "Mesh.test") } == .badSPIFFEID)
        for name in ["a", "UserService", "db-1.internal_2", String(repeating: "x", count: 63)] {
            #expect(NodeName.isValid(name))
        }
        for name in ["", ".", "..", "a b", "ä", "a/b", "a\0", "a\n", String(repeating: "x", count: 64), "*"] {
            #expect(reason { try NodeName.check(name) } == .badName)
        }
    }

    @Test(arguments: [
        ("db.example.org", "db.example.org", true), ("DB.Example.org", "db.example.ORG", true),
        ("db.example.org.", "db.example.org", true), ("*.example.org", "db.example.org", true),
        ("*.example.org", "example.org", false), ("*.example.org", "a.b.example.org", false),
        ("*.example.org", ".example.org", false), ("*.org", "example.org", false), ("*", "localhost", false),
        ("d*.example.org", "db.example.org", false), ("db.*.org", "db.example.org", false),
        ("*.*.org", "a.b.org", false), ("*.example.org", "*.example.org", false), ("", "", false),
        ("example.org", "xample.org", false), ("**.example.org", "a.example.org", false),
    ])
    func hostNames(_ pattern: String, _ host: String, _ matches: Bool) {
        #expect(PeerVerification.matchesHost(pattern, host) == matches)
    }

    @Test func timesAsText() {
        #expect(UTCTime.text(0) == "1970-01-01T00:00:00Z")
        #expect(UTCTime.text(-1) == "1969-12-31T23:59:59Z")
        #expect(UTCTime.text(951_782_400) == "2000-02-29T00:00:00Z")
        #expect(UTCTime.text(4_107_542_399) == "2100-02-28T23:59:59Z")
        #expect(UTCTime.text(4_107_542_400) == "2100-03-01T00:00:00Z")
        #expect(UTCTime.text(253_402_300_799) == "9999-12-31T23:59:59Z")
        #expect(UTCTime.text(-62_135_596_800) == "0001-01-01T00:00:00Z")
        #expect(UTCTime.duration(1) == "1 second")
        #expect(UTCTime.duration(7199) == "119 minutes")
        #expect(UTCTime.duration(-200_000) == "2 days")
    }
}
