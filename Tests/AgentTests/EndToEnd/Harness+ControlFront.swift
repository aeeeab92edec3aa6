import Documents
import Foundation
import JSON

/// A control socket before an agent's own, as somebody who has broken into that agent has it: it hands requests on, and answers as
/// it likes.
final class ControlFront: @unchecked Sendable {
    let path: String
    private(set) var service: ThreadedService!
    private let control: HTTPEnd
    private let lock = NSLock()
    private var lies: [String: (String) throws -> (Int, String)] = [:]
    private var onlyOnce: Set<String> = []

    init(_ node: TestNode) throws {
        path = node.directory + "/front"
        unlink(path)
        control = node.control
        service = ThreadedService(try ListeningSocket(path: path)) { [weak self] wire in try self?.serve(wire) }
    }

    func stop() { service.stop() }

    /// Refuses the first request to a path.
    func refusingOnce(_ target: String) -> ControlFront {
        lock.withLock {
            lies[target] = { _ in (409, #"{"reason":"out_of_luck","detail":"it cannot be read"}"#) }
            onlyOnce.insert(target)
        }
        return self
    }

    /// Answers requests for a path with what `lie` makes of the agent's answer; nil tells the truth again.
    func alter(_ target: String, _ lie: ((String) throws -> String)?) {
        lock.withLock { lies[target] = lie.map { lie in { (200, try lie($0)) } } }
    }

    /// Answers requests for a path with a failure.
    func fail(_ target: String) {
        lock.withLock { lies[target] = { _ in (502, #"{"reason":"failed","detail":"the disk does not answer"}"#) } }
    }

    /// Shows another envelope, and its version as the one in force.
    func show(_ document: SignedDocument) {
        alter("/v1/documents/\(document.kind.rawValue)") { _ in String(decoding: document.envelope, as: UTF8.self) }
        alterVersion(
            document.kind, ["version": JSONValue(document.version), "digest": .string(document.stamp.digestText)])
    }

    /// Says that a version is in force, or none.
    func alterVersion(_ kind: DocumentKind, _ value: JSONValue?) {
        alter("/v1/documents") { text in
            var state = try JSONReader.parse(Array(text.utf8)).requireObject()
            var versions = try (state["versions"] ?? .null).requireObject()
            versions[kind.rawValue] = value
            state["versions"] = .object(versions)
            return JSONValue.object(state).text()
        }
    }

    private func serve(_ wire: Wire) throws {
        var reader = WireReader(wire)
        while let head = try reader.head() {
            let lines = head.components(separatedBy: "\r\n")
            let first = lines[0].split(separator: " ")
            var fields: [String: String] = [:]
            for line in lines.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                if parts.count == 2 { fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces) }
            }
            let body = try reader.bytes(Int(fields["content-length"] ?? "") ?? 0)
            let (status, text) = try answer(
                String(first[0]), String(first[1]), String(decoding: body, as: UTF8.self), fields["if-match"])
            try wire.send(
                Array("HTTP/1.1 \(status) X\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)".utf8))
        }
        wire.close()
    }

    private func answer(_ method: String, _ target: String, _ body: String, _ base: String?) throws -> (Int, String) {
        let lie = lock.withLock {
            let lie = method == "PUT" ? nil : lies[target]
            if lie != nil, onlyOnce.remove(target) != nil {
                lies[target] = nil
                return (lie, true)
            }
            return (lie, false)
        }
        // What is refused does not reach the agent.
        if let refuse = lie.0, lie.1 { return try refuse("") }
        let answer = try control.request(
            method, target, body.isEmpty ? nil : body, headers: base.map { ["If-Match": $0] } ?? [:])
        return try lie.0?(answer.text) ?? (answer.status, answer.text)
    }
}
