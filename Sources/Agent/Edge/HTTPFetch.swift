import Bytes
import EventLoop
import HTTP
import PKI
import Policy
import TLS

/// One request to a server outside of the mesh: for keys of issuers, answers of OCSP responders, CRLs. Bounded in time and size,
/// without redirects, credentials or cookies.
final class HTTPFetch: BackendConnecting, ByteChannelOwner, TimerHandler {
    /// What is asked.
    struct Request: Sendable {
        /// The method.
        var method = HTTPMethod.get
        /// What may come, as Accept has it.
        var accept: String
        /// The body and its type; nil without one.
        var content: (type: String, body: [UInt8])?
    }

    /// What came of it.
    struct Answer: Sendable {
        /// The content.
        let body: [UInt8]
        /// `max-age` of Cache-Control, in seconds.
        let maximumAge: Int64?
    }

    /// Why there is no answer.
    struct Failure: Error, Sendable {
        /// What happened, for the log.
        let text: String
    }

    /// Where something is fetched from.
    struct Source: Sendable, Equatable {
        /// The place.
        let place: FetchURL
        /// Whom to believe; nil where it is no TLS.
        let context: TLSContext?
        private let roots: [Certificate]

        /// The URL as it was written.
        var url: String { place.text }

        /// Whether both mean the same place and believe the same roots.
        static func == (one: Source, other: Source) -> Bool { one.place == other.place && one.roots == other.roots }

        /// A source by its URL, which the configuration has checked. Throws where the roots cannot be read.
        ///
        /// - Parameter ca: PEM files with the roots of a server with TLS; the system's where there are none.
        init(url: String, ca: [String] = []) throws {
            guard let place = FetchURL(url) else {
                throw StartFailure(exitCode: 78, lines: ["\(url) is no URL that can be fetched"])
            }
            try self.init(place, ca: ca)
        }

        /// A source by its place.
        init(_ place: FetchURL, ca: [String] = []) throws {
            self.place = place
            guard place.isSecure else {
                roots = []
                context = nil
                return
            }
            var roots: [Certificate] = []
            for file in ca { roots += try TrustBundle.load(file: file).roots }
            let trust = ca.isEmpty ? try TrustBundle.system() : try TrustBundle(roots: roots)
            self.roots = trust.roots
            context = try TLSContext(.foreignServer(trust: trust))
        }
    }

    private let parts: ChannelLoop
    private let source: Source
    private let request: Request
    private let maximumSize: Int
    private var completion: ((Result<Answer, Failure>) -> Void)?
    private var attempt: DirectAttempt?
    private var channel: ByteChannel?
    private var parser: ResponseParser
    private var body: [UInt8] = []
    private var head: HTTPResponseHead?
    private var timer: TimerID?
    /// Keeps itself alive until it has ended.
    private var own: HTTPFetch?

    /// Starts to fetch; `completion` is called once, later.
    init(
        _ source: Source, _ request: Request, maximumSize: Int, timeout: UInt64, parts: ChannelLoop,
        completion: @escaping (Result<Answer, Failure>) -> Void
    ) {
        self.source = source
        self.request = request
        self.maximumSize = maximumSize
        self.parts = parts
        self.completion = completion
        var limits = HTTPLimits()
        limits.body = maximumSize
        parser = ResponseParser(limits: limits)
        own = self
        timer = parts.loop.schedule(after: timeout, self, tag: 0)
        let attempt = DirectAttempt(self, parts)
        self.attempt = attempt
        let place = source.place
        let security = source.context.map { context in
            DirectTarget.Security(
                context: context, expecting: .foreignServer(host: place.endpoint.host),
                serverName: place.endpoint.address == nil ? place.endpoint.host : nil)
        }
        attempt.start(DirectTarget(endpoint: place.endpoint, security: security), timeout: timeout)
    }

    func backendConnected(_ channel: ByteChannel) {
        self.channel = channel
        channel.owner = self
        do {
            var fields: HTTPHeaders = [
                "Accept": request.accept, "User-Agent": "conduit-mesh", "Connection": "close",
            ]
            if let type = request.content?.type { fields.set("Content-Type", type) }
            let request = try HTTPRequest(
                request.method, source.place.target, host: source.place.authority, headers: fields,
                body: request.content?.body ?? [])
            try request.encode(into: &channel.output)
            parser.expect(request.head)
        } catch {
            return finish(.failure(Failure(text: "the request cannot be written: \(error)")))
        }
        channel.flush()
    }

    func backendFailed(_ failure: BackendFailure) { finish(.failure(Failure(text: failure.detail))) }

    func backendWithdrawn(reason: String) {}

    func backendBroke(reason: String) {}

    func channelSecured(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        finish(.failure(Failure(text: error.description)))
    }

    func channelReceived(_ channel: ByteChannel) {
        do throws(HTTPError) {
            while let event = try parser.next(&channel.input) {
                if try take(event, channel) { return }
            }
            guard case .open = channel.inputEnd else {
                if channel.inputEnd == .clean, let event = try parser.inputEnded(channel.input) {
                    _ = try take(event, channel)
                }
                return finish(.failure(Failure(text: "the server closed the connection before its answer ended")))
            }
        } catch {
            return finish(.failure(Failure(text: error.text)))
        }
        channel.resumeReading()
    }

    /// True when the answer is complete.
    private func take(_ event: ResponseParser.Event, _ channel: ByteChannel) throws(HTTPError) -> Bool {
        switch event {
        case .interim, .trailers, .switched: return false
        case .head(let head):
            self.head = head
            guard head.status == 200 else {
                finish(.failure(Failure(text: "the server answered with status \(head.status)")))
                return true
            }
            return false
        case .body(let count):
            channel.input.withReadable { body.append(contentsOf: $0[..<count]) }
            parser.take(count, from: &channel.input)
            return false
        case .end:
            finish(.success(Answer(body: body, maximumAge: maximumAge)))
            return true
        }
    }

    private var maximumAge: Int64? {
        for directive in head?.headers.list("Cache-Control") ?? [] where directive.lowercased().hasPrefix("max-age=") {
            return Int64(directive.dropFirst("max-age=".count))
        }
        return nil
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        finish(.failure(Failure(text: "no answer in time")))
    }

    /// Gives up; the completion is not called.
    func cancel() {
        completion = nil
        finish(.failure(Failure(text: "cancelled")))
    }

    private func finish(_ result: Result<Answer, Failure>) {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
        attempt?.cancel()
        attempt = nil
        channel?.close()
        channel = nil
        let completion = completion
        self.completion = nil
        own = nil
        completion?(result)
    }
}
