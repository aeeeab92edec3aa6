/// The description of a fatal alert (RFC 8446, section 6.2; RFC 5246, section 7.2.2): what one end tells the other about
/// why it gives up.
public struct TLSAlert: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The number on the wire.
    public var rawValue: UInt8

    /// An alert by its number.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The name in the RFCs, "unknown_ca"; "alert_N" for a number without one.
    public var name: String { TLSAlert.names[rawValue] ?? "alert_\(rawValue)" }

    /// The name.
    public var description: String { name }

    /// The peer sends nothing more; not an error.
    static let closeNotify = TLSAlert(rawValue: 0)
    /// The sender gives up what it was about; close_notify follows. Not an error either.
    static let userCanceled = TLSAlert(rawValue: 90)
    /// A record is longer than TLS allows.
    static let recordOverflow = TLSAlert(rawValue: 22)
    /// A field has a value that is not allowed.
    static let illegalParameter = TLSAlert(rawValue: 47)
    /// A message cannot be read.
    static let decodeError = TLSAlert(rawValue: 50)
    /// A message came that has no place here.
    public static let unexpectedMessage = TLSAlert(rawValue: 10)
    /// A record does not decrypt.
    public static let badRecordMAC = TLSAlert(rawValue: 20)
    /// No common parameters; in TLS 1.2 also: no client certificate where one is required.
    public static let handshakeFailure = TLSAlert(rawValue: 40)
    /// The certificate is corrupt, or refused for a cause that has no alert of its own.
    public static let badCertificate = TLSAlert(rawValue: 42)
    /// A certificate of the wrong type or usage.
    public static let unsupportedCertificate = TLSAlert(rawValue: 43)
    /// The signer has revoked the certificate.
    public static let certificateRevoked = TLSAlert(rawValue: 44)
    /// The certificate has expired, or is not valid yet: the receiver's certificate and the sender's clock do not agree.
    public static let certificateExpired = TLSAlert(rawValue: 45)
    /// The certificate was refused for another cause.
    public static let certificateUnknown = TLSAlert(rawValue: 46)
    /// No trusted CA vouches for the certificate.
    public static let unknownCA = TLSAlert(rawValue: 48)
    /// The certificate is fine, its owner is not let in.
    public static let accessDenied = TLSAlert(rawValue: 49)
    /// A signature or a Finished message does not verify.
    public static let decryptError = TLSAlert(rawValue: 51)
    /// The version is recognised and not supported.
    public static let protocolVersion = TLSAlert(rawValue: 70)
    /// The peer demands stronger parameters.
    public static let insufficientSecurity = TLSAlert(rawValue: 71)
    /// No server of that name (SNI).
    public static let unrecognizedName = TLSAlert(rawValue: 112)
    /// TLS 1.3: no client certificate where one is required.
    public static let certificateRequired = TLSAlert(rawValue: 116)
    /// What is stapled to the server's certificate is not enough for the client, or says that it is revoked.
    public static let badCertificateStatusResponse = TLSAlert(rawValue: 113)
    /// No common application protocol (ALPN).
    public static let noApplicationProtocol = TLSAlert(rawValue: 120)

    /// The end that sends one of these speaks about the certificate that it was shown.
    public var concernsCertificate: Bool {
        switch rawValue {
        case 42...46, 48, 49, 51, 113, 116: true
        default: false
        }
    }

    private static let names: [UInt8: String] = [
        0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed",
        22: "record_overflow", 30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate",
        42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
        46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
        51: "decrypt_error", 60: "export_restriction", 70: "protocol_version", 71: "insufficient_security",
        80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
        109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable",
        112: "unrecognized_name", 113: "bad_certificate_status_response", 114: "bad_certificate_hash_value",
        115: "unknown_psk_identity", 116: "certificate_required", 120: "no_application_protocol",
    ]
}
