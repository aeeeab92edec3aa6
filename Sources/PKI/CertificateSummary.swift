/// What a certificate says, as plain values for JSON and as lines for people.
public struct CertificateSummary: Sendable, Equatable {
    /// Subject in one line.
    public let subject: String
    /// Issuer in one line.
    public let issuer: String
    /// Serial number in hex.
    public let serial: String
    /// First second of validity, RFC 3339.
    public let notBefore: String
    /// End of validity, RFC 3339.
    public let notAfter: String
    /// "valid", "expired" or "not_yet_valid" at the time of the summary.
    public let validity: String
    /// Whole days until the end, negative when it has passed.
    public let daysRemaining: Int64
    /// The node's name from the SPIFFE ID, else the CN.
    public let node: String?
    /// SPIFFE URIs.
    public let spiffeURIs: [String]
    /// Other URIs.
    public let otherURIs: [String]
    /// DNS names.
    public let dnsNames: [String]
    /// IP addresses.
    public let ipAddresses: [String]
    /// Mail addresses.
    public let emails: [String]
    /// Whether it is a CA.
    public let isCA: Bool
    /// How many CAs may follow; nil for any number or none.
    public let pathLength: Int?
    /// Key usage; nil where absent.
    public let keyUsage: [String]?
    /// Extended key usage; nil where absent.
    public let extendedKeyUsage: [String]?
    /// Kind of key.
    public let keyAlgorithm: String
    /// Signature algorithm.
    public let signatureAlgorithm: String
    /// Whether it signed itself.
    public let isSelfSigned: Bool
    /// SHA-256 of the certificate in hex.
    public let fingerprintSHA256: String
    /// SHA-256 of the public key in base64, as pins have it.
    public let spkiSHA256: String
    /// Subject key identifier in hex.
    public let subjectKeyID: String?
    /// Authority key identifier in hex.
    public let authorityKeyID: String?
    /// What is wrong with it in itself, apart from time and trust, in words.
    public let remarks: [String]

    /// The facts as labelled lines: `("Subject", "CN=db-1")`.
    public var fields: [(label: String, value: String)] {
        var list: [(label: String, value: String)] = [("Subject", subject), ("Issuer", issuerText), ("Serial", serial)]
        if let node, !isCA { list.append(("Node", node)) }
        for uri in spiffeURIs { list.append(("SPIFFE ID", uri)) }
        for uri in otherURIs { list.append(("URI", uri)) }
        if !dnsNames.isEmpty { list.append(("DNS names", dnsNames.joined(separator: ", "))) }
        if !ipAddresses.isEmpty { list.append(("IP addresses", ipAddresses.joined(separator: ", "))) }
        if !emails.isEmpty { list.append(("Mail", emails.joined(separator: ", "))) }
        list.append(("Valid", "\(notBefore) to \(notAfter) (\(validityText))"))
        list.append(("CA", isCA ? "yes" + (pathLength.map { ", path length \($0)" } ?? "") : "no"))
        list.append(("Key usage", keyUsage?.joined(separator: ", ") ?? "absent"))
        list.append(("Extended usage", extendedKeyUsage?.joined(separator: ", ") ?? "absent"))
        list.append(("Key", keyAlgorithm))
        list.append(("Signature", signatureAlgorithm))
        list.append(("SHA-256", fingerprintSHA256))
        list.append(("SPKI pin", "spki-sha256:\(spkiSHA256)"))
        if let subjectKeyID { list.append(("Subject key ID", subjectKeyID)) }
        if let authorityKeyID { list.append(("Issuer key ID", authorityKeyID)) }
        for remark in remarks { list.append(("Remark", remark)) }
        return list
    }

    /// The facts as aligned lines for a terminal.
    public var lines: [String] {
        let fields = fields
        let width = (fields.map(\.label.count).max() ?? 0) + 2
        return fields.map { $0.label + String(repeating: " ", count: width - $0.label.count) + $0.value }
    }

    private var issuerText: String { isSelfSigned ? "itself (self-signed)" : issuer }

    private var validityText: String {
        switch validity {
        case "expired": "expired"
        case "not_yet_valid": "not yet valid"
        default: "\(daysRemaining) day\(daysRemaining == 1 ? "" : "s") left"
        }
    }
}

extension Certificate {
    /// Describes the certificate as it is at `now`, unix seconds.
    public func summary(now: Int64) -> CertificateSummary {
        let spiffe = spiffeURIs
        return CertificateSummary(
            subject: subject, issuer: issuer, serial: serialHex, notBefore: UTCTime.text(notBefore),
            notAfter: UTCTime.text(notAfter),
            validity: now < notBefore ? "not_yet_valid" : now >= notAfter ? "expired" : "valid",
            daysRemaining: CertificateExpiry(self).daysRemaining(at: now),
            node: spiffe.isEmpty ? commonName : (try? SPIFFEID(parsing: spiffe[0]))?.nodeName, spiffeURIs: spiffe,
            otherURIs: uris.filter { !spiffe.contains($0) }, dnsNames: dnsNames, ipAddresses: ipAddresses,
            emails: emails, isCA: isCA, pathLength: pathLength, keyUsage: keyUsage?.labels,
            extendedKeyUsage: extendedKeyUsage?.map(\.description), keyAlgorithm: keyAlgorithm,
            signatureAlgorithm: signatureAlgorithm, isSelfSigned: isSelfSigned, fingerprintSHA256: fingerprintSHA256,
            spkiSHA256: spkiSHA256, subjectKeyID: constraints.subjectKeyID,
            authorityKeyID: constraints.authorityKeyID, remarks: remarks)
    }

    /// What the mesh would refuse or needs a setting for, in words.
    private var remarks: [String] {
        var list = names.defects
        if !isSerialPositive, !isSelfSigned { list.append("the serial number is not positive") }
        if spiffeURIs.count > 1 { list.append("more than one SPIFFE URI") }
        if !isCA, spiffeURIs.isEmpty { list.append("no SPIFFE URI: the CN identifies only where policy maps it") }
        if !isCA, extendedKeyUsage == nil { list.append("no extended key usage: needs legacyCertificates") }
        if hasWeakSignatureDigest { list.append("signed with a broken digest") }
        if publicKey.kind.family == .rsa, publicKey.kind.bits < 2048 { list.append("the key is too short") }
        if constraints.hasInvalidExtension { list.append("an extension is malformed or doubled") }
        if constraints.hasUnknownCriticalExtension { list.append("a critical extension is unknown here") }
        for uri in spiffeURIs {
            do throws(CertificateError) { _ = try SPIFFEID(parsing: uri) } catch { list.append(error.message) }
        }
        return list
    }
}
