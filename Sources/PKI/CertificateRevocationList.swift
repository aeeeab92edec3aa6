import Bytes
import COpenSSL

/// A CRL (RFC 5280, section 5): what its issuer has withdrawn. Immutable; whether its issuer signed it is seen when a chain
/// is verified with it.
public final class CertificateRevocationList: @unchecked Sendable {
    // Unchecked: X509_CRL is counted atomically, sorts itself under a lock, and is never changed here.
    private let crl: OpaquePointer
    /// The issuer's name in one line.
    public let issuer: String
    /// When it was made, unix seconds.
    public let thisUpdate: Int64
    /// When the next one is due, unix seconds; nil where it does not say.
    public let nextUpdate: Int64?
    /// Its number (RFC 5280, section 5.2.3), big-endian without leading zeros: the next one of the same issuer has a larger one.
    /// Empty where it has none.
    public let number: [UInt8]
    /// How many certificates are on it.
    public let count: Int

    /// The largest file that is read, in bytes: a million entries take some 40 MB, which nobody should send to a node.
    public static let sizeLimit = 16 << 20

    /// Reads one in DER.
    ///
    /// Errors: `malformed`; `partial_crl`, `bad_extension` for one that is not complete for its issuer or not understood.
    public init(der: [UInt8]) throws(CertificateError) {
        guard let crl = decodeDER(der, { d2i_X509_CRL(nil, $0, $1) }, free: { X509_CRL_free($0) }) else {
            throw CertificateError(
                .malformed, "not a CRL: \(OpenSSLErrors.drain())",
                hint: "look at it: openssl crl -in FILE -noout -text (-inform DER)")
        }
        guard let made = unixSeconds(X509_CRL_get0_lastUpdate(crl)) else {
            X509_CRL_free(crl)
            throw CertificateError(
                .malformed, "the CRL does not say when it was made", hint: "make it again: openssl ca -gencrl")
        }
        do throws(CertificateError) {
            try Self.checkComplete(crl)
        } catch {
            X509_CRL_free(crl)
            throw error
        }
        self.crl = crl
        thisUpdate = made
        nextUpdate = unixSeconds(X509_CRL_get0_nextUpdate(crl))
        issuer = oneLine(X509_CRL_get_issuer(crl))
        count = Int(pki_crl_count(crl))
        number = Self.number(of: crl)
    }

    private static func number(of crl: OpaquePointer) -> [UInt8] {
        guard let value = openssl({ X509_CRL_get_ext_d2i(crl, NID_crl_number, nil, nil) }) else { return [] }
        let integer = value.assumingMemoryBound(to: ASN1_INTEGER.self)
        defer { ASN1_INTEGER_free(integer) }
        guard let bytes = ASN1_STRING_get0_data(integer) else { return [] }
        let all = UnsafeBufferPointer(start: bytes, count: Int(ASN1_STRING_length(integer)))
        return Array(all.drop { $0 == 0 })
    }

    /// Whether it was made before `other`, of the same issuer: by time, and within a second by number.
    func isOlder(than other: CertificateRevocationList) -> Bool {
        if thisUpdate != other.thisUpdate { return thisUpdate < other.thisUpdate }
        if number.count != other.number.count { return number.count < other.number.count }
        return number.lexicographicallyPrecedes(other.number)
    }

    deinit { X509_CRL_free(crl) }

