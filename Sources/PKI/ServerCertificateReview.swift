/// What clients from outside would say about a server's certificate, seen before they come.
public struct ServerCertificateReview: Sendable {
    /// What clients refuse: `expired`, `not_yet_valid`, `wrong_name`, `wrong_usage`.
    public private(set) var problems: [CertificateError] = []
    /// What some clients refuse, or all of them soon.
    public private(set) var warnings: [CertificateError] = []

    /// How long before its end a certificate is warned of, in seconds: certbot renews 30 days before, so with 14 left
    /// something does not work. Of shorter-lived ones the last third counts.
    public static let warningTime: Int64 = 14 * 86_400

    /// Looks at credentials.
    ///
    /// - Parameters:
    ///   - file: The certificate's file, for commands that show more.
    ///   - hosts: Names by which clients are known to come; `*.` as the first label means any one label.
    ///   - now: Unix seconds.
    public init(_ credentials: Credentials, file: String, hosts: [String] = [], now: Int64) {
        let leaf = credentials.leaf
        reviewTimes(leaf, file, now)
        reviewNames(leaf, file, hosts)
        reviewUse(leaf, file)
        reviewChain(credentials, file)
    }

    private mutating func reviewTimes(_ leaf: Certificate, _ file: String, _ now: Int64) {
        let show = "it shows more: openssl x509 -noout -dates -in \(file)"
        if now >= leaf.notAfter {
            problems.append(
                CertificateError(
                    .expired, CertificateError.expired(leaf, at: now).message,
                    hint: "renew it (certbot renew, or mesh ca issue), then mesh reload; \(show)", file: file))
        } else if now < leaf.notBefore {
            problems.append(
                CertificateError(
                    .notYetValid, CertificateError.notYetValid(leaf, at: now).message,
                    hint: "check the clock of this host (timedatectl); \(show)", file: file))
        } else {
            let left = leaf.notAfter - now
            guard left < min(Self.warningTime, (leaf.notAfter - leaf.notBefore) / 3) else { return }
            warnings.append(
                CertificateError(
                    .expired,
                    "the certificate of \(leaf.subject) expires in \(UTCTime.duration(left)), at "
                        + UTCTime.text(leaf.notAfter),
                    hint: "does its renewal work? Try it (certbot renew --dry-run); \(show)", file: file))
        }
    }

    private mutating func reviewNames(_ leaf: Certificate, _ file: String, _ hosts: [String]) {
        let show = "openssl x509 -noout -ext subjectAltName -in \(file) shows its names"
        let names = leaf.dnsNames + leaf.ipAddresses
        guard !names.isEmpty else {
            problems.append(
                CertificateError(
                    .wrongName, "the certificate of \(leaf.subject) names no host (a CN does not count)",
                    hint: "make one with subjectAltName; \(show)", file: file))
            return
        }
        for host in hosts where !PeerVerification.covers(leaf, host) {
            problems.append(
                CertificateError(
                    .wrongName, "clients come to \(host), and the certificate is for \(names.joined(separator: ", "))",
                    hint: "take the certificate of \(host), or get one with that name; \(show)", file: file))
        }
    }

    private mutating func reviewUse(_ leaf: Certificate, _ file: String) {
        guard let usages = leaf.extendedKeyUsage, !usages.contains(.serverAuth) else { return }
        problems.append(
            CertificateError(
                .wrongUsage,
                "\(leaf.subject) may be used for \(usages.map(\.description).joined(separator: ", ")), not by a server",
                hint: "make one for serverAuth; openssl x509 -noout -purpose -in \(file) shows what it is for",
                file: file))
    }

    /// The usual mistake: `cert.pem` instead of `fullchain.pem`. Browsers may know the intermediate from elsewhere, curl
    /// and programs do not.
    private mutating func reviewChain(_ credentials: Credentials, _ file: String) {
        let last = credentials.chain[credentials.chain.count - 1]
        guard credentials.chain.count == 1, !last.isSelfSigned, file.hasSuffix("/cert.pem") else { return }
        warnings.append(
            CertificateError(
                .missingIntermediate, "the file holds the certificate of \(last.subject) alone, not that of its issuer",
                hint: "name fullchain.pem instead of cert.pem; clients show: openssl s_client -connect HOST:PORT",
                file: file))
    }
}
