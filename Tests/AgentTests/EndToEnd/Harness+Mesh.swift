import Foundation
import JSON
import PKI

/// A mesh of real agents for one test, in a directory and on loopback addresses of its own.
final class TestMesh {
    let directory: String
    let network: String
    let authority: CertificateAuthority
    /// The policy that new nodes get.
    var policy = TestPolicy()
    private(set) var nodes: [TestNode] = []
    private var atEnd: [() -> Void] = []

    static let trustDomain = "e2e.test"

    /// The directory of the programs under test.
    static let binaries: String = {
        if let given = ProcessInfo.processInfo.environment["MESH_BIN"] { return given }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "."
        let beside = (own as NSString).deletingLastPathComponent
        if FileManager.default.isExecutableFile(atPath: beside + "/mesh-agent") { return beside }
        return ((CommandLine.arguments.first ?? ".") as NSString).deletingLastPathComponent
    }()

    /// This process's part of 127.0.0.0/8, held by a listener so that two test runs never share one.
    private static let networkClaim: (second: Int, claim: ListeningSocket) = {
        for offset in 0..<200 {
            let second = 16 + (Int(getpid()) + offset) % 200
            if let claim = try? ListeningSocket(host: "127.\(second).255.254", port: 1999) { return (second, claim) }
        }
        fatalError("no free part of 127.0.0.0/8 for the end-to-end tests")
    }()
    private nonisolated(unsafe) static var meshes = 0

    init(_ name: String) throws {
        Self.meshes += 1
        // Used again when they are used up: meshes follow each other.
        network = "127.\(Self.networkClaim.second).\((Self.meshes - 1) % 250 + 1)"
        directory = NSTemporaryDirectory() + "/mesh-e2e-\(getpid())-\(Self.meshes)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        chmod(directory, 0o755)
        authority = try CertificateAuthority.createRoot(
            name: "E2E root", trustDomain: Self.trustDomain, now: Int64(time(nil)))
        try authority.root.pem.write(toFile: directory + "/ca.crt", atomically: true, encoding: .utf8)
        guard FileManager.default.isExecutableFile(atPath: Self.binaries + "/mesh-agent") else {
            throw Failure("there is no mesh-agent in \(Self.binaries): build it, or set MESH_BIN")
        }
    }

    /// Makes a node. The first one that serves the directory is where the others find it.
    @discardableResult
    func node(
        _ name: String, directory serves: Bool = false, certificate: String? = nil, host: String? = nil,
        _ configure: (TestNode) throws -> Void = { _ in }
    ) throws -> TestNode {
        let node = try TestNode(
            name, mesh: self, host: host ?? "\(network).\(nodes.count + 1)", servesDirectory: serves, policy: policy)
        try node.issue(IssueRequest(node: certificate ?? name))
        nodes.append(node)
        try configure(node)
        return node
    }

    var directoryNode: TestNode? { nodes.first { $0.servesDirectory } }

    /// An echo service on an address of this test.
    func echo(greeting: String = "", port: Int = 0) throws -> EchoService {
        let service = EchoService(try ListeningSocket(host: "\(network).250", port: port), greeting: greeting)
        atEnd.append { service.stop() }
        return service
    }

    /// A service with a thread for each connection.
    func service(receiveBuffer: Int32? = nil, _ serve: @escaping @Sendable (Wire) throws -> Void) throws
        -> ThreadedService
    {
        let service = ThreadedService(
            try ListeningSocket(host: "\(network).250", receiveBuffer: receiveBuffer), serve)
        atEnd.append { service.stop() }
        return service
    }

    func whenEnded(_ body: @escaping () -> Void) { atEnd.append(body) }

    /// Starts all nodes and waits until they are ready.
    func start() throws {
        for node in nodes { try node.start() }
        for node in nodes { try node.waitReady() }
    }

    /// Agents that ended without being told to are a failure of every test.
    func verifyAlive() throws {
        for node in nodes {
            guard let process = node.process, let status = process.exitStatus, !node.mayEnd else { continue }
            throw Failure("the agent of \(node.name) ended with status \(status)")
        }
    }

    func end() {
        for node in nodes { node.process?.kill() }
        for body in atEnd.reversed() { body() }
        if ProcessInfo.processInfo.environment["MESH_E2E_KEEP"] == nil {
            try? FileManager.default.removeItem(atPath: directory)
        }
    }

    func printLogs() {
        for node in nodes {
            print("---- \(node.name) (pid \(node.process?.pid ?? 0), \(node.directory))")
            for line in (node.process?.output ?? "").split(separator: "\n").suffix(25) { print(line) }
        }
    }
}

