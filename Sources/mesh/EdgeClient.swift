import Arguments
import Bytes
import EventLoop
import Glibc
import HTTP
import JOSE
import JSON
import PKI
import TLS
import WebSocket

/// Opens a service's stream at an edge: `GET /v1/connect/SERVICE` as a WebSocket (docs/connect.md).
struct EdgeClient {
    /// The subprotocol of a service's stream.
    static let streamProtocol = "conduit.stream.v1"
    /// A refusal's body that is read, at most.
    private static let maximumBody = 64 << 10

    private let edge: EdgeAddress
    private let context: TLSContext?
    private let credential: EdgeCredential?

    /// What the command line says about edge and credentials.
    init(_ invocation: Invocation) throws(CommandFailure) {
        edge = try EdgeAddress(invocation.string("edge") ?? "")
        context = edge.isSecure ? try Self.context(invocation) : nil
        credential = try EdgeCredential(invocation)
    }

    private static func context(_ invocation: Invocation) throws(CommandFailure) -> TLSContext {
        let files = (invocation.string("certificate-file"), invocation.string("private-key-file"))
        do throws(CertificateError) {
            var credentials: Credentials?
            switch files {
            case (let certificate?, let key?):
                credentials = try Credentials.load(certificateFile: certificate, keyFile: key)
            case (nil, nil): break
            default:
                throw CertificateError(
                    .badRequest, "--certificate-file and --private-key-file belong together", hint: "give both")
            }
            let trust: TrustBundle
            if let file = invocation.string("ca-file") {
                trust = try TrustBundle.load(file: file)
            } else {
                trust = try TrustBundle.system()
            }
            return try context(trust, credentials)
        } catch {
            throw CommandFailure(error)
        }
    }

    private static func context(
        _ trust: TrustBundle, _ credentials: Credentials?
    ) throws(CertificateError) -> TLSContext {
        do throws(TLSError) {
            return try TLSContext(.foreignServer(trust: trust, credentials: credentials))
        } catch {
            throw error.certificate ?? CertificateError(.libraryFailure, error.message, hint: error.hint)
        }
    }

    /// A WebSocket to the service, with what was received behind the handshake in the wire's input.
    func open(_ service: String) throws(CommandFailure) -> EdgeWire {
        var nonce: String?
        // A nonce that ran out between two of our own requests is the edge's word to try once more.
        for _ in 0..<3 {
            let wire = try EdgeWire(edge, context)
            switch try ask(wire, service, nonce) {
            case .switched: return wire
            case .wantsNonce(let wanted): nonce = wanted
            }
        }
        throw CommandFailure(
            .denied, "use_dpop_nonce", "the edge asks for another DPoP nonce again and again",
            hint: "are there several edges behind one address that do not share their nonces?")
    }

    private enum Answer {
        case switched
        case wantsNonce(String)
    }

