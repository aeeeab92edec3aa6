internal import Glibc

extension TrustBundle {
    /// Where systems keep the roots of the web, in the order in which they are looked for: `SSL_CERT_FILE`, which
    /// OpenSSL's programs and curl heed too, then Debian's, Red Hat's, and the BSDs' and Alpine's place.
    public static var systemFiles: [String] {
        let named = getenv("SSL_CERT_FILE").map { String(cString: $0) } ?? ""
        return (named.isEmpty ? [] : [named]) + [
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
        ]
    }

    /// The most roots of a system's bundle; today's have some 140.
    private static let systemLimit = 1024

    /// The roots that this system trusts for the web. What in the file can't be read or can't be a root is
    /// left out: one odd root among a hundred must not take all the others away.
    ///
    /// Errors: `missing_certificate` when there is no such file, and those of reading the first one that exists.
    public static func system(files: [String] = systemFiles) throws(CertificateError) -> TrustBundle {
        guard let file = files.first(where: { access($0, F_OK) == 0 }) else {
            throw CertificateError(
                .missingCertificate, "this system has no file of trusted roots",
                hint: "install it (apt-get install ca-certificates), or name the CA's certificate")
        }
        do {
            let blocks = try PEMBlock.parse(SafeFile.read(file), expecting: "certificates", limit: systemLimit)
            let all = blocks.filter { $0.label == "CERTIFICATE" }.compactMap { try? Certificate(der: $0.decoded()) }
            return try TrustBundle(roots: all.filter { $0.constraints.canBeRoot })
        } catch {
            throw error.file == nil ? error.inFile(file) : error
        }
    }
}
