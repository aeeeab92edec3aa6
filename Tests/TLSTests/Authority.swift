import Foundation
import PKI
import TLS

/// What a test could not prepare.
struct PreparationFailed: Error, CustomStringConvertible {
    let description: String
}

/// A CA made with the `openssl` program, so that the tests also have certificates that PKI would never issue, made by
/// somebody else.
final class Authority: Sendable {
    let name: String
    let certificateFile: String
    let keyFile: String
    /// Self-signed, or the certificates up to the root, this one first.
    let chainFiles: [String]

    /// The CA that the fixtures trust.
    static let mesh = Result { try Authority(name: "Test Mesh CA") }

    static let directory: String = {
        let path = NSTemporaryDirectory() + "conduit-tls-tests-\(getpid())"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        atexit { try? FileManager.default.removeItem(atPath: NSTemporaryDirectory() + "conduit-tls-tests-\(getpid())") }
        return path
    }()

    private static let counter = Counter()

    /// A name for a file that no other has.
    static func file(_ suffix: String) -> String { "\(directory)/\(counter.next())\(suffix)" }

    init(
        name: String, keyAlgorithm: String = "P-256", constraints: String = "critical,CA:TRUE",
        usage: String = "keyCertSign,cRLSign",
        extra: [String] = []
    ) throws {
        self.name = name
        keyFile = try Authority.key(keyAlgorithm)
        certificateFile = Authority.file(".crt")
        chainFiles = [certificateFile]
        var arguments = [
            "req", "-x509", "-new", "-config", try Authority.emptyConfiguration.get(), "-key", keyFile,
            "-subj", "/CN=\(name)", "-days", "3650", "-out", certificateFile,
            "-addext", "subjectKeyIdentifier=hash", "-addext", "basicConstraints=\(constraints)", "-addext",
            "keyUsage=critical,\(usage)",
        ]
        for line in extra { arguments += ["-addext", line] }
        try openssl(arguments)
    }

    /// An intermediate below another CA.
    init(name: String, under parent: Authority, extra: [String] = []) throws {
        self.name = name
        keyFile = try Authority.key("P-256")
        certificateFile = try parent.certificate(
            subject: "/CN=\(name)", keyFile: keyFile,
            extensions: [
                "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash",
            ] + extra,
            options: [])
        chainFiles = [certificateFile] + parent.chainFiles
    }

    /// Somebody who signs with a certificate that he has, whether it is a CA's or not.
    init(signingAs name: String, _ leaf: Leaf) {
        self.name = name
        keyFile = leaf.keyFile
        certificateFile = leaf.certificateFiles[0]
        chainFiles = leaf.certificateFiles
    }

    /// The keys of leaves, one for each algorithm: the tests tell leaves apart by their certificates.
    private static let leafKeys = ["P-256", "P-384", "Ed25519", "RSA", "RSA-1024"].reduce(into: [:]) { keys, name in
        keys[name] = Result { try key(name) }
    }

    /// A new private key in PKCS #8.
    static func key(_ algorithm: String) throws -> String {
        let path = file(".key")
        let choice: [String] =
            switch algorithm {
            case "P-256", "P-384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:\(algorithm)"]
            case "Ed25519": ["-algorithm", "ED25519"]
            case "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
            case "RSA-1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]
            default: throw PreparationFailed(description: "no key algorithm \(algorithm)")
            }
        try openssl(["genpkey", "-out", path] + choice)
        chmod(path, 0o600)
        return path
    }

    /// Signs a certificate and returns its file.
    func certificate(subject: String, keyFile: String, extensions: [String], options: [String]) throws -> String {
        let path = Authority.file(".crt")
        var arguments = [
            "req", "-x509", "-new", "-config", try Authority.emptyConfiguration.get(), "-key", keyFile,
            "-subj", subject, "-CA", certificateFile, "-CAkey", self.keyFile, "-days", "90", "-out", path,
        ]
        for line in extensions { arguments += ["-addext", line] }
        if !options.contains("-set_serial") { arguments += ["-set_serial", "0x10\(Authority.counter.next())"] }
        try openssl(arguments + options)
        return path
    }

    /// No extensions but those that are asked for.
    private static let emptyConfiguration = Result {
        let path = file(".cnf")
        try Data("[req]\ndistinguished_name = dn\n[dn]\n".utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// A leaf as the mesh issues it, with the changes that a test wants.
    func leaf(
        _ node: String, keyAlgorithm: String = "P-256", subject: String? = nil,
        usage: String? = "serverAuth,clientAuth", constraints: String? = "critical,CA:FALSE",
        names: String? = "default", authorityKey: Bool = true, options: [String] = [], sending: [String]? = nil
    ) throws -> Leaf {
        guard let keyFile = try Authority.leafKeys[keyAlgorithm]?.get() else {
            throw PreparationFailed(description: "no key algorithm \(keyAlgorithm)")
        }
        var extensions = ["keyUsage=critical,digitalSignature"]
        extensions.append("authorityKeyIdentifier=\(authorityKey ? "keyid:always" : "none")")
        if let usage { extensions.append("extendedKeyUsage=\(usage)") }
        if let constraints { extensions.append("basicConstraints=\(constraints)") }
        if let names {
            let usual = "URI:spiffe://mesh.test/node/\(node),DNS:\(node.lowercased()).internal,IP:127.0.0.1"
            extensions.append("subjectAltName=\(names == "default" ? usual : names)")
        }
        let file = try certificate(
            subject: subject ?? "/CN=\(node)", keyFile: keyFile, extensions: extensions, options: options)
        let above = sending ?? Array(chainFiles.dropLast())
        return Leaf(certificateFiles: [file] + above, keyFile: keyFile)
    }

    func trust() throws -> TrustBundle { try TrustBundle(roots: try certificates(in: [certificateFile])) }
}

/// A certificate chain and its key, in files.
struct Leaf: Sendable {
    var certificateFiles: [String]
    var keyFile: String
    /// Sent behind the chain although they do not belong to it.
    var appendedFiles: [String] = []

    func credentials() throws -> Credentials {
        let key = try PrivateKey(pem: Array(try Data(contentsOf: URL(fileURLWithPath: keyFile))))
        return try Credentials(chain: try certificates(in: certificateFiles), key: key)
    }

    func sending(also files: [String]) -> Leaf {
        Leaf(certificateFiles: certificateFiles, keyFile: keyFile, appendedFiles: files)
    }
}

/// Certificates out of PEM files, in order.
func certificates(in files: [String]) throws -> [Certificate] {
    try files.flatMap { try Certificate.parsePEM(Array(try Data(contentsOf: URL(fileURLWithPath: $0)))) }
}

private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var value = 0

    func next() -> Int {
        lock.withLock {
            value += 1
            return value
        }
    }
}
