import Gateway
import HTTP
import SeededRandom
import Testing

@Suite struct RouteTableTests {
    private static func pattern(_ host: String, _ path: String, _ rewrite: PathRewrite = .keep) -> RoutePattern {
        RoutePattern(host: HostPattern(parsing: host) ?? .any, path: path, rewrite: rewrite)
    }

    static let patterns = [
        pattern("*", "/"), pattern("*", "/api"), pattern("*", "/api/admin"), pattern("*", "/strip", .strip),
        pattern("*", "/replace", .replace("/v2/x")), pattern("*", "/root", .replace("/")),
        pattern("shop.example.org", "/"), pattern("*.example.org", "/files"), pattern("[::1]", "/"),
        pattern("*", "/caf%C3%A9"), pattern("*", "/K"),
    ]

    @Test(arguments: [
        ("h", "/", 0, "/"), ("h", "/x", 0, "/x"), ("h", "/api", 1, "/api"), ("h", "/api/", 1, "/api/"),
        ("h", "/api/x/y", 1, "/api/x/y"), ("h", "/apis", 0, "/apis"), ("h", "/api/admin/x", 2, "/api/admin/x"),
        ("h", "/api/administrator", 1, "/api/administrator"), ("h", "/strip", 3, "/"), ("h", "/strip/", 3, "/"),
        ("h", "/strip/a/b", 3, "/a/b"), ("h", "/strip/a/", 3, "/a/"), ("h", "/replace", 4, "/v2/x"),
        ("h", "/replace/", 4, "/v2/x/"), ("h", "/replace/a", 4, "/v2/x/a"), ("h", "/root", 5, "/"),
        ("h", "/root/a", 5, "/a"),
        ("shop.example.org", "/api/admin", 6, "/api/admin"), ("SHOP.Example.org.", "/", 6, "/"),
        ("shop.example.org:8443", "/", 6, "/"), ("a.example.org", "/files/1", 7, "/files/1"),
        ("[0:0::1]", "/", 8, "/"), ("example.org", "/x", 0, "/x"), ("a.b.example.org", "/x", 0, "/x"),
        // What needs no escape loses it, and matches as what it is.
        ("h", "/%61pi/x", 1, "/api/x"), ("h", "/api/%61dmin", 2, "/api/admin"), ("h", "/a%20b", 0, "/a%20b"),
        ("h", "/x%3ay", 0, "/x%3Ay"), ("h", "/caf%c3%a9/1", 9, "/caf%C3%A9/1"), ("h", "/100%25", 0, "/100%25"),
        ("h", "/x;y=1", 0, "/x;y=1"), ("h", "/x;.", 0, "/x;."), ("h", "/...", 0, "/..."),
        ("h", "/.well-known/x", 0, "/.well-known/x"),
        // The Kelvin sign is canonically equivalent to K, and another path nevertheless.
        ("h", "/%E2%84%AA", 0, "/%E2%84%AA"), ("h", "/cafe%CC%81", 0, "/cafe%CC%81"),
    ])
    func matches(_ host: String, _ path: String, _ route: Int, _ forwarded: String) throws {
        let table = try RouteTable(Self.patterns)
        let match = try table.match(request(.get, path, host: host), host: try HTTPAuthority(parsing: host))
        #expect(match.route == route)
        #expect(match.forwardedPath == forwarded)
    }

    @Test(arguments: [
        ("/../api/admin", "dot_segment"), ("/x/../api", "dot_segment"), ("/./api", "dot_segment"),
        ("/api/..", "dot_segment"),
        ("/%2e%2e/api", "dot_segment"), ("/.%2E/api", "dot_segment"), ("/..;x=1/api", "dot_segment"),
        ("/x/..%3B/api", "dot_segment"), ("//api", "empty_segment"), ("/api//admin", "empty_segment"),
        ("/x//", "empty_segment"),
        ("/api%2fadmin", "encoded_slash"), ("/api%5Cadmin", "encoded_slash"), ("/x%00", "forbidden_path_byte"),
        ("/x%0d%0aX:1", "forbidden_path_byte"), ("/%7f", "forbidden_path_byte"), ("/api/%2561dmin", "double_encoding"),
        ("/%252e%252e/api", "double_encoding"), ("/api%252fadmin", "double_encoding"),
        ("/api/%25%36%31dmin", "double_encoding"),
        ("/%C0%AE%C0%AE/api", "not_utf8"),
        ("/%ff", "not_utf8"), ("/API/x", "ambiguous_path"), ("/api/Admin", "ambiguous_path"),
        ("/api;x=1/admin", "ambiguous_path"), ("/api/admin;x", "ambiguous_path"), ("/api/admin.", "ambiguous_path"),
        ("/api/admin%20", "ambiguous_path"), ("/;x/api", "ambiguous_path"), ("/api/;a/admin", "ambiguous_path"),
        ("/api/admin%3Bx", "ambiguous_path"), ("/k", "ambiguous_path"),
    ])
    func refuses(_ path: String, _ reason: String) throws {
        let table = try RouteTable(Self.patterns)
        #expect(refusal { _ = try table.match(request(.get, path), host: try HTTPAuthority(parsing: "h")) } == reason)
    }

    @Test func theMostSpecificHostAloneDecides() throws {
        let table = try RouteTable(Self.patterns)
        let host = try HTTPAuthority(parsing: "a.example.org")
        #expect(refusal { _ = try table.match(request(.get, "/api"), host: host) } == "no_route")
        let strict = try RouteTable([Self.pattern("a.example", "/x")])
        for host in ["a.example", "b.example"] {
            let authority = try HTTPAuthority(parsing: host)
            #expect(refusal { _ = try strict.match(request(.get, "/"), host: authority) } == "no_route")
        }
        #expect(refusal { _ = try strict.match(request(.get, "/x"), host: nil) } == "no_route")
    }

