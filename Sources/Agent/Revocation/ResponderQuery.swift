import EventLoop
import HTTP
import PKI
import TLS

/// One question to an OCSP responder (RFC 6960, appendix A.1): by POST, which is not cached on the way.
enum ResponderQuery {
    /// Asks; `done` is called once, later, unless the fetch is cancelled. `profile` says what may be negotiated over TLS.
    static func start(
        _ subject: OCSPSubject, at responder: FetchURL, under profile: TLSProfile, timeout: UInt64, parts: ChannelLoop,
        done: @escaping (Result<OCSPAnswer, QueryFailure>) -> Void
    ) -> HTTPFetch? {
        do {
            let request = HTTPFetch.Request(
                method: .post, accept: "application/ocsp-response",
                content: ("application/ocsp-request", try subject.request()))
            return HTTPFetch(
                try HTTPFetch.Source(responder, under: profile), request, maximumSize: OCSPAnswer.sizeLimit,
                timeout: timeout, parts: parts
            ) { result in
                let body = result.mapError { QueryFailure(code: "unreachable", text: $0.text) }
                done(body.flatMap { read($0.body, subject) })
            }
        } catch {
            done(.failure(QueryFailure(code: "unreachable", text: Agent.lines(of: error).joined(separator: "; "))))
            return nil
        }
    }

    private static func read(_ body: [UInt8], _ subject: OCSPSubject) -> Result<OCSPAnswer, QueryFailure> {
        do throws(OCSPError) {
            return .success(try OCSPAnswer(der: body, about: subject, now: Clock.unixSeconds()))
        } catch {
            return .failure(QueryFailure(code: error.code.rawValue, text: error.message))
        }
    }
}

/// Why a responder's answer is of no use.
struct QueryFailure: Error, Sendable {
    /// `unreachable`, or an `OCSPError.Code`.
    let code: String
    /// What happened.
    let text: String
}
