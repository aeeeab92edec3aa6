import PKI
import Testing

@Suite struct PinTests {
    private let fixture = Fixture.shared

    @Test func formsAreTheSamePin() throws {
        let hex = String(repeating: "ab", count: 32)
        let colons = Array(repeating: "AB", count: 32).joined(separator: ":")
        let base64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
        for kind in CertificatePin.Kind.allCases {
            let pins = try [hex, colons, base64].map { try CertificatePin(parsing: "\(kind.rawValue):\($0)") }
            #expect(Set(pins).count == 1)
            #expect(pins[0].digest == (kind == .publicKey ? base64 : hex))
            #expect(try CertificatePin(parsing: pins[0].description) == pins[0])
        }
    }

    @Test(arguments: [
        "", "spki-sha256", "spki-sha256:", "sha256:abcd", "spki-sha256:abcd", "SPKI-SHA256:q6urq6s=",
        "spki-sha1:q6urq6urq6urq6urq6urq6urq6s=", "cert-sha256:" + String(repeating: "g", count: 64),
        "cert-sha256:" + String(repeating: "ab", count: 33),
        "spki-sha256:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=x",
    ])
    func whatIsNoPin(_ text: String) {
        #expect(throws: CertificateError.self) { try CertificatePin(parsing: text) }
    }

    @Test func rulesAndWhomTheyConcern() throws {
        let fixture = try fixture.get()
        let leaf = try fixture.leaf()
        let chain = [leaf, fixture.ca.certificate]
        let (good, foreign) = (CertificatePin(of: leaf), CertificatePin(of: fixture.foreign.certificate.publicKey))
        let issuer = CertificatePin(of: fixture.ca.certificate.publicKey)
        func outcome(
            _ rules: [PinPolicy.Rule], node: String? = "ACL", _ role: PeerVerification.Role = .clientOfLink
        ) -> String {
            do {
                return try PinPolicy(rules: rules).check(node: node, role: role, chain: chain).code ?? "none"
            } catch { return error.code }
        }
        #expect(outcome([]) == "none")
        #expect(outcome([.init(node: "ACL", pins: [good])]) == "matched")
        #expect(outcome([.init(node: "ACL", pins: [foreign, issuer])], .serverOfLink) == "matched")
        #expect(outcome([.init(node: "ACL", pins: [foreign])]) == "pin_mismatch")
        #expect(outcome([.init(node: "ACL", pins: [foreign], mode: .report)]) == "mismatch")
        #expect(outcome([.init(node: "Other", pins: [foreign])]) == "none")
        #expect(outcome([.init(node: "ACL", pins: [foreign])], node: nil) == "none")
        // Without a node: whoever dials here, and nobody whom we dial.
        #expect(outcome([.init(pins: [foreign])]) == "pin_mismatch")
        #expect(outcome([.init(pins: [foreign])], node: nil) == "pin_mismatch")
        #expect(outcome([.init(pins: [foreign])], .serverOfLink) == "none")
        // Every rule counts, in any order.
        #expect(outcome([.init(node: "ACL", pins: [good]), .init(pins: [foreign])]) == "pin_mismatch")
        #expect(outcome([.init(pins: [foreign], mode: .report), .init(node: "ACL", pins: [good])]) == "mismatch")
    }

    @Test func warningsByLifetime() {
        let day: Int64 = 86_400
        let cases: [(lifetime: Int64, thresholds: [Int64])] = [
            (365 * day, [30 * day, 14 * day, 7 * day, day]), (90 * day, [90 * day / 4, 14 * day, 7 * day, day]),
            (40 * day, [10 * day, 7 * day, day]), (day, [6 * 3600]), (60, [15]), (0, [0]),
        ]
        for (lifetime, thresholds) in cases {
            let expiry = CertificateExpiry(notBefore: 1000, notAfter: 1000 + lifetime)
            #expect(expiry.thresholds == thresholds)
        }
        let year = CertificateExpiry(notBefore: 0, notAfter: 365 * day)
        #expect(year.passedThreshold(at: 334 * day) == nil && !year.isSoon(at: 334 * day))
        #expect(year.passedThreshold(at: 335 * day) == 30 * day && year.isSoon(at: 335 * day))
        #expect(year.passedThreshold(at: 358 * day) == 7 * day)
        #expect(year.passedThreshold(at: 365 * day) == 0 && !year.isSoon(at: 365 * day))
    }
}
