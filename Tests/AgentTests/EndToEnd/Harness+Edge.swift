import Bytes
import Foundation
import JOSE
import JSON
import PKI
import TLS

/// A mesh with an edge: the node Edge (which serves the directory too) and the node Server, on which the HTTP service
/// `web` runs.
struct EdgeMesh {
    let mesh: TestMesh
    let edge: TestNode
    let server: TestNode
    let service: WebService
    let issuer: TokenIssuer
    /// The address of the TLS listener.
    let address: String

    static let host = "edge.e2e.test"
    static let issuerName = "https://tokens.e2e.test"

    /// - Parameters:
    ///   - listener: keys of the listener, beside its address and certificate.
    ///   - route: keys of the route to `web`, beside its service.
    ///   - configure: more settings of the edge's node.
    init(
        _ mesh: TestMesh, listener: JSONObject = [:], route: JSONObject = [:], routes: [JSONValue] = [],
        configure: (TestNode) throws -> Void = { _ in }
    ) throws {
        self.mesh = mesh
        service = try WebService(mesh)
        issuer = try TokenIssuer.make(name: Self.issuerName)
        mesh.policy.identities.append(["match": ["node": "Edge"], "permissions": ["mesh-directory"]])
        mesh.policy.provide("web", at: "Server")
        mesh.policy.connect("node:Edge", to: "web")
        mesh.policy.rules.append(
            ["allow": ["act-as"], "from": ["node:Edge"], "to": [.string("jwt:\(Self.issuerName)/**"), "key:*"]])
        mesh.policy.connect("jwt:\(Self.issuerName)/alice", to: "web")
        let credentials = try mesh.authority.issueCredentials(
            IssueRequest(node: "edge-listener", dnsNames: [Self.host], ipAddresses: ["\(mesh.network).1"]),
            now: Int64(time(nil)))
        try credentials.write(
            certificateFile: mesh.directory + "/edge.crt", keyFile: mesh.directory + "/edge.key")
        _ = FileManager.default.createFile(
            atPath: mesh.directory + "/issuer.json", contents: Data(try issuer.fileText()),
            attributes: [.posixPermissions: 0o600])
        var address = ""
        edge = try mesh.node("Edge", directory: true) { node in
            address = "\(node.host):8443"
            var settings: JSONObject = [
                "address": .string(address), "tls": "application",
                "certificates": [
                    [
                        "certificate": .string(mesh.directory + "/edge.crt"),
                        "key": .string(mesh.directory + "/edge.key"),
                    ]
                ],
            ]
            for member in listener { settings[member.key] = member.value }
            var first: JSONObject = ["path": "/", "service": "web"]
            for member in route { first[member.key] = member.value }
            node.set("edge.listeners", .array([.object(settings)]))
            node.set("edge.routes", .array([.object(first)] + routes))
            node.set("edge.authentication.localIssuer.key", .string(mesh.directory + "/issuer.json"))
            node.set("edge.authentication.localIssuer.audiences", ["edge"])
            try configure(node)
        }
        server = try mesh.node("Server") { [service] in $0.offer("web", service.address) }
        self.address = address
        try mesh.start()
        try edge.waitInstances(of: "web", at: ["Server"])
        try edge.waitLinked(to: server)
    }

    /// A token of the local issuer.
    func token(_ subject: String = "alice", lifetime: Int64 = 600, scopes: [String] = [], id: [UInt8]? = nil) throws
        -> String
    {
        let random = id ?? (0..<TokenIssuer.randomBytes).map { _ in UInt8.random(in: 0...255) }
        return try issuer.issue(
            TokenRequest(subject: subject, audiences: ["edge"], lifetime: lifetime, scopes: scopes),
            at: Int64(time(nil)), random: random)
    }

    /// A TLS connection to the edge.
    func connect(
        _ serverName: String? = host, credentials: Credentials? = nil, to other: String? = nil
    ) throws -> EdgeEnd {
        let wire = try Wire(other ?? address)
        let context = try TLSContext(
            .foreignServer(trust: try TrustBundle(roots: [mesh.authority.root]), credentials: credentials))
        return try EdgeEnd(
            wire,
            TLSSession(
                context: context, serverName: serverName,
                expecting: .foreignServer(host: serverName ?? Self.host)))
    }

