import COpenSSL

/// A signed certificate timestamp (SCT, RFC 6962, section 3.2): a log's promise to publish a certificate. Read, not believed:
/// ``TransparencyLogs/state(of:about:issuer:now:)`` says whether the log has made it.
public struct SignedTimestamp: Sendable, Hashable {
    /// How it came (section 3.3).
    public enum Source: String, Sendable, CaseIterable {
        /// In the certificate, about its precertificate.
        case certificate
        /// In the TLS extension `signed_certificate_timestamp`.
        case tlsExtension = "tls_extension"
        /// In the stapled OCSP response.
        case ocsp
    }

    /// As it is on the wire (section 3.2, `SignedCertificateTimestamp`).
    public let bytes: [UInt8]
    /// How it came.
    public let source: Source
    /// Which log made it: SHA-256 of its public key. Empty for versions that are not known.
    public let logID: [UInt8]
    /// When the log has seen the certificate, in milliseconds since 1970.
    public let time: Int64

    /// So many are looked at of one certificate, and of one handshake; certificates of the web have two or three.
    public static let maximumCount = 16

    /// Copies one of OpenSSL's; nil when memory is short, or for a source that is not known.
    package init?(_ sct: OpaquePointer) {
        switch SCT_get_source(sct) {
        case SCT_SOURCE_X509V3_EXTENSION: source = .certificate
        case SCT_SOURCE_TLS_EXTENSION: source = .tlsExtension
        case SCT_SOURCE_OCSP_STAPLED_RESPONSE: source = .ocsp
        default: return nil
        }
        guard let bytes = encodeDER({ i2o_SCT(sct, $0) }) else { return nil }
        self.bytes = bytes
        var id: UnsafeMutablePointer<UInt8>?
        let count = SCT_get0_log_id(sct, &id)
        logID = id.map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
        time = Int64(clamping: SCT_get_timestamp(sct))
    }

    /// Lends it as OpenSSL has it; nil when memory is short.
    func withSCT<Result>(_ body: (OpaquePointer) -> Result) -> Result? {
        let made = bytes.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return openssl { o2i_SCT(nil, &cursor, buffer.count) }
        }
        guard let made else { return nil }
        defer { SCT_free(made) }
        let source =
            switch source {
            case .certificate: SCT_SOURCE_X509V3_EXTENSION
            case .tlsExtension: SCT_SOURCE_TLS_EXTENSION
            case .ocsp: SCT_SOURCE_OCSP_STAPLED_RESPONSE
            }
        guard SCT_set_source(made, source) == 1 else { return nil }
        return body(made)
    }
}

extension Certificate {
    /// The SCTs that are embedded in the certificate; none where the list cannot be decoded.
    public var embeddedTimestamps: [SignedTimestamp] {
        withX509 { x509 in
            guard let stack = openssl({ pki_embedded_scts(x509) }) else {
                ERR_clear_error()
                return []
            }
            defer { pki_scts_free(stack) }
            let count = min(pki_scts_count(stack), Int32(SignedTimestamp.maximumCount))
            return (0..<max(0, count)).compactMap { index in
                pki_scts_at(stack, index).flatMap { sct in
                    // Read from an extension, it does not say from which.
                    SCT_set_source(sct, SCT_SOURCE_X509V3_EXTENSION) == 1 ? SignedTimestamp(sct) : nil
                }
            }
        }
    }
}
