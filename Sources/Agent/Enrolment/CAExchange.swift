import Bytes
import Enrolment
import EventLoop
import HTTP
import JSON
import PKI
import TLS

/// One request to the CA over a TLS connection of its own.
final class CAExchange: BackendConnecting, ByteChannelOwner, TimerHandler {
    typealias Completion = (Result<IssuedIdentity, EnrolmentError>) -> Void

    /// From the connection to the whole answer, in nanoseconds.
    private static let patience: UInt64 = 15_000_000_000

    /// Certificates, roots and a MiB of documents, which are twice as long in text.
    private static let limits: HTTPLimits = {
        var limits = HTTPLimits()
        limits.body = 8 << 20
        return limits
    }()

    private let parts: ChannelLoop
    private let endpoint: Endpoint
    private let path: String
    private let makeBody: (TLSSession) throws -> [UInt8]
    private var completion: Completion?
    private var attempt: DirectAttempt?
    private var channel: ByteChannel?
    private var session: TLSSession?
    private var parser = ResponseParser(limits: limits)
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var timer: TimerID?
    /// Keeps itself alive until it has ended.
    private var own: CAExchange?

    /// Starts to ask; `completion` is called once, later. `makeBody` gets the session once the CA has proven itself.
    init(
        _ endpoint: Endpoint, context: TLSContext, path: String, parts: ChannelLoop,
        body makeBody: @escaping (TLSSession) throws -> [UInt8], completion: @escaping Completion
    ) {
        self.parts = parts
        self.endpoint = endpoint
        self.path = path
        self.makeBody = makeBody
        self.completion = completion
        own = self
        timer = parts.loop.schedule(after: Self.patience, self, tag: 0)
        let attempt = DirectAttempt(self, parts)
        self.attempt = attempt
        let target = DirectTarget(
            endpoint: endpoint,
            security: DirectTarget.Security(
                context: context, expecting: .anyIdentity, serverName: endpoint.address == nil ? endpoint.host : nil))
        attempt.start(target, timeout: Self.patience)
    }

    func backendConnected(_ channel: ByteChannel) {
        self.channel = channel
        channel.owner = self
        session = channel.session
        do {
            guard let session, session.peerIdentity?.spiffe?.path == CertificateAuthority.servicePath else {
                throw EnrolmentError(
                    .notTheCA, "\(endpoint) is \(session?.peerIdentity?.description ?? "nobody"), not the CA",
                    hint: "give the address that stands in the CA's ca.advertise")
            }
            var headers = HTTPHeaders()
            headers.set("Content-Type", "application/json")
            headers.set("Connection", "close")
            let request = try HTTPRequest(
                .post, path, host: "\(endpoint)", headers: headers, body: try makeBody(session))
            try request.encode(into: &channel.output)
            parser.expect(request.head)
        } catch let error as EnrolmentError {
            return finish(.failure(error))
        } catch {
            return finish(.failure(Self.unreachable("the request cannot be written: \(error)")))
        }
        channel.flush()
    }

    func backendFailed(_ failure: BackendFailure) { finish(.failure(Self.error(failure.reason, failure.detail))) }

    func backendWithdrawn(reason: String) {}

    func backendLeaves() {}

    func backendBroke(reason: String) {}

    func channelSecured(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        // The CA refused our certificate: under TLS 1.3 its alert comes when the handshake is over for us.
        if case .tls = error, session?.alertReceived != nil {
            return finish(
                .failure(
                    EnrolmentError(
                        .notAuthenticated, "the CA does not accept this node's certificate: \(error)",
                        hint: "join again: mesh ca token create --node NAME at the CA, then mesh join")))
        }
        finish(.failure(Self.unreachable("\(endpoint): \(error)")))
    }

    func channelReceived(_ channel: ByteChannel) {
        do throws(HTTPError) {
            while let event = try parser.next(&channel.input) {
                switch event {
                case .interim, .trailers, .switched: break
                case .head(let found): head = found
                case .body(let count):
                    channel.input.withReadable { body.append(contentsOf: $0[..<count]) }
                    parser.take(count, from: &channel.input)
                case .end: return answered()
                }
            }
        } catch {
            return finish(.failure(Self.unreachable("\(endpoint) does not answer as a CA: \(error.text)")))
        }
        guard case .open = channel.inputEnd else {
            return finish(.failure(Self.unreachable("\(endpoint) closed the connection without an answer")))
        }
        channel.resumeReading()
    }

    private func answered() {
        guard let head else { return }
        guard head.status == 200 else { return finish(.failure(refusal(head.status))) }
        do throws(EnrolmentError) {
            finish(.success(try IssuedIdentity(parsing: body)))
        } catch {
            finish(.failure(error))
        }
    }

    private func refusal(_ status: Int) -> EnrolmentError {
        let problem = try? JSONReader.parse(body)
        guard let code = problem?["reason"]?.string, let reason = EnrolmentError.Reason(rawValue: code) else {
            return EnrolmentError(
                .badAnswer, "\(endpoint) answered \(status) and does not say why as a CA does",
                hint: "does this address belong to the CA?")
        }
        return EnrolmentError(
            reason, problem?["detail"]?.string ?? code, hint: problem?["hint"]?.string ?? "look at the CA's log")
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        finish(.failure(Self.unreachable("\(endpoint) did not answer in time")))
    }

    /// What a failed connection means: whoever answers with a certificate that is not the CA's is another one.
    private static func error(_ reason: String, _ detail: String) -> EnrolmentError {
        guard CertificateReason(rawValue: reason) != nil else { return unreachable(detail) }
        return EnrolmentError(
            .wrongCA, detail,
            hint: "is the token of this mesh, and the address still the CA's? Then compare both clocks")
    }

    private static func unreachable(_ detail: String) -> EnrolmentError {
        EnrolmentError(.unreachable, detail, hint: "is the CA's agent running, and may this host connect to it?")
    }

    private func finish(_ result: Result<IssuedIdentity, EnrolmentError>) {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
        attempt?.cancel()
        attempt = nil
        channel?.close()
        channel = nil
        session = nil
        let completion = completion
        self.completion = nil
        own = nil
        completion?(result)
    }
}
