import Foundation
import JSON
import Testing

/// The long tier: `testssl.sh` at both listeners under each profile, beside the tables of `sslscan`.
extension EndToEnd.Profiles {
    /// Where Debian's package has it; nil where it is not installed or the long tier does not run.
    private static let testssl: String? = {
        let path = "/usr/bin/testssl"
        let isWanted = ProcessInfo.processInfo.environment["MESH_E2E_FULL"] != nil
        return isWanted && FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    @Test(
        .enabled(if: testssl != nil, "the long tier (MESH_E2E_FULL), with testssl.sh: scripts/bootstrap --full"),
        arguments: table)
    func nothingIsFoundByTestSSL(_ expected: Expectation) throws {
        try withMesh { mesh in
            let node = try listeners(mesh, expected.profile)
            let scans = [7400, 8443].map { port in
                let (address, file) = ("\(node.host):\(port)", mesh.directory + "/testssl-\(port).json")
                return (port, Background { try Self.findings(address, file) })
            }
            for (port, scan) in scans {
                let found = try scan.value(within: 300, "testssl at \(port)")
                let place = "\(expected.profile) at \(port)"
                for (id, finding) in found where Self.alarms.contains(finding.severity) {
                    throw Failure("\(place): \(id): \(finding.severity), \(finding.text)")
                }
                for (id, text) in Self.expectations(expected) {
                    guard let finding = found[id] else { throw Failure("\(place): nothing is said of \(id)") }
                    try demand(finding.text.hasPrefix(text), "\(place): \(id): \(finding.text), not \(text)")
                }
            }
        }
    }

    private static let alarms: Set<String> = ["LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"]

    /// What is found, by testssl's own names.
    private static func expectations(_ expected: Expectation) -> [(String, String)] {
        var table: [(String, String)] = ["SSLv2", "SSLv3", "TLS1", "TLS1_1"].map { ($0, "not offered") }
        table += [("TLS1_2", expected.hasTLS12 ? "offered" : "not offered"), ("TLS1_3", "offered with final")]
        table += ["NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE"].map { ("cipherlist_\($0)", "not offered") }
        table += [("PFS", "offered")]
        table += ["heartbleed", "CCS", "ROBOT", "CRIME_TLS", "POODLE_SSL", "FREAK"].map { ($0, "not vulnerable") }
        // Without TLS 1.2 testssl 3.0 gives SWEET32 another name; with it, it cannot renegotiate where it has no certificate.
        table += [(expected.hasTLS12 ? "SWEET32" : "secure_client_renego", "not vulnerable")]
        table += ["DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4"].map { ($0, "not vulnerable") }
        let curves = "prime256v1 secp384r1" + (expected.hasX25519 ? " X25519" : "")
        return table + [("PFS_ECDHE_curves", curves)]
    }

    private typealias Finding = (severity: String, text: String)

    private static func findings(_ address: String, _ file: String) throws -> [String: Finding] {
        guard let testssl else { return [:] }
        let (_, output) = try runProgram(
            [
                testssl, "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--jsonfile", file, "-p",
                "-s",
                "-f", "-U", address,
            ], within: 280)
        let text = try String(contentsOfFile: file, encoding: .utf8)
        var found: [String: Finding] = [:]
        for entry in try JSONReader.parse(text).array ?? [] {
            guard let id = entry["id"]?.string else { continue }
            found[id] = (entry["severity"]?.string ?? "", entry["finding"]?.string ?? "")
        }
        try demand(!found.isEmpty, output)
        return found
    }
}
