import Directory
import JSON
import Testing

@Suite struct ModelCodingTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let error: String

        init(_ text: String, _ error: String) {
            self.text = text
            self.error = error
        }

        var testDescription: String { text }
    }

    private static func body(_ members: String) -> String {
        "{\"node\":\"A\",\"bootId\":\"\(Make.boot("a"))\",\"addresses\":[\"h:1\"]\(members.isEmpty ? "" : ",")\(members)}"
    }

    private static func service(_ members: String) -> String {
        body("\"services\":[{\"service\":\"web\",\(members)}]")
    }

    @Test func registrationHasTheForm() throws {
        let registration = Registration(
            node: "ACL", bootID: Make.boot("a"), addresses: ["127.0.1.3:7400"], metadata: ["zone": "1", "a": "b"],
            services: [
                Instance(service: "db", node: "", tags: ["main"], weight: 7, metadata: ["k": "v"], health: .passing)
            ])
        let text = """
            {"node":"ACL","bootId":"\(Make.boot("a"))","addresses":["127.0.1.3:7400"],"metadata":{"a":"b","zone":"1"},\
            "services":[{"service":"db","protocol":"tcp","tags":["main"],"weight":7,"metadata":{"k":"v"},\
            "health":"passing"}]}
            """
        #expect(registration.json.text() == text)
        let read = try Registration(json: try JSONReader.parse(text))
        #expect(read == registration)
        #expect(read.services[0].node == "ACL")
        #expect(read.hash == registration.hash)
    }

    @Test func instanceAndNodeHaveTheForm() throws {
        let instance = Instance(service: "db", node: "ACL")
        #expect(
            instance.json.text() == """
                {"service":"db","node":"ACL","instance":"ACL/db","protocol":"tcp","tags":[],"weight":100,\
                "metadata":{},"health":"unknown"}
                """)
        #expect(try Instance(json: instance.json) == instance)
        let node = Node(name: "ACL", addresses: ["127.0.1.3:7400"], bootID: Make.boot("0"), state: .lost, since: 5)
        #expect(
            node.json.text() == """
                {"node":"ACL","addresses":["127.0.1.3:7400"],"bootId":"\(Make.boot("0"))","metadata":{},\
                "state":"lost","since":5}
                """)
        #expect(try Node(json: node.json) == node)
    }

    @Test func defaultsAreFilledIn() throws {
        let read = try Registration(json: try JSONReader.parse(Self.body("\"services\":[{\"service\":\"web\"}]")))
        #expect(read.services == [Instance(service: "web", node: "A")])
        #expect(try Registration(json: try JSONReader.parse(Self.body(""))).services.isEmpty)
    }

    @Test func eventsAndSnapshotsAreReadBack() throws {
        let node = Node(name: "A", addresses: [], bootID: Make.boot("1"), since: 1)
        let events: [DirectoryEvent] = [
            .node(node), .nodeRemoved("A"), .instance(Instance(service: "x.y", node: "A")),
            .instanceRemoved(service: "x", node: "A"),
        ]
        for event in events { #expect(try DirectoryEvent(json: event.json) == event) }
        let snapshot = DirectorySnapshot(
            epoch: "e", revision: 9, nodes: [node], instances: [Instance(service: "x", node: "A")])
        #expect(try DirectorySnapshot(json: snapshot.json) == snapshot)
        let filtered = try DirectorySnapshot(json: snapshot.json { _ in false })
        #expect(filtered.serviceCount == 0)
        #expect(filtered.nodeCount == 1)
        for text in ["{\"type\":\"x\"}", "{\"type\":\"node_removed\",\"node\":\"a b\"}", "{\"type\":\"node\"}", "{}"] {
            #expect(throws: JSONAccessError.self) { try DirectoryEvent(json: try JSONReader.parse(text)) }
        }
    }

    @Test(arguments: addresses) func addressesAreChecked(_ address: String, _ isGood: Bool) throws {
        var registration = Make.registration("A")
        registration.addresses = [address]
        let json = registration.json
        #expect((try? Registration(json: json)) == (isGood ? registration : nil))
    }

    static let addresses: [(String, Bool)] = [
        ("127.0.0.1:80", true), ("db.example:65535", true), ("[::1]:7400", true), ("[fe80::1]:1", true),
        ("", false), ("h", false), ("h:", false), (":80", false), ("h:0", false), ("h:65536", false), ("h:080", false),
        ("h:+80", false), ("::1:80", false), ("[]:80", false), ("[::1:80", false), ("[x]:80", false), ("a b:80", false),
        ("h\n:80", false), ("unix:/x:80", false), ("h:80 ", false),
    ]

    @Test(arguments: errors) func refusesWithAPath(_ row: Case) throws {
        let json = try JSONReader.parse(row.text)
        let error = #expect(throws: JSONAccessError.self) { try Registration(json: json) }
        #expect(error?.description.hasPrefix(row.error) == true, "\(error.map(String.init(describing:)) ?? "")")
    }

    static let errors: [Case] = [
        Case("[]", "expected an object"),
        Case("{}", "node: is missing"),
        Case("{\"node\":\"A\"}", "bootId: is missing"),
        Case("{\"node\":\"A b\"}", "node: expected a name of"),
        Case("{\"node\":1}", "node: expected a string"),
        Case(body("\"x\":1"), "x: is not known here"),
        Case(body("").replacing(Make.boot("a"), with: "abc"), "bootId: expected 32"),
        Case(body("").replacing(Make.boot("a"), with: Make.boot("A")), "bootId: expected 32"),
        Case(body("").replacing("h:1", with: "h"), "addresses[0]: expected HOST:PORT"),
        Case(body("\"metadata\":{\"a\":1}"), "metadata.a: expected a string"),
        Case(body("\"metadata\":{\"\":\"x\"}"), "metadata"),
        Case(body("\"services\":{}"), "services: expected an array"),
        Case(body("\"services\":[{}]"), "services[0].service: is missing"),
        Case(body("\"services\":[{\"service\":\"a\"},{\"service\":\"a\"}]"), "services: a service appears twice"),
        Case(service("\"weight\":-1"), "services[0].weight: expected an integer from 0"),
        Case(service("\"weight\":1.5"), "services[0].weight: expected an integer"),
        Case(service("\"weight\":65536"), "services[0].weight"),
        Case(service("\"health\":\"fine\""), "services[0].health: expected one of passing, critical, unknown"),
        Case(service("\"protocol\":\"TCP\""), "services[0].protocol: expected a protocol"),
        Case(service("\"protocol\":\"\""), "services[0].protocol: expected a protocol"),
        Case(service("\"tags\":[\"a\",\"a\"]"), "services[0].tags: a tag appears twice"),
        Case(service("\"tags\":[\"\"]"), "services[0].tags[0]: expected 1 to"),
        Case(service("\"tags\":[\"a\\n\"]"), "services[0].tags[0]: expected 1 to"),
        Case(service("\"node\":\"B\""), "services[0].node: is not known here"),
        Case(service("\"target\":\"x\""), "services[0].target: is not known here"),
    ]

    @Test func sizesAreLimited() throws {
        func refused(_ members: String) -> Bool {
            (try? Registration(json: try JSONReader.parse(Self.body(members)))) == nil
        }
        func list(_ count: Int, _ item: (Int) -> String) -> String {
            (0..<count).map(item).joined(separator: ",")
        }
        for (count, expected) in [(ModelLimits.services, false), (ModelLimits.services + 1, true)] {
            #expect(refused("\"services\":[\(list(count) { "{\"service\":\"s\($0)\"}" })]") == expected)
        }
        for (count, expected) in [(ModelLimits.metadata, false), (ModelLimits.metadata + 1, true)] {
            #expect(refused("\"metadata\":{\(list(count) { "\"k\($0)\":\"v\"" })}") == expected)
        }
        for (count, expected) in [(ModelLimits.tags, false), (ModelLimits.tags + 1, true)] {
            #expect(
                refused("\"services\":[{\"service\":\"s\",\"tags\":[\(list(count) { "\"t\($0)\"" })]}]") == expected)
        }
        for (count, expected) in [
            (ModelLimits.metadataValueLength, false), (ModelLimits.metadataValueLength + 1, true),
        ] {
            #expect(refused("\"metadata\":{\"k\":\"\(String(repeating: "v", count: count))\"}") == expected)
        }
    }
}
