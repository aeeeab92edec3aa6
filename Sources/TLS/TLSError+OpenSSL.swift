internal import COpenSSL
internal import PKI

/// What is known when a session ends, from which the error is written.
struct Ending {
    /// The C half.
    let session: UnsafeMutablePointer<ctls_session>
    /// Our role.
    let server: Bool
    /// The handshake is not complete on our side.
    let handshaking: Bool
    /// What our own verification found.
    let refusal: CertificateError?
    /// We have sent a certificate.
    let sentCertificate: Bool

    /// The alert that we sent, if any.
    private var sent: TLSAlert? {
        session.pointee.alert_sent >= 0
            ? TLSAlert(rawValue: UInt8(truncatingIfNeeded: session.pointee.alert_sent)) : nil
    }

    private var first: [UInt8] {
        withUnsafeBytes(of: session.pointee.first) { Array($0.prefix(Int(session.pointee.first_count))) }
    }

    /// The error for a session that did not end well.
    func error() -> TLSError {
        switch session.pointee.ending {
        case CTLS_CLOSED: return handshaking ? closedEarly() : TLSError.afterTheEnd
        case CTLS_TRUNCATED: return handshaking ? closedEarly() : truncated()
        default: break
        }
        switch session.pointee.failure {
        case CTLS_FAILURE_MEMORY: return .outOfMemory
        case CTLS_FAILURE_MESSAGE_FLOOD:
            return TLSError(
                .messageFlood, "the peer sends key updates or tickets without end and no data",
                hint: "a faulty or hostile peer; the session was ended", alert: sent)
        default: return fromQueue()
        }
    }

    private func fromQueue() -> TLSError {
        let code = session.pointee.failure_code
        let reason = ctls_error_reason(code)
        guard ctls_error_library(code) == ERR_LIB_SSL else { return violation(code) }
        if reason >= SSL_AD_REASON_OFFSET, reason < SSL_AD_REASON_OFFSET + 256 {
            let alert = TLSAlert(rawValue: UInt8(reason - SSL_AD_REASON_OFFSET))
            return .received(alert, server: server, sentCertificate: sentCertificate)
        }
        if handshaking, let early = duringHandshake(reason) { return early }
        return violation(code)
    }

    private func duringHandshake(_ reason: Int32) -> TLSError? {
        switch reason {
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return refused(
                refusal
                    ?? CertificateError(
                        .badChain, "the peer's certificates do not verify",
                        hint: "look at them: openssl s_client -showcerts"))
        case SSL_R_INVALID_STATUS_RESPONSE:
            return refusal.map { refused($0) }
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return refused(CertificateError.missingCertificate())
        case SSL_R_BAD_SIGNATURE:
            return refused(
                CertificateError(
                    .badSignature, "the peer could not prove that it holds the key of its certificate",
                    hint: "key and certificate of the peer do not belong together, or somebody is in between"))
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return notTLS()
        case SSL_R_WRONG_VERSION_NUMBER where !looksLikeTLS, SSL_R_PACKET_LENGTH_TOO_LONG where !looksLikeTLS:
            return notTLS()
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH, SSL_R_WRONG_SSL_VERSION,
            SSL_R_WRONG_VERSION_NUMBER, SSL_R_BAD_PROTOCOL_VERSION_NUMBER, SSL_R_NO_PROTOCOLS_AVAILABLE:
            return TLSError(
                .noSharedVersion, "the peer offers no TLS version that is accepted here",
                hint: "TLS 1.3 is the default and 1.2 can be allowed; older ones are never accepted", alert: sent)
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_CIPHERS_AVAILABLE, SSL_R_UNKNOWN_CIPHER_RETURNED,
            SSL_R_WRONG_CIPHER_RETURNED, SSL_R_NO_SUITABLE_GROUPS, SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_KEY_SHARE,
            SSL_R_BAD_KEY_SHARE, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
            SSL_R_WRONG_CURVE, SSL_R_UNSUPPORTED_ELLIPTIC_CURVE, SSL_R_WRONG_SIGNATURE_TYPE, SSL_R_DH_KEY_TOO_SMALL:
            return TLSError(
                .noSharedCipher, "no cipher suite, group and signature algorithm in common with the peer (\(words))",
                hint: "only AEAD suites with ECDHE over X25519, P-256 or P-384 are accepted", alert: sent)
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return TLSError(
                .noSharedProtocol, "the peer offers none of our application protocols (ALPN)",
                hint: "check that the peer means this port, and that both ends run compatible versions", alert: sent)
        default:
            return looksLikeTLS ? nil : notTLS()
        }
    }

    private func refused(_ error: CertificateError) -> TLSError {
        TLSError(
            .certificateRefused, "refused the peer: \(error.message)", hint: error.hint, certificate: error,
            alert: sent)
    }

    private func closedEarly() -> TLSError {
        if !first.isEmpty, !looksLikeTLS { return notTLS() }
        return TLSError(
            .closedDuringHandshake,
            "the peer closed the connection \(first.isEmpty ? "without a word" : "during the handshake")",
            hint: first.isEmpty && !server
                ? "check host and port: it may not speak TLS at all (try http:// or ws://), or a proxy or firewall in between "
                    + "may have closed it"
                : "it may distrust our certificate or run out of patience; its log has the reason")
    }

    private func truncated() -> TLSError {
        TLSError(
            .truncated, "the connection ended without close_notify",
            hint: "the peer was killed or the connection cut; what it sent last may be missing")
    }

    private func notTLS() -> TLSError {
        let printable = first.prefix { $0 >= 0x20 && $0 < 0x7f }
        let text = String(decoding: printable, as: UTF8.self)
        let seen = text.isEmpty ? "" : " (\"\(text)\")"
        if server {
            return TLSError(
                .notTLS, "the client speaks plain text on a TLS port\(seen)",
                hint: "let the client use https:// or wss://, or the port that is meant for it", alert: sent)
        }
        return TLSError(
            .notTLS, "the port answers plain text, not TLS\(seen)",
            hint: "check the port number; a plain http:// or ws:// service listens there", alert: sent)
    }

    private func violation(_ code: UInt) -> TLSError {
        let reason = ctls_error_reason(code)
        if code == 0 || reason == ERR_R_INTERNAL_ERROR || reason == ERR_R_MALLOC_FAILURE {
            return TLSError(
                .internalFailure, "OpenSSL failed: \(words)", hint: "check memory limits and the OpenSSL installation")
        }
        return TLSError(
            .protocolViolation, "the peer broke the protocol: \(words)",
            hint: "bytes were changed on the way, or the peer is faulty or hostile", alert: sent)
    }

    private var words: String {
        let code = session.pointee.failure_code
        return ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
    }

    /// The first byte is the type of a handshake record or an alert.
    private var looksLikeTLS: Bool {
        guard let type = first.first else { return true }
        return type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT || type == SSL3_RT_CHANGE_CIPHER_SPEC
    }
}

extension TLSError {
    static let outOfMemory = TLSError(
        .internalFailure, "memory is short", hint: "give the process more memory or let it have fewer connections")

    static let afterTheEnd = TLSError(
        .closed, "the session has been closed", hint: "open a new one; nothing can be sent on this one")

    static let notYetConnected = TLSError(
        .notConnected, "the handshake is not complete", hint: "call handshake() until it reports complete")

    /// OpenSSL's error queue as one line.
    static func queued() -> String {
        var parts: [String] = []
        while case let code = ERR_get_error(), code != 0 {
            if let text = ERR_reason_error_string(code) { parts.append(String(cString: text)) }
        }
        return parts.isEmpty ? "no detail" : parts.joined(separator: "; ")
    }
}
