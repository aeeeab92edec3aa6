import Bytes
import COpenSSL

/// Key usage bits (RFC 5280, section 4.2.1.3).
public struct KeyUsage: OptionSet, Sendable, Hashable, CustomStringConvertible {
    /// The bits in the order of the RFC: bit 0 is digitalSignature.
    public let rawValue: UInt16
    /// Takes the bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Signatures other than on certificates and CRLs; what TLS 1.3 needs.
    public static let digitalSignature = KeyUsage(rawValue: 1 << 0)
    /// Non-repudiation (contentCommitment).
    public static let nonRepudiation = KeyUsage(rawValue: 1 << 1)
    /// Encrypting keys (RSA key exchange of TLS 1.2 and older).
    public static let keyEncipherment = KeyUsage(rawValue: 1 << 2)
    /// Encrypting data.
    public static let dataEncipherment = KeyUsage(rawValue: 1 << 3)
    /// Key agreement.
    public static let keyAgreement = KeyUsage(rawValue: 1 << 4)
    /// Signing certificates: a CA.
    public static let keyCertSign = KeyUsage(rawValue: 1 << 5)
    /// Signing CRLs.
    public static let cRLSign = KeyUsage(rawValue: 1 << 6)
    /// Only encrypting, with key agreement.
    public static let encipherOnly = KeyUsage(rawValue: 1 << 7)
    /// Only decrypting, with key agreement.
    public static let decipherOnly = KeyUsage(rawValue: 1 << 8)

    private static let labels = [
        "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign",
        "cRLSign", "encipherOnly", "decipherOnly",
    ]

    /// The names of the bits, as the RFC has them.
    public var labels: [String] {
        KeyUsage.labels.indices.filter { rawValue & (1 << $0) != 0 }.map { KeyUsage.labels[$0] }
    }

    /// The names of the bits, separated by commas.
    public var description: String { labels.joined(separator: ", ") }
}

/// An extended key usage (RFC 5280, section 4.2.1.12), by object identifier.
public struct ExtendedKeyUsage: Sendable, Hashable, CustomStringConvertible {
    /// Dotted object identifier.
    public let oid: String
    /// Takes a dotted object identifier.
    public init(oid: String) { self.oid = oid }

    /// A TLS server.
    public static let serverAuth = ExtendedKeyUsage(oid: "1.3.6.1.5.5.7.3.1")
    /// A TLS client.
    public static let clientAuth = ExtendedKeyUsage(oid: "1.3.6.1.5.5.7.3.2")
    /// Code signing.
    public static let codeSigning = ExtendedKeyUsage(oid: "1.3.6.1.5.5.7.3.3")
    /// Mail.
    public static let emailProtection = ExtendedKeyUsage(oid: "1.3.6.1.5.5.7.3.4")
    /// OCSP responses.
    public static let ocspSigning = ExtendedKeyUsage(oid: "1.3.6.1.5.5.7.3.9")
    /// Any purpose; never enough for the mesh.
    public static let any = ExtendedKeyUsage(oid: "2.5.29.37.0")

    /// The name where there is one, else the identifier.
    public var description: String {
        switch self {
        case .serverAuth: "serverAuth"
        case .clientAuth: "clientAuth"
        case .codeSigning: "codeSigning"
        case .emailProtection: "emailProtection"
        case .ocspSigning: "OCSPSigning"
        case .any: "anyExtendedKeyUsage"
        default: oid
        }
    }
}

/// What the extensions of a certificate say about its use.
public struct CertificateConstraints: Sendable, Equatable {
    /// BasicConstraints: CA.
    public let isCA: Bool
    /// BasicConstraints: how many CAs may follow; nil for any number.
    public let pathLength: Int?
    /// Key usage; nil where absent.
    public let keyUsage: KeyUsage?
    /// Extended key usage; nil where absent.
    public let extendedKeyUsage: [ExtendedKeyUsage]?
    /// Whether the certificate may stand as a trusted root: a CA, or self-signed version 1 (which has no extensions).
    public let canBeRoot: Bool
    /// An extension that is malformed or doubled.
    public let hasInvalidExtension: Bool
    /// A critical extension that OpenSSL does not know.
    public let hasUnknownCriticalExtension: Bool
    /// The DNS names that certificates below this CA may have; nil where it restricts none, and for a leaf.
    public let names: NameConstraints?
    /// Subject key identifier, hex without separators; nil where absent.
    public var subjectKeyID: String? { subjectKeyIDBytes.map { Hex.encode($0) } }
    /// Authority key identifier, hex without separators; nil where absent.
    public var authorityKeyID: String? { authorityKeyIDBytes.map { Hex.encode($0) } }

    let subjectKeyIDBytes: [UInt8]?
    private let authorityKeyIDBytes: [UInt8]?

    init(of x509: OpaquePointer) {
        let flags = X509_get_extension_flags(x509)
        isCA = flags & UInt32(EXFLAG_CA) != 0
        let length = X509_get_pathlen(x509)
        pathLength = isCA && length >= 0 ? Int(length) : nil
        canBeRoot = [1, 3].contains(X509_check_ca(x509))
        hasInvalidExtension = flags & UInt32(EXFLAG_INVALID) != 0
        hasUnknownCriticalExtension = flags & UInt32(EXFLAG_CRITICAL) != 0
        keyUsage =
            flags & UInt32(EXFLAG_KUSAGE) == 0 ? nil : CertificateConstraints.usage(X509_get_key_usage(x509))
        extendedKeyUsage = CertificateConstraints.extendedUsages(x509)
        names = isCA ? NameConstraints(of: x509) : nil
        subjectKeyIDBytes = CertificateConstraints.bytes(X509_get0_subject_key_id(x509))
        authorityKeyIDBytes = CertificateConstraints.bytes(X509_get0_authority_key_id(x509))
    }

    private static func usage(_ bits: UInt32) -> KeyUsage {
        let order = [
            KU_DIGITAL_SIGNATURE, KU_NON_REPUDIATION, KU_KEY_ENCIPHERMENT, KU_DATA_ENCIPHERMENT, KU_KEY_AGREEMENT,
            KU_KEY_CERT_SIGN, KU_CRL_SIGN, KU_ENCIPHER_ONLY, KU_DECIPHER_ONLY,
        ]
        var result: UInt16 = 0
        for (index, bit) in order.enumerated() where bits & UInt32(bit) != 0 { result |= 1 << UInt16(index) }
        return KeyUsage(rawValue: result)
    }

    private static func extendedUsages(_ x509: OpaquePointer) -> [ExtendedKeyUsage]? {
        guard let found = openssl({ X509_get_ext_d2i(x509, NID_ext_key_usage, nil, nil) }) else { return nil }
        let list = OpaquePointer(found)
        defer { pki_usages_free(list) }
        return (0..<min(pki_usages_count(list), 256)).map { index in
            var text = [CChar](repeating: 0, count: 128)
            OBJ_obj2txt(&text, Int32(text.count), pki_usages_at(list, index), 1)
            let oid = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            return ExtendedKeyUsage(oid: String(decoding: oid, as: UTF8.self))
        }
    }

    private static func bytes(_ octets: UnsafePointer<ASN1_OCTET_STRING>?) -> [UInt8]? {
        guard let octets, let start = ASN1_STRING_get0_data(octets) else { return nil }
        return Array(UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(octets))))
    }
}
