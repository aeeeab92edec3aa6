import Bytes
import FuzzSupport
import Gateway
import HTTP

/// The first byte chooses how the edge is set up, the rest is what a client sends. What reaches a service must be what was
/// authorised: it reads back as it was decided, leads to the same route again, and says of the client only what the edge
/// says.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 1 else { return 0 }
    let edge = Edge(flags: start[0])
    var queue = ByteQueue()
    queue.append(UnsafeRawBufferPointer(start: start + 1, count: count - 1))
    var parser = RequestParser()
    var current: Forwarded?
    do throws(HTTPError) {
        while let event = try parser.next(&queue) {
            switch event {
            case .head(let head): current = edge.decide(head)
            case .body(let count):
                queue.withReadable { current?.body += $0.prefix(count) }
                parser.take(count, from: &queue)
            case .trailers(let trailers):
                if let head = current?.received {
                    current?.trailers = ProtectedFields.cleaned(trailers: trailers, head: head.headers)
                }
            case .end:
                current?.check(edge, isComplete: true)
                if current?.head.upgrade.isEmpty == false { return 0 }
                current = nil
                parser.proceed()
            }
        }
    } catch {
        // The head may be on its way already.
        current?.check(edge, isComplete: false)
    }
    return 0
}

private struct Forwarded {
    let received: HTTPRequestHead
    let head: HTTPRequestHead
    let match: RouteMatch
    let client: ClientInfo
    var body: [UInt8] = []
    var trailers = HTTPHeaders()

    func check(_ edge: Edge, isComplete: Bool) {
        var wire = ByteQueue()
        do throws(HTTPError) {
            try HTTPEncoder.encode(head, into: &wire)
            if isComplete {
                var writer = HTTPBodyWriter(head)
                try writer.write(body, into: &wire)
                try writer.finish(trailers: trailers, into: &wire)
            }
        } catch {
            fatalError("what was decided cannot be sent: \(error)")
        }
        var limits = HTTPLimits()
        limits.head *= 4
        limits.fieldCount *= 2
        limits.fieldLine *= 4
        limits.startLine *= 2
        var parser = RequestParser(limits: limits)
        do throws(HTTPError) {
            guard case .head(let again)? = try parser.next(&wire) else { fatalError("no head comes out") }
            require(again.method == received.method, "another method")
            require(again.target == head.target && again.headers == head.headers, "another head")
            checkFields(again, edge)
            checkRoute(again, edge)
            guard isComplete else { return }
            var content: [UInt8] = []
            var seen = HTTPHeaders()
            loop: while let event = try parser.next(&wire) {
                switch event {
                case .head: fatalError("two heads")
                case .body(let count):
                    wire.withReadable { content += $0.prefix(count) }
                    parser.take(count, from: &wire)
                case .trailers(let trailers): seen = trailers
                case .end: break loop
                }
            }
            require(parser.isEnded && wire.isEmpty, "another end")
            require(content == body && seen == trailers, "another content")
            for trailer in seen { require(!ProtectedFields.contains(trailer.name), "a protected trailer") }
        } catch {
            fatalError("what was sent cannot be read: \(error)")
        }
    }

    private func checkRoute(_ again: HTTPRequestHead, _ edge: Edge) {
        guard case .origin(let path, let query) = again.target else { fatalError("not a path") }
        require((try? RequestPath(parsing: path))?.text == path, "a path with another spelling")
        require(path == match.forwardedPath, "another path")
        require(edge.needsToken || query == received.query, "another query")
        let plain = HTTPRequestHead(method: .get, target: .origin(path: match.path, query: match.query))
        require((try? edge.routes.match(plain, host: client.host)) == match, "another route")
    }

    private func checkFields(_ again: HTTPRequestHead, _ edge: Edge) {
        let address = client.address?.description ?? "unknown"
        require(again.headers.values("X-Forwarded-For") == [address], "another address")
        require(again.headers.values("X-Forwarded-Proto") == [client.scheme.rawValue], "another scheme")
        require(again.headers.values("Conduit-Caller") == ["jwt:i/s"], "another caller")
        require(edge.signature.verify(again, service: "s", now: 0) == nil, "a wrong signature")
        for name in ["Host", "X-Request-Id", "traceparent", "Via"] {
            require(again.headers.values(name).count == 1, "\(name) is not there once")
        }
        let own: Set = [
            "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id", "Conduit-Caller",
            "Conduit-Caller-Signature",
        ]
        for field in again.headers where ProtectedFields.contains(field.name) {
            require(own.contains(field.name), "a protected field of the client: \(field.name)")
        }
        if !edge.isTrusted { require(client.address?.description == "10.0.0.1", "a stranger chose his address") }
        require(again.upgrade.allSatisfy { $0 == "websocket" }, "an upgrade to something else")
        if edge.needsToken, let protocols = again.headers["Sec-WebSocket-Protocol"] {
            require(!protocols.contains("bearer."), "a token in the subprotocols")
        }
    }
}

private struct Edge {
    let isTrusted: Bool
    let needsToken: Bool
    let trust: ProxyTrust
    let routes: RouteTable
    let signature = CallerSignature(keyID: "k") { Array($0.reversed()) }

    init(flags: UInt8) {
        isTrusted = flags & 1 == 1
        needsToken = flags & 2 == 2
        let proxies = (try? CIDRSet(parsing: isTrusted ? ["10.0.0.0/8"] : [])) ?? .empty
        trust = ProxyTrust(proxies: proxies)
        let patterns = [
            RoutePattern(path: "/"), RoutePattern(path: "/api"), RoutePattern(path: "/api/admin", rewrite: .strip),
            RoutePattern(path: "/v1/x", rewrite: .replace("/v2")),
            RoutePattern(host: .exact("h"), path: "/a", rewrite: .replace("/")),
        ]
        routes = require(try? RouteTable(patterns), "a table")
    }

    func decide(_ head: HTTPRequestHead) -> Forwarded? {
        do throws(EdgeRefusal) {
            let peer = require(IPAddress(parsing: "10.0.0.1"), "an address")
            let facts = ConnectionFacts(peer: .address(peer, port: 1), isTLS: false, peerHasCertificate: isTrusted)
            let client = try trust.client(of: facts, request: head)
            let match = try routes.match(head, host: client.host)
            let upgrade = try WebSocketUpgrade(head, readsToken: needsToken)
            try OriginPolicy().check(head, client: client)
            let credential = needsToken ? try CredentialReader(readsQuery: true).read(head, upgrade: upgrade) : nil
            var random = Zero()
            let context = RequestRewriter.Context(
                client: client, match: match, requestID: RequestID.of(head.headers, client: client, using: &random),
                trace: TraceContext.of(head.headers, using: &random), service: "s",
                caller: Caller(principal: "jwt:i/s"),
                credential: credential, upgrade: upgrade)
            let forwarded = try RequestRewriter(signature: signature).rewrite(head, context)
            return Forwarded(received: head, head: forwarded, match: match, client: client)
        } catch {
            var queue = ByteQueue()
            require((try? error.response(requestID: "1").encode(into: &queue)) != nil, "an answer that cannot be sent")
            return nil
        }
    }
}

/// Not random at all: the same input does the same.
private struct Zero: RandomNumberGenerator {
    var value: UInt64 = 0
    mutating func next() -> UInt64 {
        value += 1
        return value
    }
}
