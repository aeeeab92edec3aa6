import COpenSSL
import Glibc

/// What a responder said of one certificate, believed: signed by whom it may be, about this certificate, in its time
/// (RFC 6960, section 3.2).
public struct OCSPAnswer: Sendable, Equatable {
    /// The state of a certificate (section 2.2).
    public enum Status: Sendable, Equatable {
        /// It is not revoked.
        case good
        /// It is, since then (unix seconds), for this reason ("keyCompromise"; nil where none is given).
        case revoked(at: Int64, reason: String?)
        /// The responder does not know the certificate.
        case unknown

        /// The state as metrics and JSON have it.
        public var code: String {
            switch self {
            case .good: "good"
            case .revoked: "revoked"
            case .unknown: "unknown"
            }
        }
    }

    /// The state.
    public let status: Status
    /// When the state was known to be right, unix seconds.
    public let thisUpdate: Int64
    /// Up to when the answer counts, unix seconds: when newer information comes; an hour after `thisUpdate` where the responder
    /// does not say.
    public let validUntil: Int64
    /// The whole response in DER, to be stapled or kept.
    public let der: [UInt8]

    /// How far clocks may differ, in seconds: as much as the CA allows for when it issues.
    public static let clockSkew = CertificateAuthority.backdating
    /// How long an answer without nextUpdate counts, in seconds: the responder has newer information at any time.
    public static let validityWithoutNextUpdate: Int64 = 3600
    /// The largest response that is read, in bytes: a signature, a few certificates, one certificate's state.
    public static let sizeLimit = 64 << 10
    /// More states than this in one response are not looked through.
    static let maximumSingles: Int32 = 64

    /// Reads and judges a response in DER at `now`, unix seconds.
    ///
    /// Errors: every `OCSPError.Code`.
    public init(der: [UInt8], about subject: OCSPSubject, now: Int64, skew: Int64 = clockSkew) throws(OCSPError) {
        let response = try OCSPResponse(der: der)
        let answer = try Self.judged(try response.state(of: subject), der, now, skew)
        try response.verifySignature(issuer: subject.issuer, now: now)
        self = answer
    }

    private init(status: Status, thisUpdate: Int64, validUntil: Int64, der: [UInt8]) {
        self.status = status
        self.thisUpdate = thisUpdate
        self.validUntil = validUntil
        self.der = der
    }

    private static func judged(
        _ single: OCSPResponse.Single, _ der: [UInt8], _ now: Int64, _ skew: Int64
    ) throws(OCSPError) -> OCSPAnswer {
        guard single.thisUpdate <= now + skew else {
            throw OCSPError(.notYetValid, "the response is of \(UTCTime.text(single.thisUpdate)), which is yet to come")
        }
        let end = single.nextUpdate ?? single.thisUpdate + validityWithoutNextUpdate
        guard now < end + skew else { throw OCSPError(.expired, "the response was valid until \(UTCTime.text(end))") }
        guard end > single.thisUpdate else {
            throw OCSPError(.malformed, "the response ends before it begins")
        }
        return OCSPAnswer(status: single.status, thisUpdate: single.thisUpdate, validUntil: end, der: der)
    }

    /// Whether the answer still counts.
    public func isValid(at now: Int64, skew: Int64 = clockSkew) -> Bool { now < validUntil + skew }
}

/// A response that was read, not believed yet. The memory is OpenSSL's.
final class OCSPResponse {
    /// What stands in the response about one certificate.
    struct Single {
        var status: OCSPAnswer.Status
        var thisUpdate: Int64
        var nextUpdate: Int64?
    }

    private let basic: OpaquePointer

    init(der: [UInt8]) throws(OCSPError) {
        guard der.count <= OCSPAnswer.sizeLimit,
            let response = decodeDER(der, { d2i_OCSP_RESPONSE(nil, $0, $1) }, free: { OCSP_RESPONSE_free($0) })
        else {
            _ = OpenSSLErrors.drain()
            throw OCSPError(.malformed, "not an OCSP response")
        }
        defer { OCSP_RESPONSE_free(response) }
        let status = OCSP_response_status(response)
        guard status == OCSP_RESPONSE_STATUS_SUCCESSFUL else {
            let text = OCSP_response_status_str(Int(status)).map { String(cString: $0) } ?? "status \(status)"
            throw OCSPError(.responderError, "the responder says: \(text)")
        }
        guard let basic = openssl({ OCSP_response_get1_basic(response) }) else {
            _ = OpenSSLErrors.drain()
            throw OCSPError(.malformed, "the response is of a kind that is not known")
        }
        self.basic = basic
    }

