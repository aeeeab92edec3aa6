import COpenSSL

/// A certificate whose state is asked for, with the one of its issuer: together they make its identifier in OCSP.
public struct OCSPSubject: Sendable {
    /// The certificate.
    public let certificate: Certificate
    /// The certificate of the CA that issued it.
    public let issuer: Certificate

    /// A subject from its parts; whether `issuer` has issued the certificate is the caller's to know.
    public init(_ certificate: Certificate, issuer: Certificate) {
        self.certificate = certificate
        self.issuer = issuer
    }

    /// The leaf of a verified chain; nil where the leaf is itself trusted and nobody can say anything of it.
    public init?(chain: [Certificate]) {
        guard chain.count > 1 else { return nil }
        self.init(chain[0], issuer: chain[1])
    }

    /// Every certificate of a verified chain but the root, leaf first.
    public static func chain(_ chain: [Certificate]) -> [OCSPSubject] {
        zip(chain, chain.dropFirst()).map { OCSPSubject($0, issuer: $1) }
    }

    /// The leaf of our own chain, whose issuer is the next certificate of the file, or one of the trusted roots.
    public init?(own chain: [Certificate], roots: [Certificate]) {
        guard let leaf = chain.first else { return nil }
        let issuer = (chain.dropFirst() + roots).first { leaf.names(asIssuer: $0) && leaf.isSigned(by: $0) }
        guard let issuer, issuer != leaf else { return nil }
        self.init(leaf, issuer: issuer)
    }

    /// What tells subjects apart: the certificate's fingerprint.
    public var key: String { certificate.fingerprintSHA256 }

    /// A request for the state of the certificate (RFC 6960, section 4.1), in DER. The identifier is made with SHA-1, which
    /// every responder understands (RFC 5019, section 2.1.1) and which nothing rests on; without a nonce, so that the answer can
    /// be kept.
    ///
    /// Errors: `library_failure`.
    public func request() throws(OCSPError) -> [UInt8] {
        let failure = OCSPError(.libraryFailure, "OpenSSL could not make an OCSP request")
        guard let request = openssl({ OCSP_REQUEST_new() }) else { throw failure }
        defer { OCSP_REQUEST_free(request) }
        let id = certificate.withX509 { own in issuer.withX509 { OCSP_cert_to_id(EVP_sha1(), own, $0) } }
        guard let id else { throw failure }
        // What was added belongs to the request.
        guard OCSP_request_add0_id(request, id) != nil else {
            OCSP_CERTID_free(id)
            throw failure
        }
        guard let der = encodeDER({ i2d_OCSP_REQUEST(request, $0) }) else { throw failure }
        return der
    }
}

extension Certificate {
    /// Whether it demands that whoever serves with it staples an OCSP response ("must-staple", RFC 7633).
    public var demandsStaple: Bool { withX509 { x509 in openssl { pki_demands_staple(x509) == 1 } } }

    /// The OCSP responders that the certificate itself names (RFC 5280, section 4.2.2.1), as they stand there. Whoever issued it
    /// chose them: they are not to be asked without a permission of this host.
    public var responders: [String] {
        withX509 { x509 in
            let list = openssl { pki_responders(x509) }
            defer { pki_strings_free(list) }
            return (0..<min(pki_strings_count(list), 8)).compactMap { index in
                pki_strings_at(list, index).map { String(cString: $0) }
            }
        }
    }
}
