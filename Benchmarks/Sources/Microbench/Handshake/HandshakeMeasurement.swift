import BareTLS
import Glibc
import PKI

/// CPU of a full mutual TLS 1.3 handshake, ours beside bare OpenSSL, by turns, with the same certificates.
enum HandshakeMeasurement {
    /// Takes five turns of `count` handshakes each and prints both ends' medians and their ratio.
    static func run(count: Int) throws {
        let folder = DirectoryBench.folder()
        defer { remove(folder) }
        let now = Int64(time(nil))
        let authority = try CertificateAuthority.createRoot(name: "Bench CA", trustDomain: "bench.mesh", now: now)
        let client = try authority.issueCredentials(IssueRequest(node: "A"), now: now)
        let server = try authority.issueCredentials(IssueRequest(node: "B"), now: now)
        try authority.write(certificateFile: folder + "/ca.crt", keyFile: folder + "/ca.key", passphrase: nil)
        try client.write(certificateFile: folder + "/a.crt", keyFile: folder + "/a.key", passphrase: nil)
        try server.write(certificateFile: folder + "/b.crt", keyFile: folder + "/b.key", passphrase: nil)
        guard
            let bare = bare_tls_new(
                folder + "/ca.crt", folder + "/a.crt", folder + "/a.key", folder + "/b.crt", folder + "/b.key")
        else { Output.fail("OpenSSL refuses the certificates") }
        defer { bare_tls_free(bare) }
        for acceleration in [true, false] {
            let ours = try HandshakePair(
                root: authority.root, client: client, server: server, acceleration: acceleration)
            try compare(ours, bare, count: count, acceleration ? "acceleration on" : "acceleration off")
        }
    }

    /// By tens in turn, so that both see the same machine.
    private static func compare(_ ours: HandshakePair, _ bare: OpaquePointer, count: Int, _ name: String) throws {
        var samples = [[Samples]](repeating: [Samples](repeating: Samples(), count: 3), count: 2)
        for turn in 0...5 {
            var (client, server, bareClient, bareServer): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
            for number in 0..<2 * count {
                if number / 10 % 2 == 0 {
                    try ours.handshake(client: &client, server: &server)
                } else {
                    require(bare_tls_handshake(bare, &bareClient, &bareServer) == 1, "OpenSSL's handshake failed")
                }
            }
            // The first turn warms up.
            guard turn > 0 else { continue }
            let each = [client, server, bareClient, bareServer].map { Double($0) / Double(count) / 1e3 }
            for end in 0..<2 {
                samples[end][0].add(each[end])
                samples[end][1].add(each[end + 2])
                samples[end][2].add(each[end] / each[end + 2])
            }
        }
        for (end, which) in ["client", "server"].enumerated() {
            let ratio = samples[end][2]
            Output.line(
                "handshake, \(name), \(which): ours \(Output.number(samples[end][0].median, 1)) µs, bare OpenSSL "
                    + "\(Output.number(samples[end][1].median, 1)) µs, ratio \(Output.number(ratio.median, 3)) "
                    + "[\(Output.number(ratio.least, 3)) - \(Output.number(ratio.most, 3))]; "
                    + "\(Output.number(1e6 / samples[end][0].median, 0))/s on one core")
        }
    }

    private static func remove(_ folder: String) {
        for name in ["ca", "a", "b"] {
            unlink("\(folder)/\(name).crt")
            unlink("\(folder)/\(name).key")
        }
        rmdir(folder)
    }
}