    deinit { OCSP_BASICRESP_free(basic) }

    /// What it says of a certificate. Of several statements the one that revokes it counts, else the newest.
    func state(of subject: OCSPSubject) throws(OCSPError) -> Single {
        var found: [Single] = []
        for index in 0..<min(OCSP_resp_count(basic), OCSPAnswer.maximumSingles) {
            guard let single = OCSP_resp_get0(basic, index) else { continue }
            let concerns = subject.certificate.withX509 { own in
                subject.issuer.withX509 { issuer in openssl { pki_ocsp_concerns(single, own, issuer) == 1 } }
            }
            if concerns { found.append(try read(single)) }
        }
        let revoked = found.first { if case .revoked = $0.status { true } else { false } }
        guard let result = revoked ?? found.max(by: { $0.thisUpdate < $1.thisUpdate }) else {
            throw OCSPError(.wrongCertificate, "the response is not about \(subject.certificate.subject)")
        }
        return result
    }

    private func read(_ single: OpaquePointer) throws(OCSPError) -> Single {
        guard pki_ocsp_has_critical(basic, single) == 0 else {
            throw OCSPError(.unknownExtension, "the response has an extension that is not known and must be")
        }
        var reason: Int32 = 0
        var revoked: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        var this: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        var next: UnsafeMutablePointer<ASN1_GENERALIZEDTIME>?
        let code = OCSP_single_get0_status(single, &reason, &revoked, &this, &next)
        guard let thisUpdate = unixSeconds(this), next == nil || unixSeconds(next) != nil else {
            throw OCSPError(.malformed, "the response's times cannot be read")
        }
        let status: OCSPAnswer.Status
        switch code {
        case V_OCSP_CERTSTATUS_GOOD: status = .good
        case V_OCSP_CERTSTATUS_REVOKED:
            let text =
                reason == OCSP_REVOKED_STATUS_NOSTATUS
                ? nil : OCSP_crl_reason_str(Int(reason)).map { String(cString: $0) }
            status = .revoked(at: unixSeconds(revoked) ?? thisUpdate, reason: text)
        default: status = .unknown
        }
        return Single(status: status, thisUpdate: thisUpdate, nextUpdate: unixSeconds(next))
    }

    /// That the certificate's issuer has signed it, or somebody to whom that issuer has given a certificate with OCSPSigning
    /// (section 4.2.2.2). Nobody else counts, whatever is trusted otherwise.
    func verifySignature(issuer: Certificate, now: Int64) throws(OCSPError) {
        let weak = [NID_md5, NID_sha1, NID_md4, NID_md2, NID_ripemd160]
        guard !weak.contains(pki_ocsp_digest(basic)) else {
            throw OCSPError(.weakSignature, "the response is signed with a digest that is broken")
        }
        guard let store = openssl({ X509_STORE_new() }), let candidates = pki_certificates_new() else {
            throw OCSPError(.libraryFailure, "OpenSSL could not prepare a verification")
        }
        defer {
            pki_certificates_free(candidates)
            X509_STORE_free(store)
        }
        let parameters = X509_STORE_get0_param(store)
        X509_VERIFY_PARAM_set_time(parameters, time_t(now))
        X509_VERIFY_PARAM_set_auth_level(parameters, 2)
        let isReady = issuer.withX509 {
            X509_STORE_add_cert(store, $0) == 1 && pki_certificates_append(candidates, $0) == 1
        }
        guard isReady else { throw OCSPError(.libraryFailure, "OpenSSL could not prepare a verification") }
        // The issuer is the anchor, be it a root or not, and no root is believed because of a trust setting of its own.
        let flags = UInt(OCSP_PARTIAL_CHAIN | OCSP_NOEXPLICIT)
        if openssl({ OCSP_basic_verify(basic, candidates, store, flags) }) == 1 { return }
        let signer = issuer.withX509 { _ in hasSigner(candidates) }
        let text = OpenSSLErrors.drain()
        if signer, text.contains("signature failure") {
            throw OCSPError(.badSignature, "the response's signature is not its signer's")
        }
        throw OCSPError(
            .unauthorizedSigner,
            "neither \(issuer.subject) nor anybody with its leave has signed the response (\(text))")
    }

    private func hasSigner(_ candidates: OpaquePointer) -> Bool {
        var signer: OpaquePointer?
        return OCSP_resp_get0_signer(basic, &signer, candidates) == 1
    }
}
