import Bytes
import EventLoop
import HTTP
import PKI
import Policy
import TLS

/// One GET over TLS: for keys of issuers. Bounded in time and size, without redirects, credentials or cookies.
final class HTTPSFetch: BackendConnecting, ByteChannelOwner, TimerHandler {
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
        /// Host and port.
        let endpoint: Endpoint
        /// The Host field.
        let authority: String
        /// Path and query.
        let target: String
        /// The certificate's name.
        let host: String
        /// Whom to believe.
        let context: TLSContext
        let url: String
        private let roots: [Certificate]

        /// Whether both mean the same place and believe the same roots.
        static func == (one: Source, other: Source) -> Bool { one.url == other.url && one.roots == other.roots }

        /// A source by its URL, which the configuration has checked. Throws where the roots cannot be read.
        init(url: String, ca: [String]) throws {
            let rest = url.dropFirst("https://".count)
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            authority = String(rest[..<slash])
            target = slash == rest.endIndex ? "/" : String(rest[slash...])
            endpoint = try (try? Endpoint(parsing: authority)) ?? Endpoint(parsing: authority + ":443")
            host = endpoint.host
            var roots: [Certificate] = []
            for file in ca { roots += try TrustBundle.load(file: file).roots }
            let trust = ca.isEmpty ? try TrustBundle.system() : try TrustBundle(roots: roots)
            self.url = url
            self.roots = trust.roots
            context = try TLSContext(.foreignServer(trust: trust))
        }
    }

    private let parts: ChannelLoop
    private let source: Source
    private let maximumSize: Int
    private var completion: ((Result<Answer, Failure>) -> Void)?
    private var attempt: DirectAttempt?
    private var channel: ByteChannel?
    private var parser: ResponseParser
    private var body: [UInt8] = []
    private var head: HTTPResponseHead?
    private var timer: TimerID?
    /// Keeps itself alive until it has ended.
    private var own: HTTPSFetch?

    /// Starts to fetch; `completion` is called once, later.
    init(
        _ source: Source, maximumSize: Int, timeout: UInt64, parts: ChannelLoop,
        completion: @escaping (Result<Answer, Failure>) -> Void
    ) {
        self.source = source
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
        let isName = source.endpoint.address == nil
        attempt.start(
            DirectTarget(
                endpoint: source.endpoint,
                security: DirectTarget.Security(
                    context: source.context, expecting: .foreignServer(host: source.host),
                    serverName: isName ? source.host : nil)),
            timeout: timeout)
    }

    func backendConnected(_ channel: ByteChannel) {
        self.channel = channel
        channel.owner = self
        do {
            let request = try HTTPRequest(
                .get, source.target, host: source.authority,
                headers: [
                    "Accept": "application/jwk-set+json, application/json", "User-Agent": "conduit-mesh",
                    "Connection": "close",
                ])
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
