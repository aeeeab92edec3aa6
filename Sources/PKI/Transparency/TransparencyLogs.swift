import Bytes
import COpenSSL

/// A log of certificates (RFC 6962) that this host believes.
public struct TransparencyLog: Sendable, Equatable {
    /// SHA-256 of the public key (section 3.2).
    public let id: [UInt8]
    /// The public key: P-256, or RSA of 2048 bits and more (section 2.1.4).
    public let key: PublicKey
    /// What it is called.
    public let name: String
    /// Who runs it.
    public let `operator`: String
    /// From when it is not used any more, in milliseconds since 1970: what it has promised before then counts. Nil while it
    /// is in use.
    public let retiredAt: Int64?

    /// A log from its parts.
    ///
    /// Errors: `unsupported_key`.
    public init(
        key: PublicKey, name: String, operator: String = "", retiredAt: Int64? = nil
    ) throws(CertificateError) {
        guard key.kind.description == "ECDSA P-256" || (key.kind.family == .rsa && key.kind.bits >= 2048) else {
            throw CertificateError(
                .unsupportedKey, "the log \(name) has a key \(key.kind), and logs sign with P-256 or RSA (RFC 6962)",
                hint: "take the log's key from the list of its operator")
        }
        self.key = key
        self.name = name
        self.operator = `operator`
        self.retiredAt = retiredAt
        id = sha256(key.der)
    }
}

/// What an SCT is worth.
public enum TimestampState: String, Sendable, CaseIterable {
    /// A log of the list has signed it, and it is about this certificate.
    case good
    /// Its log is not in the list.
    case unknownLog = "unknown_log"
    /// Its log was not in use any more when it was made.
    case retiredLog = "retired_log"
    /// It is of the future.
    case future
    /// The signature is not the log's, or it is about another certificate.
    case badSignature = "bad_signature"
    /// It is of a version that is not known.
    case unknownVersion = "unknown_version"
    /// It is embedded, and the issuer's certificate, which it names by its key, is not there.
    case noIssuer = "no_issuer"
}

/// The logs that count on this host, ready to verify with. Immutable, used on any thread.
public final class TransparencyLogs: @unchecked Sendable, Equatable {
    // Unchecked: OpenSSL only reads a store that has been filled.
    private let store: OpaquePointer
    /// The logs.
    public let logs: [TransparencyLog]
    private let byID: [[UInt8]: TransparencyLog]

    /// More logs are not taken; browsers have a hundred.
    public static let maximumCount = 500
    /// How far clocks may differ, in milliseconds.
    static let clockSkew = OCSPAnswer.clockSkew * 1000

    /// Errors: `malformed` without a log, `too_large`, `library_failure`.
    public init(_ logs: [TransparencyLog]) throws(CertificateError) {
        guard !logs.isEmpty else {
            throw CertificateError(
                .malformed, "no log is in the list that is in use",
                hint: "see docs/transparency.md for what the file holds")
        }
        guard logs.count <= Self.maximumCount else {
            throw CertificateError(
                .tooLarge, "the list has \(logs.count) logs, more than \(Self.maximumCount)",
                hint: "leave those out that are not in use")
        }
        let text = Self.configuration(logs)
        guard let made = openssl({ pki_log_store_new(text, text.utf8.count) }) else {
            throw OpenSSLErrors.failure("read the keys of the logs")
        }
        store = made
        self.logs = logs
        byID = Dictionary(logs.map { ($0.id, $0) }) { first, _ in first }
    }

    deinit { CTLOG_STORE_free(store) }

    /// What OpenSSL reads. Names are not passed on: they could say anything.
    private static func configuration(_ logs: [TransparencyLog]) -> String {
        var text = "enabled_logs = " + logs.indices.map { "l\($0)" }.joined(separator: ",") + "\n"
        for (index, log) in logs.enumerated() {
            text += "[l\(index)]\ndescription = l\(index)\nkey = \(Base64.encode(log.key.der))\n"
        }
        return text
    }

    /// The log of an SCT; nil where it is not in the list.
    public func log(of timestamp: SignedTimestamp) -> TransparencyLog? { byID[timestamp.logID] }

    /// What an SCT is worth at `now`, unix seconds.
    ///
    /// - Parameter issuer: The certificate of who has issued `leaf`; embedded SCTs need it.
    public func state(
        of timestamp: SignedTimestamp, about leaf: Certificate, issuer: Certificate?, now: Int64
    ) -> TimestampState {
        let latest = now * 1000 + Self.clockSkew
        let status = timestamp.withSCT { sct in
            leaf.withX509 { leaf in
                withOptionalX509(issuer) { issuer in
                    openssl { pki_sct_status(sct, leaf, issuer, store, UInt64(max(0, latest))) }
                }
            }
        }
        ERR_clear_error()
        switch status {
        case SCT_VALIDATION_STATUS_VALID.code:
            guard let log = log(of: timestamp) else { return .unknownLog }
            return log.retiredAt.map { timestamp.time >= $0 } == true ? .retiredLog : .good
        case SCT_VALIDATION_STATUS_UNKNOWN_LOG.code: return .unknownLog
        case SCT_VALIDATION_STATUS_UNKNOWN_VERSION.code: return .unknownVersion
        case SCT_VALIDATION_STATUS_UNVERIFIED.code where issuer == nil: return .noIssuer
        default: return timestamp.time > latest ? .future : .badSignature
        }
    }

    /// The same logs in the same order.
    public static func == (one: TransparencyLogs, other: TransparencyLogs) -> Bool { one.logs == other.logs }
}

private func withOptionalX509<Result>(_ certificate: Certificate?, _ body: (OpaquePointer?) -> Result) -> Result {
    guard let certificate else { return body(nil) }
    return certificate.withX509 { body($0) }
}

extension sct_validation_status_t {
    fileprivate var code: Int32 { Int32(rawValue) }
}
