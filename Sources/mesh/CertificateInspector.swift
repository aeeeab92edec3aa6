import PKI

/// Looks into a file of certificates and keys, and finds what is wrong with it.
struct CertificateInspector {
    /// The time of the look, unix seconds.
    let now: Int64
    /// For keys and PKCS#12 files that are encrypted.
    let passphrase: Passphrase?

    /// What the certificate is used for, where a CA is given to check it against.
    var use = Use.node
    /// The logs that must vouch for the certificate; nil where that is not asked.
    var logs: TransparencyLogs?
    /// Names and addresses by which clients come.
    var hosts: [String] = []

    /// What a certificate is used for.
    enum Use: String, CaseIterable {
        /// Both ends of a link.
        case node
        /// A server of clients from outside.
        case server
        /// A client of such a server.
        case client
    }

    /// Inspects one file; `key` must belong to its first certificate, `trust` must vouch for it.
    func inspect(_ file: String, key: PrivateKey?, trust: TrustBundle?) -> InspectionReport {
        var report = InspectionReport(file: file)
        do throws(CertificateError) {
            try read(into: &report)
            if report.certificates.isEmpty, key != nil || trust != nil {
                report.remarks.append("--key and --ca are for certificates; there is none in this file")
            }
        } catch {
            report.faults.append(error.inFile(nil))
        }
        check(&report, key: key, trust: trust)
        return report
    }

    /// What a file holds, and nothing about whether it is good.
    func contents(of file: String) throws(CertificateError) -> InspectionReport {
        var report = InspectionReport(file: file)
        try read(into: &report)
        return report
    }

    private func read(into report: inout InspectionReport) throws(CertificateError) {
        let bytes = try SafeFile.read(report.file)
        let text = String(decoding: bytes.prefix(SafeFile.sizeLimit), as: UTF8.self)
        if text.contains("-----BEGIN ") {
            try readPEM(bytes, text, into: &report)
        } else {
            try readBinary(bytes, into: &report)
        }
    }

    private func readPEM(_ bytes: [UInt8], _ text: String, into report: inout InspectionReport) throws(CertificateError)
    {
        let hasKey = text.contains("PRIVATE KEY-----")
        if text.contains("CERTIFICATE-----") || !hasKey {
            report.certificates = try Certificate.parsePEM(bytes).map { ($0, $0.summary(now: now)) }
        }
        guard hasKey else { return }
        do throws(CertificateError) {
            let key = try PrivateKey(pem: bytes, passphrase: passphrase)
            report.key = key
            report.isKeyEncrypted = text.contains("ENCRYPTED")
        } catch {
            guard error.reason == .badPassphrase, passphrase == nil else { throw error }
            report.isKeyEncrypted = true
            report.remarks.append("the key is encrypted; --passphrase-file FILE looks inside")
        }
        checkMode(&report)
    }

    private func readBinary(_ bytes: [UInt8], into report: inout InspectionReport) throws(CertificateError) {
        guard bytes.first == 0x30 else {
            // Says what it is instead.
            report.certificates = try Certificate.parsePEM(bytes).map { ($0, $0.summary(now: now)) }
            return
        }
        do throws(CertificateError) {
            let certificate = try Certificate(der: bytes)
            report.certificates = [(certificate, certificate.summary(now: now))]
            report.remarks.append("DER; the mesh reads PEM: openssl x509 -inform DER -in FILE -out FILE.pem")
            return
        } catch {}
        if let key = try? PrivateKey(der: bytes) {
            report.key = key
            report.remarks.append("DER; the mesh reads PEM: openssl pkey -inform DER -in FILE -out FILE.pem")
            return checkMode(&report)
        }
        report.isPKCS12 = true
        let credentials = try Credentials(pkcs12: bytes, passphrase: passphrase)
        report.certificates = credentials.chain.map { ($0, $0.summary(now: now)) }
        report.key = credentials.key
        report.isKeyEncrypted = true
        checkMode(&report)
    }

    /// A secret that others may read is none.
    private func checkMode(_ report: inout InspectionReport) {
        if let fault = Self.faultOfSecret(report.file) { report.faults.append(fault.inFile(nil)) }
    }

