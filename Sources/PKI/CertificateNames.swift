import COpenSSL
import Glibc

/// The names that a certificate claims. Names that can be read in more than one way are not among them but in
/// `defects`, and make every verification fail with `ambiguous_name`.
public struct CertificateNames: Sendable, Equatable {
    /// Every CN of the subject that can be read, in order.
    public private(set) var commonNames: [String] = []
    /// All URIs.
    public private(set) var uris: [String] = []
    /// DNS names, case as they stand.
    public private(set) var dnsNames: [String] = []
    /// IPv4 and IPv6 addresses in their usual text form.
    public private(set) var ipAddresses: [String] = []
    /// Mail addresses.
    public private(set) var emails: [String] = []
    /// Other kinds of alternative names that were passed over (directory names, OIDs …): how many.
    public private(set) var otherNames = 0
    /// What cannot be read unambiguously, in words.
    public private(set) var defects: [String] = []

    /// More alternative names than this in one certificate are a defect.
    static let limit = 1024

    /// The CN, when there is exactly one.
    public var commonName: String? { commonNames.count == 1 ? commonNames[0] : nil }

    /// The URIs with the scheme "spiffe" in any case, well-formed or not.
    public var spiffeURIs: [String] { uris.filter { $0.utf8.prefix(7).map { $0 | 0x20 } == Array("spiffe:".utf8) } }

    init(of x509: OpaquePointer) {
        readCommonNames(X509_get_subject_name(x509))
        readAlternativeNames(x509)
    }

    private mutating func readCommonNames(_ subject: OpaquePointer?) {
        var index: Int32 = -1
        var count = 0
        while case let next = X509_NAME_get_index_by_NID(subject, NID_commonName, index), next >= 0 {
            index = next
            count += 1
            guard count <= 16 else { break }
            let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index))
            if let text = CertificateNames.text(of: value) {
                commonNames.append(text)
            } else {
                defects.append("a CN cannot be decoded, or holds a NUL or control character")
            }
        }
        if count > 1 { defects.append("the subject has several CNs") }
    }

    private mutating func readAlternativeNames(_ x509: OpaquePointer) {
        var critical: Int32 = 0
        let found = openssl { X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, nil) }
        guard let found else {
            if critical == -2 { defects.append("SubjectAltName occurs more than once") }
            if critical >= 0 { defects.append("SubjectAltName cannot be decoded") }
            return
        }
        let list = OpaquePointer(found)
        defer { pki_names_free(list) }
        let count = pki_names_count(list)
        guard count <= CertificateNames.limit else {
            defects.append("more than \(CertificateNames.limit) alternative names")
            return
        }
        for index in 0..<count {
            var type: Int32 = 0
            var length: Int32 = 0
            let start = pki_names_at(list, index, &type, &length)
            add(type, UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(length)))
        }
    }

    private mutating func add(_ type: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
        func visible() -> String? {
            guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
        switch type {
        case GEN_URI:
            if let text = visible() { uris.append(text) } else { defects.append("a URI holds a NUL or non-ASCII byte") }
        case GEN_DNS:
            if let text = visible() {
                dnsNames.append(text)
            } else {
                defects.append("a DNS name is empty or holds a NUL or non-ASCII byte")
            }
        case GEN_EMAIL:
            if let text = visible() {
                emails.append(text)
            } else {
                defects.append("a mail address holds a NUL or non-ASCII byte")
            }
        case GEN_IPADD:
            if let text = CertificateNames.address(bytes) {
                ipAddresses.append(text)
            } else {
                defects.append("an IP address has \(bytes.count) bytes")
            }
        default: otherNames += 1
        }
    }

    /// The text of a directory string. Nil when it cannot be decoded, holds control characters, or is a
    /// TeletexString with bytes whose meaning depends on the reader.
    private static func text(of value: UnsafePointer<ASN1_STRING>?) -> String? {
        guard let value, ASN1_STRING_length(value) > 0, ASN1_STRING_length(value) <= 1024 else { return nil }
        if ASN1_STRING_type(value) == V_ASN1_T61STRING {
            let raw = UnsafeBufferPointer(start: ASN1_STRING_get0_data(value), count: Int(ASN1_STRING_length(value)))
            guard raw.allSatisfy({ $0 < 0x80 }) else { return nil }
        }
        var start: UnsafeMutablePointer<UInt8>?
        let length = openssl { ASN1_STRING_to_UTF8(&start, value) }
        guard length > 0, let start else { return nil }
        defer { CRYPTO_free(start, nil, 0) }
        let bytes = UnsafeBufferPointer(start: start, count: Int(length))
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        return text.unicodeScalars.contains { $0.properties.generalCategory == .control } ? nil : text
    }

    private static func address(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        var text = [CChar](repeating: 0, count: 64)
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes.baseAddress, &text, socklen_t(text.count)) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
