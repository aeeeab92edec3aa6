extension CertificateAuthority {
    /// How long a root vouches for the next one when nobody says otherwise, in seconds: 90 days, for nodes that were away.
    public static let defaultCrossValidity: Int64 = 90 * 86_400

    /// Signs another root of the same trust domain: a certificate with its name and key, under this CA. Who trusts only this
    /// one can verify by it what the other issues. It ends with either of the two at the latest.
    ///
    /// - Parameters:
    ///   - validity: in seconds from `now`.
    ///   - now: unix seconds.
    ///
    /// Errors: `bad_request` for what is no root of this trust domain or is this CA itself, `expired`, `not_yet_valid`,
    /// `library_failure`.
    public func crossSign(
        _ other: Certificate, validity: Int64 = defaultCrossValidity, now: Int64
    ) throws(CertificateError) -> Certificate {
        try checkUsable(at: now)
        let domain = try SPIFFEID.trustDomain(trustDomain).description
        guard other.isCA, other.isSelfSigned, other.spiffeURIs == [domain], other.publicKey != certificate.publicKey
        else {
            throw CertificateError(
                .badRequest, "\(other.subject) is not another root of the trust domain \(trustDomain)",
                hint: "make the next root with mesh ca rotate prepare")
        }
        guard other.subject != certificate.subject else {
            throw CertificateError(
                .badRequest, "both roots are called \(other.subject)",
                hint: "give the next root another name: --name NAME")
        }
        guard validity > 0 else {
            throw CertificateError(
                .badRequest, "a validity of \(validity) seconds", hint: "ask for at least one second")
        }
        let (end, overflow) = now.addingReportingOverflow(validity)
        var builder = CertificateBuilder(
            subject: [.commonName(other.commonName ?? "")], publicKey: other.publicKey,
            notBefore: now - CertificateAuthority.backdating,
            notAfter: min(overflow ? Int64.max : end, other.notAfter))
        builder.subjectCopiedFrom = other
        builder.basicConstraints = BasicConstraints(isCA: true)
        builder.keyUsage = [.keyCertSign, .cRLSign]
        builder.extendedKeyUsage = nil
        builder.alternativeNames = [.uri(domain)]
        if CertificateAuthority.canConstrain(trustDomain) { builder.permittedURIHosts = [trustDomain] }
        fit(&builder)
        builder.notBefore = max(builder.notBefore, other.notBefore)
        return try builder.build(signedBy: signer)
    }
}
