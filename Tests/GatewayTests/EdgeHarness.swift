import Bytes
import CSodium
import Gateway
import HTTP
import SeededRandom

/// A whole edge without sockets: bytes of a client in, what the services get out.
struct EdgeHarness {
    /// What became of one request.
    enum Outcome: Equatable {
        /// It was refused with that answer.
        case refused(status: Int, reason: String)
        /// It went to that service, in these bytes.
        case forwarded(service: String, head: HTTPRequestHead, body: [UInt8], trailers: HTTPHeaders)

        /// As the table of requests says it.
        var text: String {
            switch self {
            case .refused(let status, let reason): "\(status) `\(reason)`"
            case .forwarded(let service, let head, _, _): "to `\(service)`: `\(head.method) \(head.target)`"
            }
        }
    }

    static let services = ["web", "api", "admin"]

    var trust = ProxyTrust.nobody
    var facts = ConnectionFacts(peer: .address(ip("203.0.113.9"), port: 4000), isTLS: true)
    var hosts = HostList(["edge.example.org", "*.apps.example.org"].compactMap { HostPattern(parsing: $0) })
    var origins = OriginPolicy()
    var rewriter = RequestRewriter(signature: EdgeHarness.signature)
    var needsToken = false
    let routes: RouteTable

    init() {
        do {
            routes = try RouteTable([
                RoutePattern(path: "/"), RoutePattern(path: "/api"), RoutePattern(path: "/api/admin", rewrite: .strip),
            ])
        } catch { preconditionFailure("\(error)") }
    }

    /// HMAC-SHA256 of libsodium.
    static let signature = CallerSignature(keyID: "edge-1") { message in
        let key = [UInt8](repeating: 7, count: 32)
        var mac = [UInt8](repeating: 0, count: 32)
        crypto_auth_hmacsha256(&mac, message, UInt64(message.count), key)
        return mac
    }

    static let caller = Caller(
        principal: "jwt:https://issuer.example/alice", groups: ["a,b", "staff"], commonName: "Ål 50%")

    /// Decides about one head: the request for the service, or the refusal.
    func decide(_ head: HTTPRequestHead) throws(EdgeRefusal) -> (
        service: String, client: ClientInfo, head: HTTPRequestHead
    ) {
        let client = try trust.client(of: facts, request: head)
        try hosts.check(client.host)
        let match = try routes.match(head, host: client.host)
        let upgrade = try WebSocketUpgrade(head, readsToken: needsToken)
        try origins.check(head, client: client)
        let credential = needsToken ? try CredentialReader(readsQuery: true).read(head, upgrade: upgrade) : nil
        var random = SeededRandom(1)
        let context = RequestRewriter.Context(
            client: client, match: match, requestID: RequestID.of(head.headers, client: client, using: &random),
            trace: TraceContext.of(head.headers, using: &random), service: Self.services[match.route],
            caller: Self.caller, credential: credential, upgrade: upgrade, time: 1_700_000_000)
        return (Self.services[match.route], client, try rewriter.rewrite(head, context))
    }

    /// What becomes of everything that one client sends.
    func run(_ wire: [UInt8], limits: HTTPLimits = HTTPLimits()) -> [Outcome] {
        var parser = RequestParser(limits: limits)
        var queue = ByteQueue()
        queue.append(wire)
        var outcomes: [Outcome] = []
        do {
            while let event = try parser.next(&queue) {
                switch event {
                case .head(let head):
                    do throws(EdgeRefusal) {
                        let decided = try decide(head)
                        outcomes.append(
                            .forwarded(service: decided.service, head: decided.head, body: [], trailers: HTTPHeaders()))
                    } catch {
                        outcomes.append(.refused(status: error.status, reason: error.reason))
                        if error.closesConnection { return outcomes }
                    }
                case .body(let count):
                    let content = queue.withReadable { Array($0.prefix(count)) }
                    if case .forwarded(let service, let head, let body, let trailers)? = outcomes.last {
                        outcomes[outcomes.count - 1] = .forwarded(
                            service: service, head: head, body: body + content, trailers: trailers)
                    }
                    parser.take(count, from: &queue)
                case .trailers(let trailers):
                    if case .forwarded(let service, let head, let body, _)? = outcomes.last {
                        outcomes[outcomes.count - 1] = .forwarded(
                            service: service, head: head, body: body,
                            trailers: ProtectedFields.cleaned(trailers: trailers, head: head.headers))
                    }
                case .end:
                    if case .forwarded(_, let head, _, _)? = outcomes.last, !head.upgrade.isEmpty { return outcomes }
                    parser.proceed()
                }
            }
            try parser.inputEnded(queue)
        } catch {
            let refusal = EdgeRefusal(error)
            outcomes.append(.refused(status: refusal.status, reason: refusal.reason))
        }
        return outcomes
    }
}
