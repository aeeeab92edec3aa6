/// The roots that are trusted, in the order of their file.
///
/// A root that carries a SPIFFE ID of a trust domain ("spiffe://example.org" in SubjectAltName, as `mesh ca init`
/// makes it) vouches for that domain only.
public struct TrustBundle: Sendable, Equatable {
    /// The trusted CA certificates.
    public let roots: [Certificate]

    /// Takes certificates, each of which must be a CA.
    ///
    /// Errors: `missing_certificate` when there is none, `not_a_ca`.
    public init(roots: [Certificate]) throws(CertificateError) {
        guard !roots.isEmpty else {
            throw CertificateError(
                .missingCertificate, "no trusted root", hint: "give the CA's certificate, as written by: mesh ca init")
        }
        for root in roots where !root.constraints.canBeRoot {
            throw CertificateError(
                .notACA, "\(root.subject) is not a CA certificate and cannot be trusted as a root",
                hint: "give the CA's certificate here, not a node's: mesh ca inspect FILE")
        }
        self.roots = roots
    }

    /// Reads a PEM file with one or more roots.
    ///
    /// Errors: those of `Certificate.load` and of `init(roots:)`, with the file.
    public static func load(file: String) throws(CertificateError) -> TrustBundle {
        let certificates = try Certificate.load(
            file: file, missing: "check the path; it is the CA's certificate (mesh ca init writes ca.crt)")
        do {
            return try TrustBundle(roots: certificates)
        } catch {
            throw error.inFile(file)
        }
    }

    /// Several bundles as one, without doubles.
    public func merging(_ other: TrustBundle) -> TrustBundle {
        TrustBundle(checked: roots + other.roots.filter { !roots.contains($0) })
    }

    private init(checked: [Certificate]) { roots = checked }
}