    /// A connection without TLS, with a request on it.
    func ask(_ target: String) throws -> EdgeEnd {
        let end = try EdgeEnd(Wire(address))
        end.host = address
        try end.sendRequest("GET", target)
        return end
    }

    /// One request on a connection of its own.
    func request(
        _ method: String = "GET", _ target: String, token: String? = nil, headers: [(String, String)] = [],
        body: [UInt8]? = nil
    ) throws -> Answer {
        let end = try connect()
        defer { end.close() }
        var fields = headers
        if let token { fields.append(("Authorization", "Bearer \(token)")) }
        try end.sendRequest(method, target, headers: fields, body: body)
        return try end.answer()
    }
}

/// A client's end of a connection to the edge, plain or TLS; blocking.
final class EdgeEnd {
    let wire: Wire
    let session: TLSSession?
    /// The host that requests are for.
    var host = EdgeMesh.host
    private var received: [UInt8] = []
    private var isEnded = false

    init(_ wire: Wire, _ session: TLSSession? = nil) throws {
        self.wire = wire
        self.session = session
        guard let session else { return }
        while true {
            let step = session.handshake()
            flush()
            switch step {
            case .complete: return
            case .failed(let error): throw error
            case .wantsInput: try fill()
            }
        }
    }

    private func flush() {
        guard let session else { return }
        while session.pendingOutput > 0 {
            session.withOutput { bytes in
                (try? wire.send(bytes)) == nil ? bytes.count : bytes.count
            }
        }
    }

    /// Ciphertext for a session must stay where it is until it was read.
    private var window: [UInt8] = []

    private func fill() throws {
        switch wire.receive() {
        case .bytes(let bytes):
            window = bytes
            window.withUnsafeBytes { session?.setInput($0) }
        case .end, .reset: session?.receivedEOF()
        case .nothing: throw Failure("nothing came in time")
        }
    }

    func send(_ bytes: [UInt8]) throws {
        guard let session else { return try wire.send(bytes) }
        if case .failed(let error) = bytes.withUnsafeBytes({ session.write($0) }) { throw error }
        flush()
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func sendRequest(
        _ method: String = "GET", _ target: String, headers: [(String, String)] = [], body: [UInt8]? = nil
    ) throws {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.count)\r\n" }
        try send(Array((text + "\r\n").utf8) + (body ?? []))
    }

    /// Reads more; false at the end.
    private func more() throws -> Bool {
        if isEnded { return false }
        guard let session else {
            switch wire.receive() {
            case .bytes(let bytes): received += bytes
            case .end: isEnded = true
            case .reset:
                isEnded = true
                wasReset = true
            case .nothing: throw Failure("nothing came in time")
            }
            return !isEnded
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let step = window.withUnsafeBytes { _ in buffer.withUnsafeMutableBytes { session.read(into: $0) } }
            flush()
            switch step {
            case .bytes(let count):
                received += buffer[..<count]
                return true
            case .wantsInput: try fill()
            case .closed(let isClean):
                isEnded = true
                wasReset = !isClean
                return false
            case .failed(let error): throw error
            }
        }
    }

    /// The connection ended without a goodbye.
    private(set) var wasReset = false

    /// Whether the edge has closed the connection, after everything that was sent was read.
    func waitEnd() throws { while try more() {} }

    /// Whether anything comes within so many seconds.
    func isSilent(for seconds: Double) throws -> Bool {
        wire.setTimeouts(seconds)
        defer { wire.setTimeouts(Deadline.patience) }
        do {
            return try !more() && false
        } catch is Failure {
            return true
        }
    }

    func read(_ count: Int) throws -> [UInt8] {
        while received.count < count {
            guard try more() else { throw Failure("the end after \(received.count) of \(count) bytes") }
        }
        defer { received.removeFirst(count) }
        return Array(received[..<count])
    }

    func readLine() throws -> String {
        while true {
            if let end = received.firstRange(of: Array("\r\n".utf8)) {
                defer { received.removeFirst(end.upperBound) }
                return String(decoding: received[..<end.lowerBound], as: UTF8.self)
            }
            guard try more() else {
                throw Failure("the end inside a line: \(String(decoding: received, as: UTF8.self))")
            }
        }
    }