    /// Why a file cannot hold a secret; nil when it can.
    static func faultOfSecret(_ file: String) -> CertificateError? {
        do throws(CertificateError) {
            _ = try SafeFile.readSecret(file)
            return nil
        } catch {
            return error
        }
    }

    private func check(_ report: inout InspectionReport, key: PrivateKey?, trust: TrustBundle?) {
        let chain = report.certificates.map(\.certificate)
        guard let leaf = chain.first else { return }
        for (index, certificate) in chain.enumerated() {
            let place = chain.count > 1 ? "certificate \(index + 1), " : ""
            if now < certificate.notBefore {
                report.add(
                    .notYetValid,
                    "\(place)\(certificate.subject): not valid before "
                        + "\(UTCTime.text(certificate.notBefore)); now it is \(UTCTime.text(now))",
                    hint: "check the clock of this host")
            } else if now >= certificate.notAfter {
                report.add(
                    .expired,
                    "\(place)\(certificate.subject): expired at "
                        + "\(UTCTime.text(certificate.notAfter)); now it is \(UTCTime.text(now))",
                    hint: "make another one: \(NewCertificate.commands()) (--force replaces files)")
            }
        }
        // Roots of a bundle stand beside each other; a chain begins with what is not a CA, or not its own issuer.
        let isBundle = chain.allSatisfy { $0.isCA && $0.isSelfSigned }
        do throws(CertificateError) {
            if let key = key ?? report.key, !isBundle || key === report.key || chain.count == 1 {
                _ = try Credentials(chain: chain, key: key)
            } else if !isBundle {
                for (child, parent) in zip(chain, chain.dropFirst()) where !child.isSigned(by: parent) {
                    throw CertificateError(
                        .wrongOrder, "\(parent.subject) did not issue \(child.subject), which stands before it",
                        hint: "order the file: the node's certificate, its issuer, the issuer's issuer")
                }
            }
        } catch {
            report.faults.append(error)
        }
        checkNames(leaf, &report)
        if trust == nil || leaf.isCA { checkConstraints(chain, &report) }
        let transparency = TransparencyReport(chain, roots: trust?.roots ?? [], logs: logs, now: now)
        report.transparency = transparency
        if let fault = transparency.fault { report.faults.append(fault) }
        // What has expired has been said.
        guard let trust, !report.faults.contains(where: { [.expired, .notYetValid].contains($0.reason) }) else {
            return
        }
        verify(leaf, chain, trust, &report)
    }

    private var roles: [PeerVerification.Role] {
        switch use {
        case .node: [.serverOfLink, .clientOfLink]
        case .server: [.serverOfLink]
        case .client: [.clientOfLink]
        }
    }

    private func checkNames(_ leaf: Certificate, _ report: inout InspectionReport) {
        for host in hosts where !PeerVerification.covers(leaf, host) {
            let names = leaf.dnsNames + leaf.ipAddresses
            report.add(
                .wrongName,
                "clients come to \(host), and the certificate is for "
                    + (names.isEmpty ? "no host at all (a CN does not count)" : names.joined(separator: ", ")),
                hint: "issue it with that name: mesh ca issue NODE --dns \(host) (--ip for an address)")
        }
    }

    /// Without roots the CAs in the file itself say what they may vouch for.
    private func checkConstraints(_ chain: [Certificate], _ report: inout InspectionReport) {
        do throws(CertificateError) {
            try PeerVerification.checkNameConstraints(of: chain)
        } catch {
            report.faults.append(error)
        }
    }

    private func verify(
        _ leaf: Certificate, _ chain: [Certificate], _ trust: TrustBundle, _ report: inout InspectionReport
    ) {
        let verifier = ChainVerifier(trust: trust)
        do throws(CertificateError) {
            if leaf.isCA {
                _ = try verifier.buildChain(chain, role: nil, now: now)
            } else {
                for role in roles {
                    _ = try verifier.verify(
                        chain,
                        expecting: PeerVerification.Expectation(
                            role: role, isForeignServer: use == .server, trustDomains: nil,
                            legacyCertificates: use != .node, now: now))
                }
            }
            report.remarks.append("the CA vouches for it")
        } catch {
            report.faults.append(error)
        }
    }
}
