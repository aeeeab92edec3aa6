import EventLoop
import HTTP
import PKI
import TLS

/// One request to a server outside of the mesh: for keys of issuers, answers of OCSP responders, CRLs. Bounded in time and size,
/// without redirects, credentials or cookies.
final class HTTPFetch {
    /// What is asked.
    struct Request: Sendable {
        /// The method.
        var method = HTTPMethod.get
        /// What may come, as Accept has it.
        var accept: String
        /// The body and its type; nil without one.
        var content: (type: String, body: [UInt8])?
        /// More fields.
        var headers: [(name: String, value: String)] = []
        /// The statuses that mean success.
        var accepted: ClosedRange<Int> = 200...200

        fileprivate func made(for source: Source) throws -> HTTPRequest {
            var fields: HTTPHeaders = ["Accept": accept, "User-Agent": "conduit-mesh", "Connection": "close"]
            if let type = content?.type { fields.set("Content-Type", type) }
            for field in headers { fields.set(field.name, field.value) }
            return try HTTPRequest(
                method, source.place.target, host: source.place.authority, headers: fields, body: content?.body ?? [])
        }
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
        /// The status of an answer that is no success; nil where there was none.
        var status: Int?
    }

    /// Where something is fetched from.
    struct Source: Sendable, Equatable {
        /// The place.
        let place: FetchURL
        /// Whom to believe; nil where it is no TLS.
        let context: TLSContext?
        private let roots: [Certificate]
        private let profile: TLSProfile

        /// The URL as it was written.
        var url: String { place.text }

        /// Whether both mean the same place, believe the same roots and negotiate the same.
        static func == (one: Source, other: Source) -> Bool {
            one.place == other.place && one.roots == other.roots && one.profile == other.profile
        }

        /// Whom to connect to.
        fileprivate var target: DirectTarget {
            let endpoint = place.endpoint
            let security = context.map { context in
                DirectTarget.Security(
                    context: context, expecting: .foreignServer(host: endpoint.host),
                    serverName: endpoint.address == nil ? endpoint.host : nil)
            }
            return DirectTarget(endpoint: endpoint, security: security)
        }

        /// A source by its URL, which the configuration has checked. Throws where the roots cannot be read.
        ///
        /// - Parameters:
        ///   - ca: PEM files with the roots of a server with TLS; the system's where there are none.
        ///   - profile: what may be negotiated with it.
        init(url: String, ca: [String] = [], under profile: TLSProfile) throws {
            guard let place = FetchURL(url) else {
                throw StartFailure(exitCode: 78, lines: ["\(url) is no URL that can be fetched"])
            }
            try self.init(place, ca: ca, under: profile)
        }

        /// A source by its place.
        init(_ place: FetchURL, ca: [String] = [], under profile: TLSProfile) throws {
            self.place = place
            self.profile = profile
            guard place.isSecure else {
                roots = []
                context = nil
                return
            }
            var roots: [Certificate] = []
            for file in ca { roots += try TrustBundle.load(file: file).roots }
            let trust = ca.isEmpty ? try TrustBundle.system() : try TrustBundle(roots: roots)
            self.roots = trust.roots
            var configuration = TLSContext.Configuration.foreignServer(trust: trust)
            configuration.terms = profile.terms
            context = try TLSContext(configuration)
        }
    }

    private let exchange: HTTPExchange

    /// Starts to fetch; `completion` is called once, later.
    ///
    /// - Parameter timeout: from the connection to the whole answer, in nanoseconds.
    init(
        _ source: Source, _ request: Request, maximumSize: Int, timeout: UInt64, parts: ChannelLoop,
        completion: @escaping (Result<Answer, Failure>) -> Void
    ) {
        var limits = HTTPLimits()
        limits.body = maximumSize
        exchange = HTTPExchange(
            source.target, timeout: timeout, limits: limits, parts: parts,
            request: { _ in try request.made(for: source) },
            wantsBody: { request.accepted.contains($0.status) },
            completion: { result in
                completion(
                    result.mapError { Failure(text: Self.text(of: $0)) }.flatMap { answer in
                        let status = answer.head.status
                        guard request.accepted.contains(status) else {
                            return .failure(Failure(text: "the server answered with status \(status)", status: status))
                        }
                        return .success(Answer(body: answer.body, maximumAge: Self.maximumAge(answer.head)))
                    })
            })
    }

    private static func text(of failure: HTTPExchange.Failure) -> String {
        switch failure {
        case .connect(let failure): failure.detail
        case .request(let error): "the request cannot be written: \(error)"
        case .broken(let error, _): error.description
        case .malformed(let error): error.text
        case .closed: "the server closed the connection before its answer ended"
        case .timeout: "no answer in time"
        }
    }

    private static func maximumAge(_ head: HTTPResponseHead) -> Int64? {
        for directive in head.headers.list("Cache-Control") where directive.lowercased().hasPrefix("max-age=") {
            return Int64(directive.dropFirst("max-age=".count))
        }
        return nil
    }

    /// Gives up; the completion is not called.
    func cancel() { exchange.cancel() }
}
