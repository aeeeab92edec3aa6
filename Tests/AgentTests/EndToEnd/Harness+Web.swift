import Foundation

/// An HTTP service that a test looks into: it remembers the heads of requests and does what the path says.
///
/// `/echo` sends the body back as it comes, `/head` the request's head, `/big/N` N bytes, `/events` a line for each call of
/// `event`, `/silent` nothing at all, `/break` an answer that breaks off, `/close` the end, `/status/N` that status,
/// `/ws` speaks WebSocket and echoes (it takes nothing for two seconds after the text "sleep", and answers "half" with half a
/// frame until `sendOtherHalf`), `/once` closes the connection behind its answer without saying so.
final class WebService: @unchecked Sendable {
    private let lock = NSLock()
    private var seen: [String] = []
    private var events: [Wire] = []
    private var service: ThreadedService!
    private let otherHalf = DispatchSemaphore(value: 0)
    private var bigSent = 0

    init(_ mesh: TestMesh) throws {
        service = try mesh.service { [weak self] wire in try self?.serve(wire) }
    }

    var address: String { service.address }
    /// How many connections there have been.
    var connections: Int { service.count }
    /// The heads of all requests so far.
    var heads: [String] { lock.withLock { seen } }
    /// Responses of `/events` under way.
    var listeners: Int { lock.withLock { events.count } }
    /// Bytes that connections took of the answers of `/big/N` so far.
    var bigBytes: Int { lock.withLock { bigSent } }

    /// Sends the other half of a frame.
    func sendOtherHalf() { otherHalf.signal() }

    /// Bytes of `/sink` so far.
    private(set) var sunk = 0

    /// Sends a line to everybody who reads `/events`.
    func event(_ line: String) {
        for wire in lock.withLock({ events }) {
            let bytes = Array((line + "\n").utf8)
            try? wire.send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + Array("\r\n".utf8))
        }
    }

    private func serve(_ wire: Wire) throws {
        var reader = WireReader(wire)
        while let head = try reader.head() {
            lock.withLock { seen.append(head) }
            let target = head.split(separator: " ").dropFirst().first.map(String.init) ?? "/"
            let path = target.split(separator: "?").first.map(String.init) ?? "/"
            switch path {
            case "/echo": try echo(wire, head, &reader)
            case "/sink":
                var total = 0
                try reader.body(of: head) {
                    total += $0.count; self.lock.withLock { self.sunk = total }
                }
                try respond(wire, 200, Array("\(total)".utf8))
            case "/forbidden": try respond(wire, 403, [])
            case "/head": try respond(wire, 200, Array(head.utf8))
            case "/hints":
                try wire.send(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n"
                        + "Connection: X-Hop\r\nX-Hop: gone\r\nConduit-Caller: root\r\n\r\n")
                try respond(wire, 200, Array("hinted".utf8))
            case "/events":
                try wire.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                lock.withLock { events.append(wire) }
                _ = wire.receive()
                lock.withLock { events.removeAll { $0 === wire } }
                return
            case "/silent":
                _ = wire.receive()
                return
            case "/break":
                try wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return wire.close()
            case "/close": return wire.close()
            case "/once":
                try respond(wire, 200, Array("once".utf8))
                return wire.close()
            case "/ws": return try webSocket(wire, head, &reader)
            default:
                if path.hasPrefix("/big/"), let count = Int(path.dropFirst(5)) {
                    try wire.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
                    let block = [UInt8](repeating: 0x61, count: 65536)
                    var left = count
                    while left > 0 {
                        let piece = min(left, block.count)
                        try wire.send(Array(block[..<piece]))
                        left -= piece
                        lock.withLock { bigSent += piece }
                    }
                } else if path.hasPrefix("/status/"), let status = Int(path.dropFirst(8)) {
                    try respond(wire, status, Array("status".utf8))
                } else {
                    try respond(wire, 200, Array("hello from \(target)".utf8))
                }
            }
        }
        // The client has ended.
        wire.close()
    }

    private func respond(_ wire: Wire, _ status: Int, _ body: [UInt8]) throws {
        try wire.send(
            Array("HTTP/1.1 \(status) Status\r\nContent-Length: \(body.count)\r\nX-Service: web\r\n\r\n".utf8) + body)
    }

    /// Sends each piece back when it has come, before the next one.
    private func echo(_ wire: Wire, _ head: String, _ reader: inout WireReader) throws {
        try wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try reader.body(of: head) { piece in
            try wire.send(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
        }
        try wire.send("0\r\nX-Trailer: yes\r\n\r\n")
    }

    private func webSocket(_ wire: Wire, _ head: String, _ reader: inout WireReader) throws {
        let offered = WireReader.field("Sec-WebSocket-Protocol", head) ?? ""
        let chosen = offered.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.first
        // The answer to the key of RFC 6455, section 1.3, which the tests use.
        try wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                + (chosen.map { "Sec-WebSocket-Protocol: \($0)\r\n" } ?? "") + "\r\n")
        // Servers close when their clients are gone.
        defer { wire.finishSending() }
        while true {
            let (opcode, payload) = try WebFrame.read { try reader.bytes($0) }
            switch opcode {
            case 8:
                try wire.send(WebFrame.encode(8, payload))
                return wire.finishSending()
            case 9: try wire.send(WebFrame.encode(10, payload))
            case 1 where payload == Array("half".utf8):
                try wire.send([0x81, 10] + Array("first".utf8))
                otherHalf.wait()
                try wire.send(Array("other".utf8))
            case 1 where payload == Array("sleep".utf8): Thread.sleep(forTimeInterval: 2)
            default: try wire.send(WebFrame.encode(opcode, payload))
            }
        }
    }
}

/// Reads messages off a wire.
struct WireReader {
    let wire: Wire
    private var buffer: [UInt8] = []

    init(_ wire: Wire) { self.wire = wire }

    private mutating func more() throws -> Bool {
        switch wire.receive() {
        case .bytes(let bytes): buffer += bytes
        case .end, .reset: return false
        case .nothing: return true
        }
        return true
    }

    /// A head with its empty line; nil at the end.
    mutating func head() throws -> String? {
        while true {
            if let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) {
                defer { buffer.removeFirst(end.upperBound) }
                return String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
            }
            guard try more() else { return nil }
        }
    }

    mutating func bytes(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard try more() else { throw Failure("the end") }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private mutating func line() throws -> String {
        while true {
            if let end = buffer.firstRange(of: Array("\r\n".utf8)) {
                defer { buffer.removeFirst(end.upperBound) }
                return String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
            }
            guard try more() else { throw Failure("the end") }
        }
    }

    static func field(_ name: String, _ head: String) -> String? {
        for line in head.components(separatedBy: "\r\n").dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == name.lowercased() {
                return parts[1].trimmingCharacters(in: .whitespaces)
            }
        }
        return nil
    }

    /// Gives the body of a request in pieces.
    mutating func body(of head: String, _ take: ([UInt8]) throws -> Void) throws {
        if Self.field("Transfer-Encoding", head) == "chunked" {
            while true {
                guard let size = Int(try line(), radix: 16) else { throw Failure("not a chunk") }
                if size == 0 {
                    while try !line().isEmpty {}
                    return
                }
                try take(bytes(size))
                _ = try bytes(2)
            }
        }
        var left = Int(Self.field("Content-Length", head) ?? "0") ?? 0
        while left > 0 {
            if buffer.isEmpty { guard try more() else { throw Failure("the end") } }
            let piece = Array(buffer.prefix(left))
            buffer.removeFirst(piece.count)
            left -= piece.count
            if !piece.isEmpty { try take(piece) }
        }
    }
}
