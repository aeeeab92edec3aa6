import Foundation
import PKI
import TLS
import TestPrograms
import Testing

/// Certificates as other tools make them, a CA of each kind of key over leaves of each kind: all of them verify, and links come
/// about by them in both directions.
@Suite struct ForeignCertificateTests {
    enum Tool: String, CaseIterable, Sendable {
        case openssl
        case python
    }

    private static let kinds = ["RSA-2048", "RSA-3072", "RSA-4096", "P-256", "P-384", "P-521", "Ed25519"]

    /// As `openssl` is used by hand.
    private static func makeByOpenSSL(in directory: String) throws {
        let empty = directory + "/empty.cnf"
        try "[req]\ndistinguished_name = dn\n[dn]\n".write(toFile: empty, atomically: true, encoding: .utf8)
        for kind in kinds {
            for role in ["ca", "leaf"] {
                try openssl(["genpkey", "-out", "\(directory)/\(role)-\(kind).key"] + key(kind))
            }
            try openssl([
                "req", "-x509", "-new", "-config", empty, "-key", "\(directory)/ca-\(kind).key", "-subj",
                "/CN=CA \(kind)", "-days", "30", "-out", "\(directory)/ca-\(kind).crt", "-addext",
                "subjectKeyIdentifier=hash", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ])
        }
        for (authority, kind) in combinations {
            try openssl([
                "req", "-x509", "-new", "-config", empty, "-key", "\(directory)/leaf-\(kind).key", "-subj", "/CN=Beta",
                "-CA", "\(directory)/ca-\(authority).crt", "-CAkey", "\(directory)/ca-\(authority).key", "-days", "20",
                "-out", "\(directory)/leaf-\(authority)-\(kind).crt", "-addext",
                "subjectAltName=URI:spiffe://mesh.test/node/Beta", "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth,clientAuth",
                "-addext", "authorityKeyIdentifier=keyid:always",
            ])
        }
    }

    private static func key(_ kind: String) -> [String] {
        switch kind {
        case "Ed25519": ["-algorithm", "ED25519"]
        case _ where kind.hasPrefix("RSA"):
            ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:\(kind.dropFirst(4))"]
        default: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:\(kind)"]
        }
    }

    private static var combinations: [(authority: String, leaf: String)] {
        kinds.flatMap { authority in kinds.map { (authority, $0) } }
    }

    /// Python's `cryptography`, which many tools are made of. Arguments: the directory, then the kinds.
    private static let script = """
        import datetime, sys
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
        directory, kinds = sys.argv[1], sys.argv[2:]
        now = datetime.datetime.utcnow()
        curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
        def generate(kind):
            if kind == "Ed25519":
                return ed25519.Ed25519PrivateKey.generate()
            if kind in curves:
                return ec.generate_private_key(curves[kind]())
            return rsa.generate_private_key(65537, int(kind[4:]))
        def digest(key):
            if isinstance(key, ed25519.Ed25519PrivateKey):
                return None
            sizes = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
            return sizes[key.curve.key_size] if isinstance(key, ec.EllipticCurvePrivateKey) else hashes.SHA256()
        def name(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        def usage(**given):
            names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                     "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
            return x509.KeyUsage(**{each: given.get(each, False) for each in names})
        def start(subject, issuer, key, days):
            return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                    .public_key(key.public_key()).serial_number(x509.random_serial_number())
                    .not_valid_before(now - datetime.timedelta(hours=1))
                    .not_valid_after(now + datetime.timedelta(days=days))
                    .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        def store(path, content):
            with open(f"{directory}/{path}", "wb") as file:
                file.write(content)
        def pem(key):
            return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                     serialization.NoEncryption())
        authorities, leaves = {kind: generate(kind) for kind in kinds}, {kind: generate(kind) for kind in kinds}
        for kind, key in authorities.items():
            certificate = (start(f"CA {kind}", f"CA {kind}", key, 30)
                           .add_extension(x509.BasicConstraints(True, None), True)
                           .add_extension(usage(key_cert_sign=True, crl_sign=True), True).sign(key, digest(key)))
            store(f"ca-{kind}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        for kind, key in leaves.items():
            store(f"leaf-{kind}.key", pem(key))
            for authority, signer in authorities.items():
                certificate = (start("Beta", f"CA {authority}", key, 20)
                               .add_extension(x509.BasicConstraints(False, None), True)
                               .add_extension(usage(digital_signature=True), True)
                               .add_extension(x509.ExtendedKeyUsage(
                                   [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
                               .add_extension(x509.SubjectAlternativeName(
                                   [x509.UniformResourceIdentifier("spiffe://mesh.test/node/Beta")]), False)
                               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False)
                               .sign(signer, digest(signer)))
                store(f"leaf-{authority}-{kind}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        """