    private func ask(_ wire: EdgeWire, _ service: String, _ nonce: String?) throws(CommandFailure) -> Answer {
        let path = "\(edge.base)/v1/connect/\(service)"
        let key = Handshake.key(random: (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)))
        let fields = try credential?.fields(for: edge.origin + path, nonce: nonce) ?? []
        let request: [UInt8]
        do throws(Handshake.InvalidHeader) {
            request = try Handshake.clientRequest(
                host: edge.authority, path: path, protocols: [Self.streamProtocol], key: key,
                extraHeaders: [("User-Agent", "mesh/\(VersionCommand.version)")] + fields)
        } catch {
            throw .usage("\(error)", hint: "are URL and token what they should be?")
        }
        request.withUnsafeBytes { wire.send($0) }
        var parser = ResponseParser()
        parser.expect(.get, offersUpgrade: true)
        var head: HTTPResponseHead?
        var body: [UInt8] = []
        let deadline = Clock.monotonicNanoseconds() + 2 * EdgeWire.patience
        while true {
            while let event = try next(&parser, wire) {
                switch event {
                case .interim, .trailers: break
                case .head(let found): head = found
                case .body(let count):
                    wire.input.withReadable { body += $0[..<min(count, max(0, Self.maximumBody - body.count))] }
                    parser.take(count, from: &wire.input)
                case .switched:
                    try check(head, key)
                    return .switched
                case .end: return try refused(head, body)
                }
            }
            wire.flush()
            let events = POLLIN | (wire.pendingOutput > 0 ? POLLOUT : 0)
            guard EdgeWire.wait(wire.descriptor, events, until: deadline) else {
                throw CommandFailure(
                    .unreachable, "edge_silent", "the edge did not answer in time", hint: "look at the edge's log")
            }
            switch wire.receive() {
            case .some, .nothing: continue
            case .end, .broken:
                if let error = wire.failure { throw EdgeWire.failure(error, edge) }
                // A body may end with the connection.
                if let head, head.status != 101 { return try refused(head, body) }
                throw CommandFailure(
                    .unreachable, "edge_gone", "\(edge.authority) closed the connection without an answer",
                    hint: edge.isSecure
                        ? "is it an edge? Its log says why" : "does that port speak TLS? Then write https://")
            }
        }
    }

    private func next(
        _ parser: inout ResponseParser, _ wire: EdgeWire
    ) throws(CommandFailure) -> ResponseParser.Event? {
        do throws(HTTPError) {
            return try parser.next(&wire.input)
        } catch {
            throw notAnEdge(error.text)
        }
    }

    private func check(_ head: HTTPResponseHead?, _ key: String) throws(CommandFailure) {
        guard let head else { return }
        let checked = Handshake.checkResponse(
            status: head.status, headers: { head.headers.values($0) }, key: key, protocols: [Self.streamProtocol])
        if case .failure(let error) = checked { throw notAnEdge("\(error)") }
    }

    private func notAnEdge(_ text: String) -> CommandFailure {
        CommandFailure(
            .failure, "bad_answer", "\(edge.authority) does not answer as an edge does: \(text)",
            hint: "check the URL; is there a proxy in between that does not pass WebSocket on?")
    }

    // MARK: - Refusals

    private func refused(_ head: HTTPResponseHead?, _ body: [UInt8]) throws(CommandFailure) -> Answer {
        guard let head else { throw notAnEdge("no answer") }
        let nonce = head.headers["DPoP-Nonce"]
        let wanted = head.headers.values("WWW-Authenticate").contains { $0.contains("use_dpop_nonce") }
        if head.status == 401, wanted, let nonce, credential?.makesProofs == true { return .wantsNonce(nonce) }
        var failure = ControlProblem.failure(head.status, body, hint: hint(head))
        if let hint = Self.hints[failure.reason] { failure.hint = hint }
        // The edge answers a WebSocket and says wss://; here it is called as everywhere else.
        if failure.reason == "tls_required" { failure.hint = "write https://\(edge.authority)\(edge.base)" }
        // An answer that no edge gives is from whatever stands at that address or in between.
        guard !failure.reason.hasPrefix("http_") else {
            throw CommandFailure(
                failure.exit, failure.reason, "\(edge.authority) answered \(head.status) and does not say why",
                hint: hint(head))
        }
        throw failure
    }

    /// Where the reason says more than the status what to do.
    private static let hints = [
        "routed_service": "use the URL of its route instead, or a service without one",
        "dpop_scheme_required": "this token is bound to a key: add --dpop KEYFILE",
        "missing_dpop_proof": "this token is bound to a key: add --dpop KEYFILE",
        "token_not_bound": "this token is not bound to a key: leave --dpop out",
    ]

    private func hint(_ head: HTTPResponseHead) -> String {
        switch head.status {
        case 401:
            credential == nil
                ? "say who you are: --token-file FILE or --api-key-file FILE"
                : "mesh token inspect shows what the token says and when it ends"
        case 403:
            "ask whoever writes the mesh's policy; at the edge's node "
                + "mesh why --from PRINCIPAL --as-node NODE --to SERVICE explains it"
        case 404: "check the service's name and the edge's URL"
        case 426: "a proxy in between does not pass WebSocket on"
        case 429:
            head.headers["Retry-After"].map { "try again in \($0) seconds" } ?? "try again a little later"
        case 502...504: "the service's node or its target is down; try again later"
        default: "look at the edge's log"
        }
    }
}

