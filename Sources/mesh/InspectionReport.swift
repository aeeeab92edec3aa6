import JSON
import PKI

/// What a file of certificates and keys holds, and what is wrong with it.
struct InspectionReport {
    /// The file.
    let file: String
    /// Its certificates in their order.
    var certificates: [(certificate: Certificate, summary: CertificateSummary)] = []
    /// Its private key, where it could be read.
    var key: PrivateKey?
    /// Whether it holds a key that is encrypted; nil without a key.
    var isKeyEncrypted: Bool?
    /// Whether it is PKCS#12.
    var isPKCS12 = false
    /// The SCTs of its first certificate, where somebody looked.
    var transparency: TransparencyReport?
    /// What OCSP responders say, where they were asked.
    var responders: ResponderReport?
    /// What is wrong.
    var faults: [CertificateError] = []
    /// What is worth knowing.
    var remarks: [String] = []

    init(file: String) { self.file = file }

    mutating func add(_ reason: CertificateReason, _ message: String, hint: String) {
        faults.append(CertificateError(reason, message, hint: hint))
    }

    /// For `--json`.
    var json: JSONValue {
        var object: JSONObject = [
            "file": .string(file), "certificates": .array(certificates.map { Self.json($0.summary) }),
        ]
        if let key {
            object["key"] = [
                "algorithm": .string(key.kind.description), "encrypted": .bool(isKeyEncrypted ?? false),
                "spkiSHA256": .string(key.publicKey.spkiSHA256),
            ]
        } else if isKeyEncrypted == true {
            object["key"] = ["encrypted": true]
        }
        if let transparency { object["scts"] = transparency.json }
        if let responders { object["ocsp"] = responders.json }
        object["faults"] = .array(
            faults.map { ["reason": .string($0.code), "message": .string($0.message), "hint": .string($0.hint)] })
        object["remarks"] = JSONValue(remarks)
        return .object(object)
    }

    private static func json(_ summary: CertificateSummary) -> JSONValue {
        func optional(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
        return [
            "subject": .string(summary.subject), "issuer": .string(summary.issuer), "serial": .string(summary.serial),
            "node": optional(summary.node), "isCA": .bool(summary.isCA),
            "pathLength": summary.pathLength.map { JSONValue($0) } ?? .null,
            "isSelfSigned": .bool(summary.isSelfSigned), "notBefore": .string(summary.notBefore),
            "notAfter": .string(summary.notAfter), "validity": .string(summary.validity),
            "daysRemaining": .integer(summary.daysRemaining), "spiffe": JSONValue(summary.spiffeURIs),
            "uris": JSONValue(summary.otherURIs), "dnsNames": JSONValue(summary.dnsNames),
            "ipAddresses": JSONValue(summary.ipAddresses), "emails": JSONValue(summary.emails),
            "keyUsage": summary.keyUsage.map { JSONValue($0) } ?? .null,
            "extendedKeyUsage": summary.extendedKeyUsage.map { JSONValue($0) } ?? .null,
            "keyAlgorithm": .string(summary.keyAlgorithm), "signatureAlgorithm": .string(summary.signatureAlgorithm),
            "fingerprintSHA256": .string(summary.fingerprintSHA256), "spkiSHA256": .string(summary.spkiSHA256),
            "subjectKeyID": optional(summary.subjectKeyID), "authorityKeyID": optional(summary.authorityKeyID),
            "remarks": JSONValue(summary.remarks),
        ]
    }

    /// The report for people.
    func print() {
        Output.line("\(file)\(isPKCS12 ? " (PKCS#12)" : "")")
        for (index, entry) in certificates.enumerated() {
            if index > 0 { Output.line("") }
            if certificates.count > 1 { Output.line("  certificate \(index + 1) of \(certificates.count)") }
            Output.fields(entry.summary.fields, indent: 2)
        }
        if let key {
            if !certificates.isEmpty { Output.line("") }
            Output.fields(
                [
                    (
                        "Private key",
                        key.kind.description + (isKeyEncrypted == true ? ", encrypted" : ", not encrypted")
                    ),
                    ("SPKI pin", "spki-sha256:\(key.publicKey.spkiSHA256)"),
                ], indent: 2)
        }
        for remark in remarks { Output.line("  \(remark)") }
        for fault in faults {
            Output.fields([("wrong", "\(fault.message) (\(fault.code))"), ("hint", fault.hint)], indent: 2)
        }
    }
}
