import Bytes
import Enrolment
import EventLoop
import HTTP
import JSON
import PKI
import TLS

/// One request to the CA over a TLS connection of its own.
final class CAExchange {
    typealias Completion = (Result<IssuedIdentity, EnrolmentError>) -> Void

    /// From the connection to the whole answer, in nanoseconds.
    private static let patience: UInt64 = 15_000_000_000

    /// Certificates, roots and a MiB of documents, which are twice as long in text.
    private static let limits: HTTPLimits = {
        var limits = HTTPLimits()
        limits.body = 8 << 20
        return limits
    }()

    private let endpoint: Endpoint

    /// Starts to ask; `completion` is called once, later. `makeBody` gets the session once the CA has proven itself.
    @discardableResult
    init(
        _ endpoint: Endpoint, context: TLSContext, path: String, parts: ChannelLoop,
        body makeBody: @escaping (TLSSession) throws -> [UInt8], completion: @escaping Completion
    ) {
        self.endpoint = endpoint
        let target = DirectTarget(
            endpoint: endpoint,
            security: DirectTarget.Security(
                context: context, expecting: .anyIdentity, serverName: endpoint.address == nil ? endpoint.host : nil))
        // The exchange keeps this object until it has ended.
        _ = HTTPExchange(
            target, timeout: Self.patience, limits: Self.limits, parts: parts,
            request: { [self] in try request($0, path, makeBody) },
            completion: { [self] result in
                switch result {
                case .success(let answer): completion(read(answer))
                case .failure(let failure): completion(.failure(error(failure)))
                }
            })
    }

    private func request(
        _ session: TLSSession?, _ path: String, _ makeBody: (TLSSession) throws -> [UInt8]
    ) throws -> HTTPRequest {
        guard let session, session.peerIdentity?.spiffe?.path == CertificateAuthority.servicePath else {
            throw EnrolmentError(
                .notTheCA, "\(endpoint) is \(session?.peerIdentity?.description ?? "nobody"), not the CA",
                hint: "give the address that stands in the CA's ca.advertise")
        }
        var headers = HTTPHeaders()
        headers.set("Content-Type", "application/json")
        headers.set("Connection", "close")
        return try HTTPRequest(.post, path, host: "\(endpoint)", headers: headers, body: try makeBody(session))
    }

    private func read(_ answer: HTTPExchange.Answer) -> Result<IssuedIdentity, EnrolmentError> {
        guard answer.head.status == 200 else { return .failure(refusal(answer)) }
        do throws(EnrolmentError) {
            return .success(try IssuedIdentity(parsing: answer.body))
        } catch {
            return .failure(error)
        }
    }

    private func error(_ failure: HTTPExchange.Failure) -> EnrolmentError {
        switch failure {
        case .connect(let failure): Self.error(failure.reason, failure.detail)
        case .request(let error as EnrolmentError): error
        case .request(let error): Self.unreachable("the request cannot be written: \(error)")
        // The CA refused our certificate: under TLS 1.3 its alert comes when the handshake is over for us.
        case .broken(let error, let alert?):
            EnrolmentError(
                .notAuthenticated, "the CA does not accept this node's certificate: \(error)",
                hint: alert == .certificateExpired
                    ? "compare the clocks of this host and the CA's (date -u, timedatectl); where both are right, join again: mesh ca "
                        + "token create --node NAME at the CA, then mesh join"
                    : "join again: mesh ca token create --node NAME at the CA, then mesh join")
        case .broken(let error, nil): Self.unreachable("\(endpoint): \(error)")
        case .malformed(let error): Self.unreachable("\(endpoint) does not answer as a CA: \(error.text)")
        case .closed: Self.unreachable("\(endpoint) closed the connection without an answer")
        case .timeout: Self.unreachable("\(endpoint) did not answer in time")
        }
    }

    private func refusal(_ answer: HTTPExchange.Answer) -> EnrolmentError {
        let problem = try? JSONReader.parse(answer.body)
        guard let code = problem?["reason"]?.string, let reason = EnrolmentError.Reason(rawValue: code) else {
            return EnrolmentError(
                .badAnswer, "\(endpoint) answered \(answer.head.status) and does not say why as a CA does",
                hint: "does this address belong to the CA?")
        }
        return EnrolmentError(
            reason, problem?["detail"]?.string ?? code, hint: problem?["hint"]?.string ?? "look at the CA's log")
    }

    /// What a failed connection means: whoever answers with a certificate that is not the CA's is another one.
    private static func error(_ reason: String, _ detail: String) -> EnrolmentError {
        let differs: [TLSError.Code] = [.noSharedVersion, .noSharedCipher]
        if differs.contains(where: { $0.rawValue == reason }) {
            return EnrolmentError(
                .unreachable, detail,
                hint:
                    "do tls.profile, tls.cipherSuites and tls.groups of the CA's node go together with those here (mesh join: "
                    + "--profile)? TLS 1.3 is always needed")
        }
        guard let reason = CertificateReason(rawValue: reason) else { return unreachable(detail) }
        if reason == .notYetValid || reason == .expired {
            return EnrolmentError(
                .wrongClock, "\(detail); the CA makes its certificate anew each day, so that a clock is wrong",
                hint:
                    "compare the clocks of this host and the CA's (date -u, timedatectl): timedatectl set-ntp true sets one"
            )
        }
        return EnrolmentError(
            .wrongCA, detail,
            hint:
                "is the token of this mesh, and the address still the CA's? Then compare both clocks. Where the mesh's root "
                + "was replaced while this node was away for long, it joins again: mesh ca token create --node NAME on the CA's node"
        )
    }

    private static func unreachable(_ detail: String) -> EnrolmentError {
        EnrolmentError(.unreachable, detail, hint: "is the CA's agent running, and may this host connect to it?")
    }
}
