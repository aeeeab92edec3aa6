internal import PKI

extension TLSError {
    /// What an alert from the peer means. `duringHandshake` is the whole exchange until the peer has shown that it
    /// accepts us, so also a TLS 1.3 client's first reads: a server judges the client's certificate after the client is
    /// done.
    static func received(_ alert: TLSAlert, server: Bool, sentCertificate: Bool) -> TLSError {
        if alert == .certificateRequired {
            return TLSError(
                .refusedByPeer, "the peer requires a client certificate and got none: alert \(alert)",
                hint: "configure a certificate and its key for this connection "
                    + "(\(NewCertificate.commands()))",
                alert: alert)
        }
        if alert.concernsCertificate {
            let subject = sentCertificate ? "the peer refused our certificate" : "the peer gave up"
            return TLSError(
                .refusedByPeer, "\(subject): alert \(alert)", hint: hint(refused: alert, server: server), alert: alert)
        }
        switch alert {
        case .protocolVersion:
            return TLSError(
                .noSharedVersion, "the peer accepts none of our TLS versions: alert \(alert)",
                hint:
                    "we offer TLS 1.3, and 1.2 where configured; see what the peer has: openssl s_client -connect HOST:PORT",
                alert: alert)
        case .handshakeFailure, .insufficientSecurity:
            return TLSError(
                .noSharedCipher, "the peer found nothing acceptable in what we offered: alert \(alert)",
                hint: "no common cipher suite or group, or (TLS 1.2) it requires a client certificate and got none; "
                    + "its log says which",
                alert: alert)
        case .noApplicationProtocol:
            return TLSError(
                .noSharedProtocol, "the peer does not speak our application protocol (ALPN): alert \(alert)",
                hint:
                    "check that the port belongs to the service that you mean, and that both ends run compatible versions",
                alert: alert)
        default:
            return TLSError(
                .alertReceived, "the peer ended the session: alert \(alert)", hint: "its log has the reason",
                alert: alert)
        }
    }

    private static func hint(refused alert: TLSAlert, server: Bool) -> String {
        switch alert {
        case .unknownCA:
            "the peer does not trust the CA that issued our certificate: compare CA files on both hosts "
                + "(openssl x509 -noout -fingerprint -sha256 -in CA)"
        case .decryptError:
            "the peer found a bad signature: our CA may only share the name of the CA that it trusts; compare CA files "
                + "on both hosts (openssl x509 -noout -fingerprint -sha256 -in CA)"
        case .certificateExpired:
            "look at the dates (openssl x509 -noout -dates -in CERT) and at the clocks of both hosts (date -u); "
                + "a new certificate: \(NewCertificate.commands())"
        case .unsupportedCertificate:
            "its key usage does not fit the role of a \(server ? "server" : "client"); make one that fits: \(NewCertificate.commands())"
        case .certificateRevoked:
            "the certificate was withdrawn; ask whoever runs the CA for a new one"
        case .badCertificateStatusResponse:
            "it finds it revoked by the stapled OCSP response, or demands one that we have not stapled (see mesh certs), "
                + "or too few logs of certificates vouch for it; its log says which"
        case .accessDenied:
            "the certificate was understood and its owner is not let in; the peer's policy decides"
        default:
            "not the name that the peer expects, or refused by one of its own checks (some peers say this of a certificate that is not "
                + "valid yet); its log names the reason"
        }
    }
}
