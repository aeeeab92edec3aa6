extension CertificateAuthority {
    /// The path of the SPIFFE ID by which the CA's service is known. Nodes' certificates lie below `/node/`, and only the
    /// CA's own key makes a certificate with another path: no node can pose as the CA.
    public static let servicePath = "/ca"

    /// The SPIFFE ID of the CA's service in a trust domain: "spiffe://mesh.example/ca".
    ///
    /// Errors: `bad_spiffe_id`.
    public static func serviceID(in trustDomain: String) throws(CertificateError) -> SPIFFEID {
        try SPIFFEID(parsing: "spiffe://\(trustDomain)\(servicePath)")
    }

    /// Makes key and certificate of the CA's service: for its TLS server only, never for links.
    ///
    /// - Parameters:
    ///   - validity: in seconds from `now`.
    ///   - now: unix seconds.
    ///
    /// Errors: `expired`, `not_yet_valid` (the CA itself), `library_failure`.
    public func issueServiceCredentials(validity: Int64, now: Int64) throws(CertificateError) -> Credentials {
        let key = try PrivateKey.generate()
        let certificate = try issueService(for: key.publicKey, validity: validity, now: now)
        return try Credentials(chain: [certificate] + intermediates, key: key)
    }

    private func issueService(
        for publicKey: PublicKey, validity: Int64, now: Int64
    ) throws(CertificateError) -> Certificate {
        try checkUsable(at: now)
        var builder = CertificateBuilder(
            subject: [.commonName("ca")], publicKey: publicKey, notBefore: now - CertificateAuthority.backdating,
            notAfter: now + validity)
        builder.alternativeNames = [.uri(try CertificateAuthority.serviceID(in: trustDomain).description)]
        builder.extendedKeyUsage = [.serverAuth]
        fit(&builder)
        return try builder.build(signedBy: signer)
    }
}

extension PeerIdentity {
    /// Whether it is the mesh's CA, which issues certificates and carries no links.
    public var isCAService: Bool { spiffe?.path == CertificateAuthority.servicePath }
}