/// Runs `body` with a mesh; ends what it started, and prints the agents' last words when something is wrong.
func withMesh(_ name: String = #function, _ body: (TestMesh) throws -> Void) throws {
    let mesh = try TestMesh(name)
    defer { mesh.end() }
    do {
        try body(mesh)
        try mesh.verifyAlive()
    } catch {
        print("==== \(name): \(error)")
        mesh.printLogs()
        throw error
    }
}

/// One agent: its files, its configuration and its process.
final class TestNode {
    let name: String
    let host: String
    let directory: String
    let servesDirectory: Bool
    unowned let mesh: TestMesh
    /// The configuration, by dotted key.
    var settings: [(key: String, value: JSONValue)] = []
    var services: [JSONValue] = []
    var upstreams: [JSONValue] = []
    var peers: [JSONValue] = []
    var environment: [String: String] = [:]
    /// Put before the command: another user, another network namespace.
    var prefix: [String] = []
    var policy: TestPolicy
    /// The agent may have ended, the test saw to it.
    var mayEnd = false
    private(set) var process: Child?
    private var starts = 0

    init(_ name: String, mesh: TestMesh, host: String, servesDirectory: Bool, policy: TestPolicy) throws {
        self.name = name
        self.mesh = mesh
        self.host = host
        self.servesDirectory = servesDirectory
        self.policy = policy
        directory = mesh.directory + "/" + name
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    var meshAddress: String { "\(host):7400" }
    var controlPath: String { directory + "/control/sock" }
    var control: HTTPEnd { HTTPEnd(address: "unix:" + controlPath) }
    var metrics: HTTPEnd { HTTPEnd(address: "\(host):7480") }

    func issue(_ request: IssueRequest, now: Int64 = Int64(time(nil))) throws {
        try mesh.authority.issueCredentials(request, now: now)
            .write(certificateFile: directory + "/node.crt", keyFile: directory + "/node.key")
    }

    func set(_ key: String, _ value: JSONValue) {
        settings.removeAll { $0.key == key }
        settings.append((key, value))
    }

    /// Adds to a list of the configuration.
    func append(_ value: JSONValue, to key: String) {
        set(key, .array((settings.last { $0.key == key }?.value.array ?? []) + [value]))
    }

    /// Offers a service; `check` none unless an interval is given.
    func offer(_ name: String, _ target: String, checkEvery interval: String? = nil, weight: Int = 100) {
        let check: JSONValue =
            interval.map { ["kind": "tcp", "interval": .string($0), "timeout": .string($0), "failures": 2] }
            ?? ["kind": "none"]
        services.removeAll { $0["name"]?.string == name }
        services.append(
            ["name": .string(name), "target": .string(target), "check": check, "weight": JSONValue(weight)])
    }

    /// Listens for a service; gives the address.
    @discardableResult
    func upstream(_ service: String, as identity: String? = nil, port: Int, more: JSONObject = [:]) -> String {
        upstream(service, as: identity, at: "\(host):\(port)", more: more)
    }

    @discardableResult
    func upstream(_ service: String, as identity: String? = nil, at address: String, more: JSONObject = [:]) -> String {
        var object: JSONObject = ["listen": .string(address), "service": .string(service)]
        if let identity { object["as"] = .string(identity) }
        for member in more.members { object[member.key] = member.value }
        upstreams.append(.object(object))
        return address
    }

    func peer(_ node: TestNode) { peers.append(["node": .string(node.name), "address": .string(node.meshAddress)]) }

    // MARK: - Files

    var configurationFile: String { directory + "/mesh.json" }
    var policyFile: String { directory + "/policy.json" }

    func writeFiles() throws {
        var all: [(key: String, value: JSONValue)] = [
            ("node.name", .string(name)), ("node.stateDirectory", .string(directory + "/state")),
            ("identity.certificate", .string(directory + "/node.crt")),
            ("identity.key", .string(directory + "/node.key")),
            ("trust.ca", .string(mesh.directory + "/ca.crt")),
            ("listen.mesh", .string(meshAddress)), ("listen.control", .string(controlPath)),
            ("listen.metrics", .string("\(host):7480")),
            ("policy.file", .string(policyFile)), ("log.level", "debug"),
            // Leases of at least three seconds, and more where an agent may stand still for so long.
            ("directory.renewInterval", Deadline.slowness == 1 ? "500ms" : "2s"),
            ("directory.leaseGrace", Deadline.slowness == 1 ? "3s" : "6s"),
        ]
        if servesDirectory {
            all.append(("directory.serve", true))
        } else if let directory = mesh.directoryNode {
            all.append(("directory.node", .string(directory.name)))
            all.append(("directory.address", .string(directory.meshAddress)))
        }
        all.append(("services", .array(services)))
        all.append(("upstreams", .array(upstreams)))
        all.append(("peers", .array(peers)))
        for setting in settings {
            all.removeAll { $0.key == setting.key }
            all.append(setting)
        }
        var root = JSONObject()
        for (key, value) in all where !value.isNull {
            Self.put(value, Array(key.split(separator: ".").map(String.init)[...]), in: &root)
        }
        try JSONValue.object(root).text(.pretty).write(toFile: configurationFile, atomically: true, encoding: .utf8)
        try policy.text.write(toFile: policyFile, atomically: true, encoding: .utf8)
    }

    private static func put(_ value: JSONValue, _ path: [String], in object: inout JSONObject) {
        if path.count == 1 {
            object[path[0]] = value
            return
        }
        var inner = object[path[0]]?.object ?? JSONObject()
        put(value, Array(path.dropFirst()), in: &inner)
        object[path[0]] = .object(inner)
    }

    // MARK: - The process

    /// Writes the files and starts the agent.
    func start() throws {
        try writeFiles()
        try launch()
    }

    /// Starts the agent with the files as they are.
    func launch(_ arguments: [String] = []) throws {
        starts += 1
        mayEnd = false
        process = try Child(
            [TestMesh.binaries + "/mesh-agent", "--config", configurationFile] + arguments, environment: environment,
            output: directory + "/agent-\(starts).log", prefix: prefix)
    }

    func kill() {
        mayEnd = true
        process?.kill()
    }

    /// The process may end from now on.
    func expectEnd() { mayEnd = true }

    /// SIGTERM, and its exit status.
    @discardableResult
    func stop(within seconds: Double = Deadline.patience) throws -> Int32 {
        mayEnd = true
        process?.signal(SIGTERM)
        return try running().wait(within: seconds)
    }

    func running() throws -> Child {
        guard let process else { throw Failure("\(name) was not started") }
        return process
    }

    /// Asked at the control socket where the metrics listener is out of reach, in another network namespace.
    var isRemote = false

    var isReady: Bool {
        if isRemote { return (try? control.get("/v1/agent").json["ready"]?.bool) == true }
        return (try? metrics.get("/readyz").status) == 200
    }

    func waitReady(within seconds: Double = Deadline.patience) throws {
        try Deadline.until("\(name) is ready", within: seconds, every: 0.01) {
            if let status = process?.exitStatus { throw Failure("\(name) ended with \(status): \(process!.output)") }
            return isReady
        }
    }

    // MARK: - What it says

    var records: [LogRecord] { process?.log.records ?? [] }

    /// Waits for a log record; `skipping` so many that match.
    @discardableResult
    func waitFor(
        _ event: String, skipping: Int = 0, within seconds: Double = Deadline.patience,
        where condition: (LogRecord) -> Bool = { _ in true }
    ) throws -> LogRecord {
        try Deadline.wait("\(name) logs \(event)", within: seconds) {
            records.filter { $0.event == event && condition($0) }.dropFirst(skipping).first
        }
    }

    func count(_ event: String, where condition: (LogRecord) -> Bool = { _ in true }) -> Int {
        records.count { $0.event == event && condition($0) }
    }

    /// Waits until there is a link to `node`.
    func waitLinked(to node: TestNode, within seconds: Double = Deadline.patience) throws {
        try Deadline.until("\(name) is linked to \(node.name)", within: seconds) { try isLinked(to: node) }
    }

    func isLinked(to node: TestNode) throws -> Bool { try link(to: node)?["state"]?.string == "established" }

    /// Waits until this agent and the one at `node` have read and acknowledged everything of each other. If one is killed
    /// then, its kernel ends the link in order. Where something was left unread it resets the link instead, which may be a
    /// firewall's doing and is believed only when the time to resume is over (docs/adr/0008, ParkedRedialsTests).
    func waitRead(with node: TestNode) throws {
        try Deadline.until("\(name) and \(node.name) have read everything") {
            try [(self, node), (node, self)].allSatisfy { here, there in
                try here.link(to: there)?["retainedBytes"]?.integer == 0
            }
        }
    }

    func link(to node: TestNode) throws -> JSONValue? {
        let list = try control.get("/v1/links").json["links"]?.array ?? []
        return list.first { (link: JSONValue) in link["node"]?.string == node.name }
    }

    /// The links to `node` that are in use, by lane.
    func lanes(to node: TestNode) throws -> [Int: JSONValue] {
        var found: [Int: JSONValue] = [:]
        for link in try control.get("/v1/links").json["links"]?.array ?? [] {
            guard link["node"]?.string == node.name, link["state"]?.string == "established" else { continue }
            found[Int(link["lane"]?.integer ?? 0)] = link
        }
        return found
    }

    /// Waits until exactly the first `count` lanes to `node` have links.
    func waitLanes(_ count: Int, to node: TestNode, within seconds: Double = Deadline.patience) throws {
        try Deadline.until("\(name) has \(count) lanes to \(node.name)", within: seconds, every: 0.02) {
            try lanes(to: node).keys.sorted() == Array(0..<count)
        }
    }

    /// Instances of a service in this node's copy of the directory: id → health.
    func instances(of service: String) throws -> [String: String] {
        let list = try control.get("/v1/directory/services/\(service)").json["instances"]?.array ?? []
        var found: [String: String] = [:]
        for item in list { found[item["node"]?.string ?? "?"] = item["health"]?.string ?? "?" }
        return found
    }

    /// Waits until this node knows healthy instances of `service` at exactly these nodes.
    func waitInstances(of service: String, at names: Set<String>, within seconds: Double = Deadline.patience) throws {
        try Deadline.until("\(name) knows \(service) at \(names.sorted())", within: seconds, every: 0.02) {
            Set(try instances(of: service).filter { $0.value == "passing" }.keys) == names
        }
        try settle()
    }

    /// What `/metrics` shows, all of which docs/operations.md has.
    func exposition() throws -> String {
        let text = try metrics.get("/metrics").text
        try demandEqual(try MetricsTable.published.get().problems(in: text), [], "docs/operations.md:")
        return text
    }

    /// Waits until every worker goes by what the control plane knows: it is told, and a connection that joins a batch which
    /// is being accepted may overtake what the control API shows. Links are asked for at all workers.
    func settle() throws { _ = try control.get("/v1/links") }

    /// A metric's value; labels as they are written.
    func metric(_ name: String) throws -> Double? {
        for line in try exposition().split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: " ")
            if parts.count == 2, parts[0] == name { return Double(parts[1]) }
        }
        return nil
    }

    /// Reads the files again by the control API.
    @discardableResult
    func reload() throws -> Answer {
        try writeFiles()
        return try control.request("POST", "/v1/reload", "")
    }
}

