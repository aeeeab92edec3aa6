import Directory
import JSON
import Testing

@Suite struct DirectoryOperationTests {
    private func read(_ request: String, _ body: String = "") -> String {
        let parts = request.split(separator: " ").map(String.init)
        let target = parts[1].split(separator: "?", maxSplits: 1).map(String.init)
        let path = target[0].split(separator: "/").map(String.init)
        var query: [String: String] = [:]
        for pair in target.dropFirst().flatMap({ $0.split(separator: "&") }) {
            let halves = pair.split(separator: "=", maxSplits: 1).map(String.init)
            query[halves[0]] = halves.count > 1 ? halves[1] : ""
        }
        do throws(DirectoryProblem) {
            let operation = try DirectoryOperation(
                method: parts[0], path: path, query: { query[$0] }, body: Array(body.utf8))
            return "\(operation)"
        } catch {
            return "\(error.status) \(error.reason): \(error.detail)"
        }
    }

    @Test func requestsAreUnderstood() {
        let boot = Make.boot("a")
        #expect(read("GET services") == "services")
        #expect(read("GET services/db") == "service(\"db\")")
        #expect(read("GET nodes") == "nodes")
        #expect(read("GET nodes/ACL") == "node(\"ACL\")")
        #expect(read("GET snapshot") == "snapshot")
        #expect(read("GET watch?from=17") == "watch(from: 17, epoch: nil)")
        #expect(read("GET watch?from=0&epoch=ab") == "watch(from: 0, epoch: Optional(\"ab\"))")
        #expect(read("DELETE nodes/ACL") == "deregister(node: \"ACL\", bootID: nil)")
        #expect(read("DELETE nodes/ACL?bootId=\(boot)") == "deregister(node: \"ACL\", bootID: Optional(\"\(boot)\"))")
        #expect(
            read("POST nodes/ACL/renew", "{\"bootId\":\"\(boot)\",\"hash\":\"x\"}")
                == "renew(node: \"ACL\", bootID: \"\(boot)\", hash: \"x\")")
        let health = "{\"bootId\":\"\(boot)\",\"hash\":\"x\",\"health\":{\"db\":\"critical\"}}"
        #expect(read("POST nodes/ACL/health", health).hasPrefix("setHealth(node: \"ACL\""))
        let registration = Make.registration("ACL", "db")
        #expect(read("PUT nodes/ACL", registration.json.text()) == "\(DirectoryOperation.register(registration))")
    }

    @Test(arguments: [
        ("GET x", "", "404 unknown_path"), ("GET services/a/b", "", "404 unknown_path"),
        ("POST nodes/A/x", "", "404 unknown_path"),
        ("GET nodes/A/renew", "", "405 method_not_allowed: this path has POST"),
        ("POST services", "", "405 method_not_allowed: this path has GET, not POST"),
        ("PATCH nodes/A", "", "405 method_not_allowed: this path has GET, PUT, DELETE"),
        ("PUT snapshot", "", "405 method_not_allowed"), ("get services", "", "405 method_not_allowed"),
        ("GET watch", "", "400 invalid_request: `from`"), ("GET watch?from=x", "", "400 invalid_request: `from`"),
        ("GET watch?from=-1", "", "400 invalid_request: `from`"),
        ("DELETE nodes/A?bootId=x", "", "400 invalid_request"),
        ("PUT nodes/A", "", "400 invalid_request: the body is no JSON"),
        ("PUT nodes/A", "{}", "400 invalid_request: node: is missing"),
        ("PUT nodes/A", Make.registration("B").json.text(), "400 invalid_request: the path names node A, the body B"),
        ("POST nodes/A/renew", "{\"bootId\":1,\"hash\":\"\"}", "400 invalid_request: bootId: expected a string"),
        ("POST nodes/A/renew", "{\"bootId\":\"\(Make.boot("a"))\"}", "400 invalid_request: hash: is missing"),
        ("POST nodes/A/renew", "{\"bootId\":\"\(Make.boot("a"))\",\"hash\":\"\",\"x\":1}", "400 invalid_request: x:"),
        (
            "POST nodes/A/health", "{\"bootId\":\"\(Make.boot("a"))\",\"hash\":\"\",\"health\":{\"db\":\"fine\"}}",
            "400 invalid_request: health.db: expected one of"
        ),
    ])
    func mistakesAreNamed(_ request: String, _ body: String, _ expected: String) {
        let answer = read(request, body)
        #expect(answer.hasPrefix(expected), "\(answer)")
    }

    @Test func problemsAreDocuments() throws {
        let problem = #expect(throws: DirectoryProblem.self) {
            try DirectoryOperation(method: "GET", path: ["watch"])
        }
        #expect(
            problem?.json.text() == """
                {"type":"about:blank","title":"The request can't be understood","status":400,\
                "detail":"`from` must be the revision of a snapshot: watch?from=17","reason":"invalid_request"}
                """)
    }
}
