import PKI

/// Shows the node what it must refuse.
struct RefusalStage {
    let dialler: Dialler
    let report: Report
    let identity: OwnIdentity
    let certificates: BadCertificates
    /// The node is meant to take certificates without extended key usage.
    let allowsLegacy: Bool
    let server: PeerIdentity?

    private static let issued: [CheckID] = [
        .expired, .notYetValid, .wrongUsage, .noUsage, .twoSPIFFE, .malformedSPIFFE, .cnContradictsURI, .ambiguousName,
        .foreignDomain, .caAsLeaf, .negativeSerial, .weakKey,
    ]

    private var probe: Probe { Probe(dialler: dialler) }

    func run() {
        report.run(.noCertificate) {
            probe.show(nil).refusal(of: "clients without a certificate", shown: false)
        }
        show(.foreignCA) { () throws(CertificateError) in try certificates.foreign(sendsCA: false) }
        show(.foreignCAChain) { () throws(CertificateError) in try certificates.foreign(sendsCA: true) }
        show(.selfSigned) { () throws(CertificateError) in try certificates.selfSigned() }
        showForgedChain()
        guard identity.authority != nil else {
            return report.skip(
                Self.issued, "only the CA can make such a certificate", hint: "give --ca-key FILE to run these checks")
        }
        for id in Self.issued {
            show(id) { () throws(CertificateError) in try certificates.make(id) }
        }
    }

    private func show(_ id: CheckID, _ make: () throws(CertificateError) -> Credentials?) {
        report.run(id) {
            let credentials: Credentials?
            do throws(CertificateError) {
                credentials = try make()
            } catch {
                return .skipped("the certificate could not be made: \(error.message)", hint: error.hint)
            }
            guard let credentials else {
                return .skipped(
                    "the mesh's trust domain is not known", hint: "give --cert: its SPIFFE URI names the trust domain")
            }
            let answer = probe.show(credentials, weak: id == .weakKey)
            if id == .noUsage, allowsLegacy, case .letIn(let what) = answer {
                return .info("let in, as --legacy-certificates says", answer: what)
            }
            return answer.refusal(of: "a client with such a certificate", shown: true)
        }
    }

    private func showForgedChain() {
        guard let own = identity.credentials else {
            return report.skip([.forgedChain], "needs a good certificate", hint: "give --cert and --key, or --pfx")
        }
        report.run(.forgedChain) {
            let name = server?.nodeName ?? "\(certificates.template.name)-2"
            do throws(CertificateError) {
                let companion = try certificates.forgedCompanion(for: name)
                return probe.show(own, appended: [companion])
                    .refusal(of: "a client with a forged certificate in its chain", shown: true)
            } catch {
                return .skipped("the certificate could not be made: \(error.message)", hint: error.hint)
            }
        }
    }
}
