extension Certificate {
    /// More certificates than this in one file are refused. Trust bundles of a mesh hold a few roots.
    public static let fileLimit = 32

    /// Parses every certificate in a PEM text, in its order; keys and parameters in between are skipped.
    ///
    /// Errors: `empty_file`, `not_pem`, `der_instead_of_pem`, `missing_certificate`, `too_large`, `malformed`.
    public static func parsePEM(_ bytes: [UInt8]) throws(CertificateError) -> [Certificate] {
        let blocks = try PEMBlock.parse(bytes, expecting: "a certificate")
        let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]
        var certificates: [Certificate] = []
        for block in blocks where labels.contains(block.label) {
            guard block.label != "TRUSTED CERTIFICATE" else {
                throw CertificateError(
                    .notPEM, "line \(block.line): OpenSSL's own TRUSTED CERTIFICATE form is not read",
                    hint: "convert it: openssl x509 -in FILE -out FILE.pem")
            }
            guard certificates.count < fileLimit else {
                throw CertificateError(
                    .tooLarge, "more than \(fileLimit) certificates in one file",
                    hint: "split the file, or check the path")
            }
            do {
                certificates.append(try Certificate(der: block.decoded()))
            } catch {
                var error = error
                error.message = "certificate \(certificates.count + 1), line \(block.line): \(error.message)"
                throw error
            }
        }
        guard !certificates.isEmpty else {
            let found = blocks.map(\.label).joined(separator: ", ")
            let swapped = blocks.contains { $0.label.hasSuffix("PRIVATE KEY") }
            throw CertificateError(
                .missingCertificate, "no certificate in the file, only: \(found)",
                hint: swapped
                    ? "this is a key file; are certificate and key file swapped?"
                    : "give the file that holds BEGIN CERTIFICATE")
        }
        return certificates
    }

    /// Reads every certificate of a PEM file.
    public static func load(file: String, missing: String? = nil) throws(CertificateError) -> [Certificate] {
        let bytes = try SafeFile.read(file, missing: missing)
        do {
            return try parsePEM(bytes)
        } catch {
            throw error.inFile(file)
        }
    }
}
