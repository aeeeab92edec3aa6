import Foundation
import JSON

/// An answer of an agent's HTTP interface.
struct Answer {
    let status: Int
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSONValue { (try? JSONReader.parse(body)) ?? .null }
    /// The stable reason of a problem.
    var reason: String { json["reason"]?.string ?? "" }

    /// Reads a whole message, whose end is the connection's end.
    init(message: [UInt8]) throws {
        guard let end = message.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw Failure("not an HTTP answer: \(String(decoding: message.prefix(200), as: UTF8.self))")
        }
        let lines = String(decoding: message[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        let parts = lines[0].split(separator: " ")
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1.1"), let status = Int(parts[1]) else {
            throw Failure("not a status line: \(lines[0])")
        }
        self.status = status
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw Failure("not a header: \(line)") }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces)
        }
        self.headers = headers
        body = Array(message[end.upperBound...])
        if let length = headers["content-length"], Int(length) != body.count {
            throw Failure("content-length \(length), but \(body.count) bytes")
        }
    }
}

/// A minimal HTTP client that leaves nothing to a library's goodwill.
struct HTTPEnd {
    let address: String

    func request(_ method: String, _ target: String, _ body: String? = nil, headers: [String: String] = [:]) throws
        -> Answer
    {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n" }
        return try raw(text + "\r\n" + (body ?? ""))
    }

    func get(_ target: String) throws -> Answer { try request("GET", target) }

    /// Sends `text` as it is and reads to the end.
    func raw(_ text: String) throws -> Answer {
        let wire = try Wire(address)
        defer { wire.close() }
        try wire.send(text)
        return try Answer(message: try wire.receiveAll())
    }
}

/// A response that goes on, read line by line (chunked).
final class LineStream {
    let wire: Wire
    private var buffer: [UInt8] = []
    private var content: [UInt8] = []

    init(_ address: String, _ target: String) throws {
        wire = try Wire(address)
        try wire.send("GET \(target) HTTP/1.1\r\nHost: agent\r\n\r\n")
        let head = try Deadline.wait("the head of \(target)") { () -> String? in
            guard case .bytes(let more) = wire.receive() else { throw Failure("no answer to \(target)") }
            buffer += more
            guard let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            let head = String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
            buffer.removeFirst(end.upperBound)
            return head
        }
        guard head.hasPrefix("HTTP/1.1 200"), head.lowercased().contains("transfer-encoding: chunked") else {
            throw Failure("\(target): \(head)")
        }
    }

    /// The next line as JSON; nil when none came in time.
    func next(within seconds: Double = Deadline.patience) throws -> JSONValue? {
        wire.setTimeouts(0.05)
        let end = Deadline.now + seconds
        while true {
            if let newline = content.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(content[..<newline])
                content.removeFirst(newline + 1)
                return try JSONReader.parse(line)
            }
            if try takeChunk() { continue }
            guard Deadline.now < end else { return nil }
            switch wire.receive() {
            case .bytes(let more): buffer += more
            case .nothing: continue
            case .end, .reset: throw Failure("the stream ended")
            }
        }
    }

    private func takeChunk() throws -> Bool {
        guard let line = buffer.firstRange(of: Array("\r\n".utf8)) else { return false }
        guard let size = Int(String(decoding: buffer[..<line.lowerBound], as: UTF8.self), radix: 16) else {
            throw Failure("not a chunk")
        }
        guard size > 0 else { throw Failure("the stream ended") }
        guard buffer.count >= line.upperBound + size + 2 else { return false }
        content += buffer[line.upperBound..<(line.upperBound + size)]
        buffer.removeFirst(line.upperBound + size + 2)
        return true
    }
}

extension TestNode {
    /// What `mesh connect` does at the control socket: a stream to a service in the name of who runs the tests, with the first
    /// bytes; or the refusal.
    func connect(_ service: String, early: String = "") throws -> (Wire, Answer?) {
        let wire = try Wire("unix:" + controlPath)
        try wire.send(
            "GET /v1/connect/\(service) HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\n"
                + "Upgrade: conduit-stream\r\n\r\n" + early)
        var head: [UInt8] = []
        while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
            guard case .bytes(let byte) = wire.receive(atMost: 1) else { throw Failure("no answer") }
            head += byte
        }
        if String(decoding: head, as: UTF8.self).hasPrefix("HTTP/1.1 101") { return (wire, nil) }
        wire.finishSending()
        return (wire, try Answer(message: head + (try wire.receiveAll())))
    }
}
