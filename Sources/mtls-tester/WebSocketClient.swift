import Bytes
import EventLoop
import HTTP
import TLS
import WebSocket

/// The upgrade to WebSocket on a connection, as the node's peers do it.
final class WebSocketClient {
    /// How the upgrade ended.
    enum Upgrade {
        /// The node switched; with this subprotocol.
        case accepted(String?)
        /// Another status than 101, and the reason in its body if it gave one.
        case refused(status: Int, reason: String?)
        /// An answer that is no WebSocket handshake.
        case malformed(String)
        /// No answer.
        case ended(PeerAnswer)
    }

    /// The subprotocol of links.
    static let linkProtocol = "conduit.link.v1"
    /// A refusal's body that is read, at most.
    private static let maximumBody = 8 << 10
    /// How long an alert may take to follow a session ticket, in nanoseconds.
    private static let patienceAfterTicket: UInt64 = 150 * Clock.millisecond

    let wire: Wire
    /// What came behind the upgrade.
    var plain = ByteQueue()

    init(_ wire: Wire) { self.wire = wire }

    /// Asks for the upgrade and waits for the answer.
    func upgrade(host: String, path: String, protocols: [String], isProbe: Bool = false) -> Upgrade {
        let key = Handshake.key(random: (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)))
        do throws(Handshake.InvalidHeader) {
            wire.send(try Handshake.clientRequest(host: host, path: path, protocols: protocols, key: key))
        } catch {
            return .malformed("\(error)")
        }
        var parser = ResponseParser()
        parser.expect(.get, offersUpgrade: true)
        var head: HTTPResponseHead?
        var body: [UInt8] = []
        while true {
            do throws(HTTPError) {
                while let event = try parser.next(&plain) {
                    switch event {
                    case .interim, .trailers: break
                    case .head(let found): head = found
                    case .switched:
                        guard let head else { return .malformed("no head") }
                        return judge(head, key, protocols)
                    case .body(let count):
                        plain.withReadable { body += $0[..<min(count, Self.maximumBody - body.count)] }
                        parser.take(count, from: &plain)
                    case .end: return .refused(status: head?.status ?? 0, reason: ProblemText.reason(body))
                    }
                }
            } catch {
                if let head, head.status != 101 {
                    return .refused(status: head.status, reason: ProblemText.reason(body))
                }
                return .malformed(error.text)
            }
            switch wire.receive(patienceAfterQuiet: isProbe ? Self.patienceAfterTicket : nil) {
            case .bytes(let bytes): plain.append(bytes)
            case .failed(let error): return .ended(PeerAnswer(error, wire))
            case .closed(let clean):
                if let head { return .refused(status: head.status, reason: ProblemText.reason(body)) }
                if !plain.isEmpty { return .malformed("the answer ends early") }
                let how =
                    wire.isReset
                    ? "connection reset, without an alert"
                    : clean ? "session closed, without an answer" : "connection closed, without an alert"
                return .ended(.closed(how: how))
            case .timedOut:
                if let head { return .refused(status: head.status, reason: nil) }
                if isProbe, wire.quietRecords > 0 { return .ended(.letIn("with a session ticket")) }
                return .ended(.silent)
            }
        }
    }

    private func judge(_ head: HTTPResponseHead, _ key: String, _ protocols: [String]) -> Upgrade {
        let checked = Handshake.checkResponse(
            status: head.status, headers: { head.headers.values($0) }, key: key, protocols: protocols)
        switch checked {
        case .success(let response): return .accepted(response.selectedProtocol)
        case .failure(let error): return .malformed("\(error)")
        }
    }
}

extension WebSocketClient.Upgrade {
    /// The same as an answer to whether the connection was let in.
    var answer: PeerAnswer {
        switch self {
        case .accepted: .letIn("101 Switching Protocols")
        case .refused(let status, _): .letIn("HTTP status \(status)")
        case .malformed(let text): .letIn("with data that is no WebSocket handshake (\(text))")
        case .ended(let answer): answer
        }
    }

    /// In words.
    var text: String {
        switch self {
        case .refused(let status, let reason?): "HTTP status \(status), \(reason)"
        case .refused(let status, nil): "HTTP status \(status)"
        case .accepted(let name): "101 Switching Protocols\(name.map { ", \($0)" } ?? "")"
        case .malformed(let text): text
        case .ended(let answer): answer.text
        }
    }
}
