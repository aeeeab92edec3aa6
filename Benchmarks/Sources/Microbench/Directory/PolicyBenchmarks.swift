import Policy

/// Decisions under a policy of 1,000 rules.
enum PolicyBenchmarks {
    static var all: [Benchmark] {
        [
            Benchmark("policy.decide.allow", "connect allowed by an exact rule of 1,000", batch: 20_000) {
                try decide("service-", exactly: true, expected: true)
            },
            Benchmark("policy.decide.pattern", "connect allowed by a pattern among 1,000 rules", batch: 20_000) {
                try decide("shared.tool-", exactly: false, expected: true)
            },
            Benchmark("policy.decide.deny", "connect that none of 1,000 rules allows", batch: 20_000) {
                try decide("nobodys-", exactly: false, expected: false)
            },
            Benchmark("policy.open", "a node opens a stream as one of its services", batch: 10_000) { try open() },
            Benchmark("policy.map", "a certificate's names mapped to a principal", batch: 500) { try map() },
            Benchmark("policy.parse.1000", "a policy of 1,000 rules read", batch: 2) { try parse() },
        ]
    }

    /// The rules: 900 of a client and its service, 90 of groups and patterns, 10 denies.
    static func document(rules count: Int = 1_000) throws -> PolicyDocument {
        try PolicyDocument.parse(text(count), file: "policy.json")
    }

    private static func text(_ count: Int) -> String {
        let identities = (0..<100).map { node in
            let services = stride(from: node, to: count, by: 100).map { "\"client-\($0)\"" }.joined(separator: ",")
            return #"{"match":{"node":"node-\#(node)"},"services":[\#(services)],"groups":["clients"],"#
                + #""permissions":["mesh-node"]}"#
        }
        var rules: [String] = []
        for number in 0..<count {
            switch number % 100 {
            case 98:
                rules.append(
                    #"{"deny":["connect"],"from":["service:client-\#(number)"],"to":["secret-\#(number).**"]}"#)
            case 90...:
                rules.append(#"{"allow":["connect"],"from":["group:clients"],"to":["shared.tool-\#(number)*"]}"#)
            default:
                rules.append(
                    #"{"allow":["connect","discover"],"from":["service:client-\#(number)"],"to":["service-\#(number)"]}"#
                )
            }
        }
        return #"{"identities":["# + identities.joined(separator: ",")
            + #"],"groups":{"clients":["service:client-*"]},"rules":["#
            + rules.joined(separator: ",") + "]}"
    }

    /// The principals of the 100 clients' nodes' services.
    private static func clients(_ policy: PolicyDocument) -> [Principal] {
        (0..<100).compactMap { number in
            policy.identity(
                "client-\(number)", of: policy.principal(for: node(number)))
        }
    }

    /// What the certificate of a client's node says.
    private static func node(_ number: Int) -> Subject {
        .node(commonName: "node-\(number)", spiffe: "spiffe://bench.mesh/node/node-\(number)")
    }

    private static func decide(_ prefix: String, exactly: Bool, expected: Bool) throws -> (Int) throws -> Int {
        let policy = try document()
        let clients = clients(policy)
        require(clients.count == 100, "\(clients.count) of 100 clients have their service")
        // Clients 0 to 89 have a rule of their own.
        let targets = (0..<90).map { exactly ? "\(prefix)\($0)" : "\(prefix)\($0 + 100 * ($0 % 9) + 90 - $0 % 90)" }
        return { count in
            var allowed = 0
            for number in 0..<count where policy.decide(clients[number % 90], .connect, targets[number % 90]).allowed {
                allowed += 1
            }
            require(allowed == (expected ? count : 0), "\(allowed) of \(count) were allowed")
            return allowed
        }
    }

    private static func open() throws -> (Int) throws -> Int {
        let policy = try document()
        let nodes = (0..<90).map { policy.principal(for: node($0)) }
        let names = (0..<90).map { (PrincipalID.service("client-\($0)"), "service-\($0)") }
        return { count in
            var allowed = 0
            for number in 0..<count {
                let (acting, service) = names[number % 90]
                if policy.authorizeOpen(peer: nodes[number % 90], actingAs: acting, service: service).allowed {
                    allowed += 1
                }
            }
            require(allowed == count, "\(allowed) of \(count) were allowed")
            return allowed
        }
    }

    private static func map() throws -> (Int) throws -> Int {
        let policy = try document()
        return { count in
            var services = 0
            for number in 0..<count {
                services += policy.principal(for: node(number % 100)).services.count / 10
            }
            require(services == count, "\(services) services of \(count) nodes")
            return services
        }
    }

    private static func parse() throws -> (Int) throws -> Int {
        let bytes = Array(text(1_000).utf8)
        return { count in
            var read = 0
            for _ in 0..<count where try PolicyDocument.parse(bytes, file: "policy.json").warnings.count >= 0 {
                read += 1
            }
            return read
        }
    }
}
