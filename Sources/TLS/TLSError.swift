public import PKI

/// Why a context could not be made, or a session ended: a code for programs, a line for people, and what to do next.
///
/// The values live in one shared object, so that steps which may carry an error stay two words wide and are returned in
/// registers.
public struct TLSError: Error, Equatable, CustomStringConvertible {
    /// What kind of failure, stable in logs, metrics and JSON.
    public enum Code: String, Sendable, CaseIterable, CustomStringConvertible {
        /// We refused the peer's certificate, or its absence; `certificate` says why.
        case certificateRefused = "certificate_refused"
        /// The peer refused our certificate, or its absence; `alert` says what it answered.
        case refusedByPeer = "refused_by_peer"
        /// What the peer sent is not TLS (plain HTTP, SSH …).
        case notTLS = "not_tls"
        /// The peer ended the connection before the handshake was complete.
        case closedDuringHandshake = "closed_during_handshake"
        /// The input ended without close_notify: bytes may be missing.
        case truncated
        /// No version of TLS that both ends accept.
        case noSharedVersion = "no_shared_version"
        /// No cipher suite, group or signature algorithm that both ends accept.
        case noSharedCipher = "no_shared_cipher"
        /// No application protocol (ALPN) that both ends accept.
        case noSharedProtocol = "no_shared_protocol"
        /// The peer ended the session with an alert that has no code of its own here.
        case alertReceived = "alert_received"
        /// The peer broke the protocol: a record that does not decrypt, a malformed or unexpected message.
        case protocolViolation = "protocol_violation"
        /// The peer sent one post-handshake message after the other without data.
        case messageFlood = "message_flood"
        /// The configuration cannot work; no session was made.
        case badConfiguration = "bad_configuration"
        /// Our own key or certificate cannot be used; `certificate` says why.
        case badCredentials = "bad_credentials"
        /// The FIPS provider that the configuration demands is not there.
        case fipsUnavailable = "fips_unavailable"
        /// The call needs a complete handshake.
        case notConnected = "not_connected"
        /// The session has been closed, or has failed before.
        case closed
        /// Memory is short, or OpenSSL failed by itself.
        case internalFailure = "internal_failure"

        /// The stable code.
        public var description: String { rawValue }
    }

    private final class Storage: Sendable {
        let code: Code
        let message: String
        let hint: String
        let certificate: CertificateError?
        let alert: TLSAlert?

        init(code: Code, message: String, hint: String, certificate: CertificateError?, alert: TLSAlert?) {
            self.code = code
            self.message = message
            self.hint = hint
            self.certificate = certificate
            self.alert = alert
        }
    }

    private let storage: Storage

    /// Makes an error.
    public init(
        _ code: Code, _ message: String, hint: String, certificate: CertificateError? = nil, alert: TLSAlert? = nil
    ) {
        storage = Storage(code: code, message: message, hint: hint, certificate: certificate, alert: alert)
    }

    /// The kind of failure.
    public var code: Code { storage.code }
    /// What happened, in one line, without a trailing full stop.
    public var message: String { storage.message }
    /// What to do next, in one line.
    public var hint: String { storage.hint }
    /// What was wrong with a certificate: the peer's (`certificateRefused`) or ours (`badCredentials`).
    public var certificate: CertificateError? { storage.certificate }
    /// The alert: the one we received, or with `certificateRefused` and our other refusals the one we sent.
    public var alert: TLSAlert? { storage.alert }

    /// The most precise stable reason: the certificate's where there is one, else the code.
    public var reason: String { certificate?.reason.rawValue ?? code.rawValue }

    /// "message (reason)".
    public var description: String { "\(message) (\(reason))" }

    /// Equal in every part.
    public static func == (one: TLSError, other: TLSError) -> Bool {
        one.storage === other.storage
            || (one.code == other.code && one.message == other.message && one.hint == other.hint
                && one.certificate == other.certificate && one.alert == other.alert)
    }
}