    /// Lends the X509_CRL, which must not be changed.
    func withCRL<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(crl) }
    }

    /// The list in DER; empty when memory is short.
    public var der: [UInt8] { withCRL { crl in encodeDER { i2d_X509_CRL(crl, $0) } ?? [] } }

    /// Whether the list names the subject of this CA as its issuer.
    public func names(asIssuer issuer: Certificate) -> Bool {
        withCRL { crl in
            issuer.withX509 { X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name($0)) == 0 }
        }
    }

    /// Whether the list says that this CA has made it: by its name, and by the identifier of its key where it has one.
    public func claims(issuer: Certificate) -> Bool {
        guard names(asIssuer: issuer) else { return false }
        guard
            let value = withCRL({ crl in
                openssl { X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, nil, nil) }
            })
        else { return true }
        let identifier = value.assumingMemoryBound(to: AUTHORITY_KEYID.self)
        defer { AUTHORITY_KEYID_free(identifier) }
        return issuer.withX509 { X509_check_akid($0, identifier) == X509_V_OK }
    }

    /// Whether the key of `issuer` made the list's signature.
    public func isSigned(by issuer: Certificate) -> Bool {
        withCRL { crl in issuer.withX509 { other in openssl { X509_CRL_verify(crl, X509_get0_pubkey(other)) == 1 } } }
    }

    /// The name of the file in which a list from a URL is kept: names of files are short, and URLs need not be.
    public static func fileName(for url: String) -> String { Hex.encode(sha256(Array(url.utf8))) + ".crl" }

    /// Reads one list, in DER or PEM, as servers send it.
    ///
    /// Errors: `not_pem`, and those of ``init(der:)``.
    public static func single(_ bytes: [UInt8]) throws(CertificateError) -> CertificateRevocationList {
        guard let first = try parse(bytes).first else {
            throw CertificateError(.malformed, "not a CRL", hint: "look at it: openssl crl -in FILE -noout -text")
        }
        return first
    }

    private static func parse(_ bytes: [UInt8]) throws(CertificateError) -> [CertificateRevocationList] {
        if bytes.first == 0x30 { return [try CertificateRevocationList(der: bytes)] }
        var lists: [CertificateRevocationList] = []
        for block in try PEMBlock.parse(bytes, expecting: "a CRL") where block.label == "X509 CRL" {
            lists.append(try CertificateRevocationList(der: block.decoded()))
        }
        guard !lists.isEmpty else {
            throw CertificateError(
                .notPEM, "holds no CRL (-----BEGIN X509 CRL-----)", hint: "make one: openssl ca -gencrl -out FILE")
        }
        return lists
    }

    /// Reads a file: one CRL in DER, or one or more in PEM.
    ///
    /// Errors: those of `SafeFile.read`, `not_pem`, and those of ``init(der:)``, with the file.
    public static func load(file: String) throws(CertificateError) -> [CertificateRevocationList] {
        let bytes = try SafeFile.read(file, limit: sizeLimit)
        do throws(CertificateError) {
            return try parse(bytes)
        } catch {
            throw error.inFile(file)
        }
    }
}

/// The CRLs that chains are checked against, and what happens where one is missing.
public struct RevocationLists: Sendable {
    /// What happens where the state of a certificate cannot be found out: no CRL of its issuer, or one that is out of date.
    public enum Mode: String, Sendable, CaseIterable {
        /// It passes. What stands on a CRL is refused all the same, out of date or not.
        case soft
        /// It is refused.
        case hard
    }

    /// The lists.
    public let lists: [CertificateRevocationList]
    /// What happens without one.
    public let mode: Mode

    /// Lists from their files.
    public init(_ lists: [CertificateRevocationList], mode: Mode) {
        self.lists = lists
        self.mode = mode
    }

    /// Asks a verification to look at the lists, for every certificate of the chain.
    func apply(to context: OpaquePointer, _ stack: RevocationStack) {
        X509_STORE_CTX_set0_crls(context, stack.pointer)
        X509_VERIFY_PARAM_set_flags(
            X509_STORE_CTX_get0_param(context), UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
        pki_tolerate_crls(context, stack.skew, mode == .soft ? 1 : 0)
    }
}

/// A STACK_OF(X509_CRL) that holds a reference to each of its lists.
final class RevocationStack {
    let pointer: OpaquePointer
    /// How far the clocks of those who made the lists may be ahead, in seconds, as C reads it during a verification.
    let skew: UnsafePointer<Int64>

    init(_ lists: [CertificateRevocationList]) throws(CertificateError) {
        guard let stack = openssl({ pki_crls_new() }) else { throw OpenSSLErrors.failure("make a list") }
        pointer = stack
        let place = UnsafeMutablePointer<Int64>.allocate(capacity: 1)
        place.initialize(to: CertificateRevocationList.clockSkew)
        skew = UnsafePointer(place)
        for list in lists {
            guard list.withCRL({ pki_crls_append(stack, $0) }) == 1 else {
                throw OpenSSLErrors.failure("extend a list")
            }
        }
    }

    deinit {
        pki_crls_free(pointer)
        skew.deallocate()
    }
}