/// What the command line gives to prove who asks.
struct EdgeCredential {
    private enum Kind {
        case bearer(String)
        case dpop(String, DPoPKey)
        case apiKey(String)
    }

    private let kind: Kind

    /// Nil without a token or key: a client certificate may be enough.
    init?(_ invocation: Invocation) throws(CommandFailure) {
        if let file = invocation.string("api-key-file") {
            guard invocation.string("dpop") == nil else {
                throw .usage("--dpop is for tokens", hint: "leave it out beside --api-key-file")
            }
            let bytes = try TokenFiles.contents(file, isSecret: true, make: "make one: mesh apikey create NAME")
            let key = try Self.firstWord(bytes, file)
            guard CredentialText.isAPIKey(key) else {
                throw Self.malformed(
                    file, "no API key", "an API key begins with cmk_: mesh apikey create NAME makes one")
            }
            kind = .apiKey(key)
            return
        }
        guard let file = invocation.string("token-file") ?? invocation.string("token") else {
            guard invocation.string("dpop") == nil else {
                throw .usage("--dpop needs a token", hint: "give the token that is bound to the key: --token-file FILE")
            }
            return nil
        }
        let token = file == "-" ? try Self.fromInput() : try TokenFiles.token(file)
        // Whatever a file given by mistake holds is not for the edge, which may be anybody's.
        guard CredentialText.isToken(token) || CredentialText.isAPIKey(token) else {
            throw Self.malformed(
                file == "-" ? "standard input" : file, "no token",
                "a token is three parts of letters, digits, - and _ with dots between them (JWT); was another file meant?"
            )
        }
        kind =
            try invocation.string("dpop").map { (key) throws(CommandFailure) in
                .dpop(token, try TokenDPoPCommand.key(key))
            } ?? .bearer(token)
    }

    /// Whether a nonce of the edge can be answered.
    var makesProofs: Bool { if case .dpop = kind { true } else { false } }

    /// The request's fields.
    func fields(for url: String, nonce: String?) throws(CommandFailure) -> [(name: String, value: String)] {
        switch kind {
        case .bearer(let token): return [("Authorization", "Bearer \(token)")]
        case .apiKey(let key): return [("X-API-Key", key)]
        case .dpop(let token, let key):
            do throws(JOSEError) {
                let proof = try key.proof(
                    method: "GET", url: url, token: token, nonce: nonce, at: Clock.unixSeconds(),
                    random: TokenFiles.random(DPoPKey.randomBytes))
                return [("Authorization", "DPoP \(token)"), ("DPoP", proof)]
            } catch {
                throw CommandFailure(error)
            }
        }
    }

    private static func malformed(_ place: String, _ what: String, _ hint: String) -> CommandFailure {
        CommandFailure(.certificate, "malformed_credential", "\(place) holds \(what); nothing was sent", hint: hint)
    }

    private static func firstWord(_ bytes: [UInt8], _ file: String) throws(CommandFailure) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        let word = text.drop { $0.isWhitespace }.prefix { !$0.isWhitespace }
        guard !word.isEmpty else {
            throw CommandFailure(.failure, "empty_token", "\(file) is empty", hint: "give a file with the API key")
        }
        return String(word)
    }

    /// The first line of standard input, byte by byte: what follows is for the service.
    private static func fromInput() throws(CommandFailure) -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while line.count <= 32 << 10 {
            let count = read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            if count <= 0 || byte == UInt8(ascii: "\n") {
                return try firstWord(line, "the first line of standard input")
            }
            line.append(byte)
        }
        throw CommandFailure(
            .failure, "too_large", "the first line of standard input is longer than any token", hint: "give one token")
    }
}
