import Foundation
import JSON
import PKI
import TLS

/// A `mesh-agent front` process.
final class TestFront {
    let process: Child
    private let mesh: TestMesh
    /// The first URI that it printed.
    let uri: String

    private nonisolated(unsafe) static var count = 0

    /// Starts a front and waits until it says its URI.
    init(
        _ mesh: TestMesh, _ arguments: [String], environment: [String: String] = [:], prefix: [String] = []
    ) throws {
        self.mesh = mesh
        process = try Self.run(mesh, arguments, environment, prefix: prefix)
        uri = try Self.uri(of: process)
    }

    /// Starts a front without waiting.
    static func run(
        _ mesh: TestMesh, _ arguments: [String], _ environment: [String: String] = [:], prefix: [String] = []
    ) throws -> Child {
        count += 1
        let child = try Child(
            [TestMesh.binaries + "/mesh-agent", "front"] + arguments,
            environment: ["TMPDIR": mesh.directory].merging(environment) { $1 },
            output: "\(mesh.directory)/front-\(count).log", prefix: prefix)
        mesh.whenEnded { child.kill() }
        return child
    }

    /// Runs a front that ends by itself.
    static func refused(
        _ mesh: TestMesh, _ arguments: [String], _ environment: [String: String] = [:]
    ) throws -> (status: Int32, output: String) {
        let child = try run(mesh, arguments, environment)
        let status = try child.wait()
        return (status, child.output)
    }

    private static func uri(of process: Child) throws -> String {
        try Deadline.wait("a front's URI: \(process.output)") {
            let lines = process.output.split(separator: "\n").filter { !$0.hasPrefix("{") && $0.contains("://") }
            if let line = lines.first { return String(line) }
            if let status = process.exitStatus { throw Failure("the front ended with \(status): \(process.output)") }
            return nil
        }
    }

    /// Where it listens.
    var address: String { String(uri[uri.range(of: "://")!.upperBound...]) }

    /// The records of its log with that event.
    func records(_ event: String) -> [JSONValue] {
        process.log.records.filter { $0.event == event }.map(\.value)
    }

    /// A TLS connection to it, checked against `roots`.
    func connect(
        _ roots: [Certificate], name: String = EdgeMesh.host, credentials: Credentials? = nil,
        maximum: TLSVersion = .tls13
    ) throws -> EdgeEnd {
        var configuration = TLSContext.Configuration.foreignServer(
            trust: try TrustBundle(roots: roots), credentials: credentials)
        configuration.maximumVersion = maximum
        let context = try TLSContext(configuration)
        return try EdgeEnd(
            Wire(address), TLSSession(context: context, serverName: name, expecting: .foreignServer(host: name)))
    }

    /// A plain connection to it.
    func connect() throws -> EdgeEnd {
        let end = try EdgeEnd(Wire(address))
        end.host = address
        return end
    }

    /// Ends it in order.
    func end() throws {
        process.signal(SIGTERM)
        try demandEqual(try process.wait(), 0, "the exit status of a front")
    }
}

extension TestMesh {
    /// Writes a server's certificate and key; gives the two files.
    func serverFiles(
        _ name: String = "server", dnsNames: [String] = [EdgeMesh.host], ipAddresses: [String] = []
    ) throws -> (certificate: String, key: String) {
        let files = ("\(directory)/\(name).pem", "\(directory)/\(name).key")
        let credentials = try authority.issueCredentials(
            IssueRequest(node: name, dnsNames: dnsNames, ipAddresses: ipAddresses), now: Int64(time(nil)))
        try credentials.write(certificateFile: files.0, keyFile: files.1)
        return files
    }

    /// The CA's certificate.
    var authorityFile: String { directory + "/ca.crt" }

    /// An address of this test for listeners, with any port.
    var anyAddress: String { "\(network).200:0" }
}

extension EdgeEnd {
    /// One request and its answer.
    func request(
        _ method: String = "GET", _ target: String, headers: [(String, String)] = [], body: [UInt8]? = nil
    ) throws -> Answer {
        try sendRequest(method, target, headers: headers, body: body)
        return try answer(to: method)
    }

    /// Asks for a WebSocket, sends a text and waits for it to come back.
    func echoOverWebSocket(_ text: String = "hello", headers: [(String, String)] = []) throws {
        let (status, fields) = try upgrade("/ws", headers: headers)
        try demandEqual(status, 101, "\(fields)")
        try sendText(text)
        try demandEqual(try frame().payload, Array(text.utf8), "echo")
    }
}
