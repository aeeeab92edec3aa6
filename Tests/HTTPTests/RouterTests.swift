import HTTP
import Testing

@Suite struct RouterTests {
    private func router() throws -> Router<String> {
        var router = Router<String>()
        try router.add(.get, "/v1/directory/nodes", "list")
        try router.add(.get, "/v1/directory/nodes/{node}", "get")
        try router.add(.put, "/v1/directory/nodes/{node}", "put")
        try router.add(.delete, "/v1/directory/nodes/{node}", "delete")
        try router.add(.get, "/v1/directory/nodes/self", "self")
        try router.add(.post, "/v1/directory/nodes/{node}/renew", "renew")
        try router.add(.get, "/v1/{kind}/nodes/self/{detail}", "detail")
        try router.add(.get, "/files/{path...}", "files")
        try router.add(.get, "/files/index", "index")
        try router.add(.head, "/v1/agent", "agent head")
        try router.add(.get, "/v1/agent", "agent")
        try router.add(.get, "/", "root")
        return router
    }

    private func result(_ method: HTTPMethod, _ path: String) throws -> String {
        switch try router().match(method, path) {
        case .found(let handler, let parameters):
            let names = ["node", "kind", "detail", "path"].compactMap { name in parameters[name].map { "\(name)=\($0)" }
            }
            return ([handler] + names).joined(separator: " ")
        case .notFound: return "404"
        case .methodNotAllowed(let allow): return "405 \(allow.map(\.rawValue).joined(separator: ", "))"
        case .refused(let error): return error.code.rawValue
        }
    }

    @Test(arguments: [
        ("GET", "/v1/directory/nodes", "list"), ("GET", "/v1/directory/nodes/ACL", "get node=ACL"),
        ("GET", "/v1/directory/nodes/a%20b%C3%A4", "get node=a bä"), ("HEAD", "/v1/directory/nodes/x", "get node=x"),
        ("GET", "/v1/directory/nodes/self", "self"), ("PUT", "/v1/directory/nodes/self", "put node=self"),
        ("GET", "/v1/directory/nodes/s%65lf", "self"),
        ("POST", "/v1/directory/nodes/a/renew", "renew node=a"),
        ("GET", "/v1/directory/nodes/self/x", "detail kind=directory detail=x"),
        ("GET", "/v1/other/nodes/self/x", "detail kind=other detail=x"),
        ("GET", "/files/a/b/", "files path=a/b/"), ("GET", "/files/", "files path="), ("GET", "/files/index", "index"),
        ("GET", "/files/index/a", "files path=index/a"), ("GET", "/", "root"),
        ("HEAD", "/v1/agent", "agent head"), ("GET", "/v1/agent", "agent"),
        ("GET", "/v1/directory/nodes/", "404"), ("GET", "/v1/directory/nodes//", "404"), ("GET", "//", "404"),
        ("GET", "/V1/agent", "404"), ("GET", "/files", "404"), ("GET", "/v1/agent/", "404"),
        ("POST", "/v1/agent", "405 GET, HEAD"), ("PATCH", "/v1/directory/nodes/x", "405 DELETE, GET, HEAD, PUT"),
        ("get", "/v1/agent", "405 GET, HEAD"), ("GET", "/v1/directory/nodes/x/renew", "405 POST"),
        ("GET", "/v1/directory/nodes/..", "dot_segment"), ("GET", "/v1/directory/nodes/%2e%2E", "dot_segment"),
        ("GET", "/v1/./agent", "dot_segment"), ("GET", "/v1/..;a=b/agent", "dot_segment"),
        ("GET", "/v1/directory/nodes/a%2Fb", "encoded_slash"), ("GET", "/v1/directory/nodes/a%5cb", "encoded_slash"),
        ("GET", "/v1/directory/nodes/a%00", "forbidden_path_byte"),
        ("GET", "/v1/directory/nodes/%0d%0a", "forbidden_path_byte"),
        ("GET", "/v1/directory/nodes/%7f", "forbidden_path_byte"), ("GET", "/v1/directory/nodes/%FF", "not_utf8"),
        ("GET", "/v1/directory/nodes/%C0%AF", "not_utf8"), ("GET", "/v1/directory/nodes/%4", "bad_percent_encoding"),
        ("GET", "*", "bad_target"), ("GET", "", "bad_target"),
    ])
    func routes(_ method: String, _ path: String, _ expected: String) throws {
        #expect(try result(HTTPMethod(rawValue: method), path) == expected)
    }

    @Test(arguments: [
        "v1", "/a{b}", "/{}", "/{a b}", "/{a}/{a}", "/{a...}/b", "/{a", "/b}", "/v1/agent", "/files/{rest...}",
    ])
    func badPatterns(_ pattern: String) throws {
        var router = try router()
        #expect(throws: RouterError.self) { try router.add(.get, pattern, "x") }
    }

    @Test func keptSlashes() throws {
        #expect(try HTTPPath(decoding: "/a%2Fb/c", encodedSlash: .keep).segments == ["a/b", "c"])
        #expect(throws: HTTPError.self) { try HTTPPath(decoding: "/a%2F..%2Fb", encodedSlash: .keep) }
        #expect(try HTTPPath(decoding: "/...").segments == ["..."])
        #expect(try HTTPPath(decoding: "/").segments == [""])
        #expect(try HTTPPath(decoding: "/a+b").segments == ["a+b"])
    }
}

@Suite struct QueryTests {
    @Test func decodes() throws {
        let query = try HTTPQuery(decoding: "from=a+b&to=%C3%A4%26&flag&from=c&e=")
        #expect(query.values("from") == ["a b", "c"])
        #expect(try query.single("to") == "ä&")
        #expect(try query.single("flag") == "" && query.single("e") == "")
        #expect(try query.single("none") == nil)
        #expect(query.unknown(besides: ["from", "to", "e"]) == "flag")
        #expect(try HTTPQuery(decoding: nil).parameters.isEmpty && HTTPQuery(decoding: "").parameters.isEmpty)
    }

    @Test(arguments: [
        ("a=%", "bad_percent_encoding"), ("a=%2", "bad_percent_encoding"), ("%zz=1", "bad_percent_encoding"),
        ("a=%FF", "not_utf8"), ("a=%00", "bad_query"), ("a=%1B", "bad_query"), ("=b", "bad_query"), ("&", "bad_query"),
        ("a=1&&b=2", "bad_query"), ("a=1&", "bad_query"),
        (Array(repeating: "a=1", count: 257).joined(separator: "&"), "too_many_parameters"),
    ])
    func refuses(_ query: String, _ code: String) {
        let error = #expect(throws: HTTPError.self) { try HTTPQuery(decoding: query) }
        #expect(error?.code.rawValue == code && error?.status == 400)
    }

    @Test func singles() throws {
        let query = try HTTPQuery(decoding: "a=1&a=2&b=3")
        #expect(throws: HTTPError.self) { try query.single("a") }
        #expect(throws: HTTPError.self) { try query.required("c") }
        #expect(try query.required("b") == "3")
    }

    @Test func roundTrip() throws {
        let parameters = [("a b", "c&d=e"), ("ä", "%+/?#"), ("x", "")]
        let query = try HTTPQuery(decoding: HTTPQuery.encode(parameters))
        #expect(query.parameters.elementsEqual(parameters) { $0.name == $1.0 && $0.value == $1.1 })
        #expect(PercentEncoding.encode("a/b ~ä") == "a%2Fb%20~%C3%A4")
        #expect(try HTTPPath(decoding: "/" + PercentEncoding.encode("a b;ä")).segments == ["a b;ä"])
    }
}