    /// The head of a response: status and fields by lower-case name.
    func head() throws -> (status: Int, headers: [String: String]) {
        let first = try readLine()
        let parts = first.split(separator: " ")
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]) else {
            throw Failure("not a status line: \(first)")
        }
        var headers: [String: String] = [:]
        while true {
            let line = try readLine()
            if line.isEmpty { return (status, headers) }
            guard let colon = line.firstIndex(of: ":") else { throw Failure("not a field: \(line)") }
            let name = line[..<colon].lowercased()
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            headers[name] = headers[name].map { "\($0), \(value)" } ?? value
        }
    }

    /// One chunk of a chunked body; empty for the last one, whose trailers are thrown away.
    func chunk() throws -> [UInt8] {
        guard let size = Int(try readLine(), radix: 16) else { throw Failure("not a chunk's size") }
        if size == 0 {
            while try !readLine().isEmpty {}
            return []
        }
        let bytes = try read(size)
        guard try read(2) == Array("\r\n".utf8) else { throw Failure("no end of a chunk") }
        return bytes
    }

    /// A whole response; 100 is skipped.
    func answer(to method: String = "GET") throws -> Answer {
        var (status, headers) = try head()
        while status == 100 { (status, headers) = try head() }
        var body: [UInt8] = []
        if method == "HEAD" || status == 204 || status == 304 {
        } else if headers["transfer-encoding"] == "chunked" {
            while true {
                let part = try chunk()
                if part.isEmpty { break }
                body += part
            }
        } else if let length = headers["content-length"].flatMap(Int.init) {
            body = try read(length)
        } else {
            try waitEnd()
            body = received
            received = []
        }
        return Answer(status: status, headers: headers, body: body)
    }

    func close() { wire.close() }

    // MARK: - WebSocket

    /// Asks for a WebSocket; gives the answer's head.
    func upgrade(
        _ target: String, protocols: [String] = [], headers: [(String, String)] = []
    ) throws -> (status: Int, headers: [String: String]) {
        var fields =
            headers + [
                ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
        if !protocols.isEmpty { fields.append(("Sec-WebSocket-Protocol", protocols.joined(separator: ", "))) }
        try sendRequest("GET", target, headers: fields)
        return try head()
    }

    /// Sends a frame, masked as a client's must be.
    func sendFrame(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true) throws {
        try send(WebFrame.encode(opcode, payload, mask: [0x12, 0x34, 0x56, 0x78], fin: fin))
    }

    func sendText(_ text: String) throws { try sendFrame(1, Array(text.utf8)) }

    /// The next frame.
    func frame() throws -> (opcode: UInt8, payload: [UInt8]) {
        try WebFrame.read { try self.read($0) }
    }

    /// The next frame, which must be a close frame: code and reason.
    func closeFrame() throws -> (code: Int, reason: String) {
        let (opcode, payload) = try frame()
        guard opcode == 8, payload.count >= 2 else {
            throw Failure("not a close frame: \(opcode) \(String(decoding: payload, as: UTF8.self))")
        }
        return (Int(payload[0]) << 8 | Int(payload[1]), String(decoding: payload.dropFirst(2), as: UTF8.self))
    }
}

/// WebSocket frames as a test writes and reads them.
enum WebFrame {
    static func encode(_ opcode: UInt8, _ payload: [UInt8], mask: [UInt8]? = nil, fin: Bool = true) -> [UInt8] {
        var bytes: [UInt8] = [(fin ? 0x80 : 0) | opcode]
        let flag: UInt8 = mask == nil ? 0 : 0x80
        switch payload.count {
        case ..<126: bytes.append(flag | UInt8(payload.count))
        case ..<65536: bytes += [flag | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default: bytes += [flag | 127] + (0..<8).reversed().map { UInt8(payload.count >> (8 * $0) & 0xFF) }
        }
        guard let mask else { return bytes + payload }
        return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    static func read(_ read: (Int) throws -> [UInt8]) throws -> (opcode: UInt8, payload: [UInt8]) {
        let head = try read(2)
        var length = Int(head[1] & 0x7F)
        if length == 126 {
            length = try read(2).reduce(0) { $0 << 8 | Int($1) }
        } else if length == 127 {
            length = try read(8).reduce(0) { $0 << 8 | Int($1) }
        }
        let mask = head[1] & 0x80 != 0 ? try read(4) : [0, 0, 0, 0]
        return (head[0] & 0x0F, try read(length).enumerated().map { $1 ^ mask[$0 & 3] })
    }
}

extension Answer {
    init(status: Int, headers: [String: String], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}