/// A policy document of a test.
struct TestPolicy {
    var identities: [JSONValue] = [
        ["match": ["node": "**"], "permissions": ["mesh-node"]],
        ["match": ["node": "Directory"], "permissions": ["mesh-directory"]],
        ["match": ["uid": 0], "groups": ["operators"]],
    ]
    var rules: [JSONValue] = [
        ["allow": ["discover", "connect", "register"], "from": ["group:operators"], "to": ["**"]],
        ["allow": ["connect"], "from": ["group:operators"], "to": ["mesh.agent", "mesh.directory"]],
        ["allow": ["administer"], "from": ["group:operators"], "to": ["@every-node"]],
    ]

    /// Everybody who runs the tests is an operator.
    init() {
        if getuid() != 0 { identities.append(["match": ["uid": JSONValue(Int(getuid()))], "groups": ["operators"]]) }
    }

    var text: String {
        JSONValue.object(["version": 1, "identities": .array(identities), "rules": .array(rules)]).text(.pretty)
    }

    /// `node` may offer `service`.
    mutating func provide(_ service: String, at node: String) {
        rules.append(
            ["allow": ["register", "provide"], "from": [.string("node:\(node)")], "to": [.string(service)]])
    }

    /// Upstreams of `node` may act as `identity`.
    mutating func identity(_ identity: String, of node: String) {
        identities.append(["match": ["node": .string(node)], "services": [.string(identity)]])
    }

    /// `identity` may connect to `service`.
    mutating func connect(_ principal: String, to service: String) {
        rules.append(["allow": ["connect"], "from": [.string(principal)], "to": [.string(service)]])
    }

    /// Takes back what `connect` gave.
    mutating func revoke(_ principal: String, to service: String) {
        rules.removeAll { (rule: JSONValue) in
            rule["from"]?.array?.first?.string == principal && rule["to"]?.array?.first?.string == service
        }
    }
}
