/// What a server stapled, and what that means for whoever dials it.
public enum StapleReview {
    /// What came of a staple that did not end the handshake.
    public enum Outcome: Sendable, Equatable {
        /// Nothing was stapled, and nothing had to be.
        case absent
        /// The issuer says that the certificate is good.
        case good(OCSPAnswer)
        /// The staple says nothing, and the certificate does not demand one: as if it were absent.
        case ignored(OCSPError)
        /// The responder does not know the certificate.
        case unknown

        /// The outcome as metrics have it.
        public var code: String {
            switch self {
            case .absent: "absent"
            case .good: "good"
            case .ignored(let error): error.code.rawValue
            case .unknown: "unknown"
            }
        }

        /// The answer, where it says that the certificate is good.
        public var answer: OCSPAnswer? {
            if case .good(let answer) = self { answer } else { nil }
        }
    }

    /// Judges the staple of a verified chain, leaf first.
    ///
    /// - Parameters:
    ///   - staple: what came in the handshake; nil where nothing did.
    ///   - isDemanded: a staple is demanded here, whatever the certificate says.
    ///
    /// Errors: `revoked`; where a staple is demanded, here or by the certificate (RFC 7633), `staple_missing` and `bad_staple`.
    public static func review(
        _ staple: [UInt8]?, of chain: [Certificate], isDemanded: Bool = false, now: Int64
    ) throws(CertificateError) -> Outcome {
        // Who is trusted by itself has no issuer that could say anything.
        guard let subject = OCSPSubject(chain: chain) else { return .absent }
        let demands = isDemanded || subject.certificate.demandsStaple
        guard let staple, !staple.isEmpty else {
            guard !demands else {
                throw CertificateError(
                    .stapleMissing,
                    "a stapled OCSP response is demanded of \(subject.certificate.subject) \(who(subject)), and none came",
                    hint: "let the server fetch and staple one; "
                        + (subject.certificate.demandsStaple
                            ? "an agent does so by ocsp.staple. Or issue its certificate without must-staple"
                            : "or set staple to \"soft\"")
                )
            }
            return .absent
        }
        let answer: OCSPAnswer
        do throws(OCSPError) {
            answer = try OCSPAnswer(der: staple, about: subject, now: now)
        } catch {
            guard !demands else { throw .badStaple(subject, error.description) }
            return .ignored(error)
        }
        switch answer.status {
        case .good: return .good(answer)
        case .revoked(let time, let reason): throw .revoked(subject, at: time, reason)
        case .unknown where demands: throw .badStaple(subject, "its issuer's responder does not know it")
        case .unknown: return .unknown
        }
    }

    /// By whom a staple is demanded.
    fileprivate static func who(_ subject: OCSPSubject) -> String {
        subject.certificate.demandsStaple ? "by its certificate" : "here"
    }
}

extension CertificateError {
    /// The issuer says that it has withdrawn the certificate.
    public static func revoked(_ subject: OCSPSubject, at time: Int64, _ reason: String?) -> CertificateError {
        CertificateError(
            .revoked,
            "the certificate of \(subject.certificate.subject), serial \(subject.certificate.serialHex), is revoked since "
                + UTCTime.text(time) + (reason.map { " (\($0))" } ?? "") + ", its issuer's OCSP responder says",
            hint: PeerVerification.reissue)
    }

    static func badStaple(_ subject: OCSPSubject, _ text: String) -> CertificateError {
        CertificateError(
            .badStaple,
            "a stapled OCSP response is demanded of \(subject.certificate.subject) \(StapleReview.who(subject)), and what came "
                + "is none: \(text)",
            hint:
                "look at it: openssl s_client -connect HOST:PORT -status; the server's log says why it has no better one"
        )
    }
}
