/// Why an OCSP response says nothing of a certificate.
public struct OCSPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable reason, as in logs and metrics.
    public enum Code: String, Sendable, CaseIterable {
        /// The bytes are no OCSP response.
        case malformed
        /// The responder does not answer the question (RFC 6960, section 2.3): `tryLater`, `unauthorized` and the like.
        case responderError = "responder_error"
        /// The response is about other certificates.
        case wrongCertificate = "wrong_certificate"
        /// The signature does not fit the signer's key.
        case badSignature = "bad_signature"
        /// The signer is neither the certificate's issuer nor somebody whom that has given the right (section 4.2.2.2).
        case unauthorizedSigner = "unauthorized_signer"
        /// The signature rests on SHA-1 or MD5.
        case weakSignature = "weak_signature"
        /// An extension that must not be passed over is not known here.
        case unknownExtension = "unknown_extension"
        /// The response is of the future.
        case notYetValid = "not_yet_valid"
        /// The response is out of date.
        case expired
        /// OpenSSL failed by itself.
        case libraryFailure = "library_failure"
    }

    /// The stable reason.
    public let code: Code
    /// What happened, in one line.
    public let message: String

    /// Makes an error.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// "message (code)".
    public var description: String { "\(message) (\(code.rawValue))" }
}