    private static func make(by tool: Tool) throws -> String {
        let directory = Authority.file("-\(tool.rawValue)")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        switch tool {
        case .openssl: try makeByOpenSSL(in: directory)
        case .python:
            // Debian's, which scripts/bootstrap installs, whatever else is called python3.
            let program = try runProgram("/usr/bin/python3", ["-c", script, directory] + kinds)
            guard program.status == 0 else { throw PreparationFailed(description: program.text) }
        }
        return directory
    }

    @Test(arguments: Tool.allCases) func everyCombination(_ tool: Tool) throws {
        let directory = try Self.make(by: tool)
        for (authority, kind) in Self.combinations {
            let what: Comment = "\(kind) by a CA of \(authority)"
            let trust = try TrustBundle(roots: try certificates(in: ["\(directory)/ca-\(authority).crt"]))
            let chain = try certificates(in: ["\(directory)/leaf-\(authority)-\(kind).crt"])
            for role in [PeerVerification.Role.serverOfLink, .clientOfLink] {
                let peer = try ChainVerifier(trust: trust).verify(
                    chain,
                    expecting: .init(role: role, node: "Beta", trustDomains: ["mesh.test"], now: unixTime()))
                #expect(peer.chain.count == 2, what)
            }
            let key = try PrivateKey(
                pem: [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(directory)/leaf-\(kind).key"))))
            let credentials = try Credentials(chain: chain, key: key)
            for version in [TLSVersion.tls12, .tls13] {
                let (client, server) = try handshake(credentials, trust, version)
                // TLS 1.2 binds the curve of a certificate to the groups, of which P-521 is none.
                let isPossible = version == .tls13 || kind != "P-521"
                #expect((client.error == nil) == isPossible, what)
                #expect((server.error == nil) == isPossible, what)
            }
        }
    }

    /// What a profile's signatures leave out is no key of ours either.
    @Test(arguments: ["P-521", "Ed25519"]) func keysThatAProfileDoesNotPermit(_ kind: String) throws {
        let authority = try Authority(name: "CA \(kind)")
        let key = Authority.file(".key")
        try openssl(["genpkey", "-out", key] + Self.key(kind))
        let chain = try certificates(in: [
            try authority.certificate(subject: "/CN=Beta", keyFile: key, extensions: [], options: [])
        ])
        let credentials = try Credentials(
            chain: chain, key: try PrivateKey(pem: [UInt8](Data(contentsOf: URL(fileURLWithPath: key)))))
        var configuration = TLSContext.Configuration(
            role: .server, credentials: credentials, trust: try authority.trust())
        #expect(throws: Never.self) { try TLSContext(configuration) }
        configuration.parameters = .nist
        let error = #expect(throws: TLSError.self) { try TLSContext(configuration) }
        #expect(error?.certificate?.reason == .unsupportedKey)
    }

    /// Both ends show the certificate and verify the other's.
    private func handshake(
        _ credentials: Credentials, _ trust: TrustBundle, _ version: TLSVersion
    ) throws -> (client: Outcome, server: Outcome) {
        func session(_ role: TLSContext.Role) throws -> TLSSession {
            let configuration = TLSContext.Configuration(
                role: role, credentials: credentials, trust: trust, minimumVersion: version, maximumVersion: version,
                trustDomains: ["mesh.test"])
            return try TLSSession(context: try TLSContext(configuration), expecting: .node("Beta"))
        }
        return Pair(try session(.client), try session(.server)).connect()
    }
}
