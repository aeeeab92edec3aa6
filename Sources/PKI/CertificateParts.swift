/// One attribute of a distinguished name, with full control over its encoding.
public struct NameAttribute: Sendable, Hashable {
    /// Attributes in use.
    public enum Kind: Sendable, Hashable {
        /// CN.
        case commonName
        /// O.
        case organization
        /// OU.
        case organizationalUnit
    }
    /// ASN.1 string types.
    public enum Encoding: Sendable, Hashable {
        /// UTF-8, what new certificates use (RFC 5280, section 4.1.2.4).
        case utf8
        /// A subset of ASCII.
        case printable
        /// 8-bit text of unclear meaning.
        case teletex
        /// UTF-16, big-endian.
        case bmp
        /// ASCII.
        case ia5
    }

    /// Which attribute.
    public var kind: Kind
    /// How the bytes are labelled.
    public var encoding: Encoding
    /// The bytes, which are not checked.
    public var bytes: [UInt8]

    /// Takes raw bytes.
    public init(_ kind: Kind, _ encoding: Encoding, bytes: [UInt8]) {
        self.kind = kind
        self.encoding = encoding
        self.bytes = bytes
    }

    /// CN in UTF-8.
    public static func commonName(_ text: String) -> NameAttribute {
        NameAttribute(.commonName, .utf8, bytes: Array(text.utf8))
    }

    /// O in UTF-8.
    public static func organization(_ text: String) -> NameAttribute {
        NameAttribute(.organization, .utf8, bytes: Array(text.utf8))
    }
}

/// One entry of SubjectAltName.
public struct AlternativeName: Sendable, Hashable {
    /// Context tag: 1 mail, 2 DNS, 6 URI, 7 IP address (RFC 5280, section 4.2.1.6).
    public var tag: UInt8
    /// The bytes, which are not checked.
    public var bytes: [UInt8]

    /// Takes raw bytes.
    public init(tag: UInt8, bytes: [UInt8]) {
        self.tag = tag
        self.bytes = bytes
    }

    /// A DNS name.
    public static func dns(_ name: String) -> AlternativeName { AlternativeName(tag: 2, bytes: Array(name.utf8)) }
    /// A URI.
    public static func uri(_ uri: String) -> AlternativeName { AlternativeName(tag: 6, bytes: Array(uri.utf8)) }
    /// A mail address.
    public static func email(_ address: String) -> AlternativeName {
        AlternativeName(tag: 1, bytes: Array(address.utf8))
    }
    /// An IP address as text.
    ///
    /// Errors: `bad_name`.
    public static func ip(_ address: String) throws(CertificateError) -> AlternativeName {
        guard let bytes = PeerVerification.addressBytes(address) else {
            throw CertificateError(
                .badName, "\"\(address.prefix(80))\" is not an IP address",
                hint: "write it like 192.0.2.1 or 2001:db8::1; host names go into the DNS names")
        }
        return AlternativeName(tag: 7, bytes: bytes)
    }
}

/// Any extension, as raw DER.
public struct RawExtension: Sendable, Hashable {
    /// Dotted object identifier.
    public var oid: String
    /// Whether a verifier that does not know it must refuse the certificate.
    public var isCritical: Bool
    /// DER of the extension's value.
    public var value: [UInt8]

    /// Makes an extension.
    public init(oid: String, isCritical: Bool, value: [UInt8]) {
        self.oid = oid
        self.isCritical = isCritical
        self.value = value
    }
}

/// A serial number to put into a certificate.
public enum SerialNumber: Sendable, Hashable {
    /// 128 random bits, positive.
    case random
    /// This number, which may be zero or negative.
    case number(Int64)
    /// This positive number, big-endian, of any length.
    case bytes([UInt8])
}

/// The digest of a signature.
public enum SignatureDigest: String, Sendable, CaseIterable {
    /// SHA-256, with P-384 SHA-384, with Ed25519 its own.
    case automatic
    /// SHA-256.
    case sha256
    /// SHA-384.
    case sha384
    /// SHA-512.
    case sha512
    /// SHA-1, broken: refused by every check.
    case sha1
    /// MD5, broken: refused by every check.
    case md5
}

/// BasicConstraints.
public struct BasicConstraints: Sendable, Hashable {
    /// Whether it is a CA.
    public var isCA: Bool
    /// How many CAs may follow; nil for any number.
    public var pathLength: Int?

    /// Makes constraints.
    public init(isCA: Bool, pathLength: Int? = nil) {
        self.isCA = isCA
        self.pathLength = pathLength
    }
}
