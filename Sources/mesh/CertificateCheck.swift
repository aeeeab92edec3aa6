import JSON
import PKI

/// The verdict on a file of certificates, as `mesh cert check` gives it.
struct CertificateCheck {
    /// What was found.
    let report: InspectionReport
    /// The time of the check, unix seconds.
    let now: Int64

    init(_ report: InspectionReport, now: Int64) {
        self.report = report
        self.now = now
    }

    /// Nothing is wrong.
    var isValid: Bool { report.faults.isEmpty }

    /// The certificate that ends first.
    private var first: Certificate? { report.certificates.map(\.certificate).min { $0.notAfter < $1.notAfter } }

    /// All are valid, and a warning is due for one of them.
    var isExpiringSoon: Bool {
        report.certificates.contains { CertificateExpiry($0.certificate).isSoon(at: now) }
    }

    /// Whole days until the first one ends.
    private var daysRemaining: Int64? { first.map { CertificateExpiry($0).daysRemaining(at: now) } }

    private static func verdict(_ checks: [CertificateCheck]) -> JSONObject {
        let fault = checks.lazy.compactMap(\.report.faults.first).first
        return [
            "valid": .bool(checks.allSatisfy(\.isValid)), "error": fault.map { .string($0.message) } ?? .null,
            "reason": fault.map { .string($0.code) } ?? .null, "hint": fault.map { .string($0.hint) } ?? .null,
            "expiring_soon": .bool(checks.contains(where: \.isExpiringSoon)),
            "days_remaining": checks.compactMap(\.daysRemaining).min().map { .integer($0) } ?? .null,
        ]
    }

    /// For `--json`: the verdict on all, then on each with everything that was found.
    static func json(_ checks: [CertificateCheck]) -> JSONValue {
        var all = verdict(checks)
        all["files"] = .array(
            checks.map { check in
                var object = verdict([check])
                for member in check.report.json.object?.members ?? [] { object[member.key] = member.value }
                return .object(object)
            })
        return .object(all)
    }

    /// For people.
    func print() {
        Output.line("\(report.file): \(headline)")
        var fields: [(label: String, value: String)] = []
        for (index, entry) in report.certificates.enumerated() {
            let summary = entry.summary
            fields.append((index == 0 ? "Certificate" : "Above it", summary.subject))
            let names = summary.spiffeURIs + summary.dnsNames + summary.ipAddresses
            if index == 0 { fields.append(("Names", names.isEmpty ? "none" : names.joined(separator: ", "))) }
            fields.append(("Valid", "\(summary.notBefore) to \(summary.notAfter)"))
        }
        if let leaf = report.certificates.first?.summary {
            fields.append(("Issuer", leaf.isSelfSigned ? "itself (self-signed)" : leaf.issuer))
            fields.append(("Key", leaf.keyAlgorithm))
            fields += report.transparency?.fields ?? []
            fields += report.responders?.fields ?? []
        }
        Output.fields(fields, indent: 2)
        for remark in report.remarks { Output.line("  \(remark)") }
        for fault in report.faults {
            Output.fields([("wrong", "\(fault.message) (\(fault.code))"), ("hint", fault.hint)], indent: 2)
        }
        if isValid, isExpiringSoon {
            Output.fields(
                [
                    (
                        "hint",
                        "see whether its renewal works, or make another one: \(NewCertificate.commands()) "
                            + "(--force replaces files)"
                    )
                ], indent: 2)
        }
    }

    private var headline: String {
        guard isValid, let first else { return "NOT VALID" }
        let left = UTCTime.duration(first.notAfter - now)
        return isExpiringSoon ? "valid, but only for \(left) more" : "valid for \(left)"
    }
}
