import Foundation
import PKI

/// Certificates of a mesh's CA for keys and digests that it would not issue itself.
struct OddCertificates {
    let mesh: TestMesh

    /// What is odd about one.
    enum Kind: String, CaseIterable, Sendable {
        case p256, p384, p521, ed25519, rsa2048, rsa1024, sha1
    }

    /// Writes `NAME.crt` and `NAME.key`, and gives the path without its end.
    func make(_ kind: Kind, _ name: String, address: String) throws -> String {
        let base = "\(mesh.directory)/\(name)-\(kind.rawValue)"
        let choice: [String] =
            switch kind {
            case .p256, .sha1: ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
            case .p384: ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]
            case .p521: ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"]
            case .ed25519: ["ED25519"]
            case .rsa2048: ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
            case .rsa1024: ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]
            }
        let made = try runProgram(["openssl", "genpkey", "-out", base + ".key", "-algorithm"] + choice)
        try demandEqual(made.status, 0, made.output)
        chmod(base + ".key", 0o600)
        let key = try PrivateKey(pem: [UInt8](Data(contentsOf: URL(fileURLWithPath: base + ".key"))))
        let now = Int64(time(nil))
        var builder = CertificateBuilder(
            subject: [.commonName(name)], publicKey: key.publicKey, notBefore: now - 60, notAfter: now + 86_400)
        builder.alternativeNames = [.uri("spiffe://\(TestMesh.trustDomain)/node/\(name)"), try .ip(address)]
        builder.keyUsage = key.kind.family == .rsa ? [.digitalSignature, .keyEncipherment] : .digitalSignature
        if kind == .sha1 { builder.digest = .sha1 }
        let leaf = try builder.build(signedBy: mesh.authority.signer)
        try leaf.pem.write(toFile: base + ".crt", atomically: true, encoding: .utf8)
        return base
    }
}

/// `openssl s_server`, whose settings can be as bad as one likes.
final class OpenSSLServer {
    let address: String
    private let child: Child

    /// `files`: path of certificate and key without its end. It answers every request with a page about the connection.
    init(_ mesh: TestMesh, at address: String, files: String, _ options: [String]) throws {
        self.address = address
        child = try Child(
            ["openssl", "s_server", "-www", "-accept", address, "-cert", files + ".crt", "-key", files + ".key"]
                + options,
            output: "\(mesh.directory)/s_server-\(UUID().uuidString.prefix(8)).log")
        let child = child
        try Deadline.until("openssl s_server listens at \(address): \(child.output)") {
            child.output.contains("ACCEPT")
        }
        mesh.whenEnded { child.kill() }
    }
}