    @Test func targetsThatAreNoPaths() throws {
        let table = try RouteTable(Self.patterns)
        #expect(refusal { _ = try table.match(request(.options, "*"), host: nil) } == "bad_target")
        #expect(refusal { _ = try table.match(request(.trace, "/"), host: nil) } == "method_not_allowed")
        let connect = request(.connect, "edge.example.org:443", host: "edge.example.org:443")
        #expect(refusal { _ = try table.match(connect, host: nil) } == "method_not_allowed")
        let absolute = request(.get, "http://edge.example.org/api?x=/../", host: "edge.example.org")
        let match = try table.match(absolute, host: nil)
        #expect(match.route == 1)
        #expect(match.forwardedTarget == .origin(path: "/api", query: "x=/../"))
    }

    @Test(arguments: [
        ([pattern("*", "api")], "bad_route_path"), ([pattern("*", "")], "bad_route_path"),
        ([pattern("*", "/a//b")], "bad_route_path"), ([pattern("*", "/a/../b")], "bad_route_path"),
        ([pattern("*", "/a?b")], "bad_route_path"), ([pattern("*", "/%61")], "bad_route_path"),
        ([pattern("*", "/a/...")], "bad_route_path"),
        ([pattern("*", "/a%2Fb")], "bad_route_path"), ([pattern("*", "/a b")], "bad_route_path"),
        ([pattern("*", "/a;b")], "bad_route_path"), ([pattern("*", "/a", .replace("v2"))], "bad_route_rewrite"),
        ([pattern("*", "/a", .replace("/v2//x"))], "bad_route_rewrite"),
        ([pattern("*", "/a"), pattern("*", "/a")], "duplicate_route"),
        ([pattern("*", "/a"), pattern("*", "/a/")], "duplicate_route"),
        ([pattern("*", "/a"), pattern("*", "/A")], "duplicate_route"),
        ([pattern("a.example", "/"), pattern("A.example.", "/")], "duplicate_route"),
        ([pattern("*.a.example", "/"), pattern("*.A.example", "/")], "duplicate_route"),
    ])
    func refusesTables(_ patterns: [RoutePattern], _ reason: String) {
        let error = #expect(throws: RouteTableError.self) { try RouteTable(patterns) }
        #expect(error?.reason == reason)
        #expect(error?.route == patterns.count - 1)
        #expect(error?.description.isEmpty == false)
    }

    @Test(arguments: [
        "", "a b", "*.", "*.org", "*.10.0.0.1", "a:80", "http://a", "**", "*a.example.org", "a/b", "a..b",
    ])
    func refusesHostPatterns(_ text: String) { #expect(HostPattern(parsing: text) == nil) }

    /// What is forwarded matches again as itself, and to the same route where nothing is rewritten.
    @Test func forwardedPathsAreStable() throws {
        let table = try RouteTable(Self.patterns)
        var random = SeededRandom(11)
        let pieces = [
            "/", "api", "admin", "strip", "%61", "%2e", ".", "..", ";", "%25", "61", "%2F", "x", "%C3%A9", "%e2%84%aa",
            "K", "\\", "%5c", "//", "~", "%7E", "%20",
        ]
        var accepted = 0
        for _ in 0..<5000 {
            let path =
                "/"
                + (0..<Int.random(in: 0...8, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
                .joined()
            guard let head = try? HTTPRequestHead(.get, path, host: "h"), let match = try? table.match(head, host: nil)
            else { continue }
            accepted += 1
            let again = try table.match(request(.get, match.path), host: nil)
            #expect(again == match)
            let forwarded = try RequestPath(parsing: match.forwardedPath)
            #expect(forwarded.text == match.forwardedPath)
            #expect(
                forwarded.segments.allSatisfy { !["..", "."].contains($0) && !$0.contains("/") && !$0.contains("\\") })
        }
        #expect(accepted > 500)
    }

    @Test func hostLists() throws {
        let list = HostList(
            ["edge.example.org", "*.apps.example.org", "2001:db8::1"].compactMap { HostPattern(parsing: $0) })
        func admits(_ host: String) throws -> Bool { list.admits(try HTTPAuthority(parsing: host)) }
        for host in ["edge.example.org", "EDGE.example.org.:443", "a.apps.example.org", "[2001:db8:0::1]:80"] {
            #expect(try admits(host))
        }
        for host in ["example.org", "apps.example.org", "a.b.apps.example.org", "evil.com", "127.0.0.1", "[::1]"] {
            #expect(try !admits(host))
        }
        #expect(!list.admits(nil) && HostList.all.admits(nil))
        #expect(refusal { try list.check(nil) } == "host_not_allowed")
    }

    /// What a foreign page's name could never lead to a listener on loopback by, and nothing else.
    @Test func hostsOfAPlainListenerOnLoopback() throws {
        let list = HostList.loopback(and: [.exact("app.example.org"), .any])
        func admits(_ host: String) throws -> Bool { list.admits(try HTTPAuthority(parsing: host)) }
        for host in [
            "localhost:9000", "LOCALHOST", "a.localhost", "127.0.0.1:9000", "[::1]", "192.0.2.7", "app.example.org",
        ] {
            #expect(try admits(host), "\(host)")
        }
        for host in [
            "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost", "b.app.example.org",
        ] {
            #expect(try !admits(host), "\(host)")
        }
        #expect(list.admits(nil))
        #expect(!HostList.named(by: [.any]).admits(try HTTPAuthority(parsing: "127.0.0.1")))
    }
}
