internal import COpenSSL

/// A version of the protocol.
///
/// Sessions of the mesh use 1.2 (by configuration) and 1.3. The older two exist so that a probe can find out whether a
/// peer still accepts them; see ``TLSContext/Configuration/probe``.
public enum TLSVersion: String, Sendable, CaseIterable, Comparable, CustomStringConvertible {
    /// TLS 1.0, RFC 2246; forbidden by RFC 8996.
    case tls10 = "TLSv1"
    /// TLS 1.1, RFC 4346; forbidden by RFC 8996.
    case tls11 = "TLSv1.1"
    /// TLS 1.2, RFC 5246.
    case tls12 = "TLSv1.2"
    /// TLS 1.3, RFC 8446.
    case tls13 = "TLSv1.3"

    /// As OpenSSL and its command-line tools write it.
    public var description: String { rawValue }

    /// Older before newer.
    public static func < (one: TLSVersion, other: TLSVersion) -> Bool { one.wire < other.wire }

    /// The number on the wire.
    var wire: Int32 {
        switch self {
        case .tls10: TLS1_VERSION
        case .tls11: TLS1_1_VERSION
        case .tls12: TLS1_2_VERSION
        case .tls13: TLS1_3_VERSION
        }
    }

    init?(wire: Int32) {
        guard let version = TLSVersion.allCases.first(where: { $0.wire == wire }) else { return nil }
        self = version
    }
}
