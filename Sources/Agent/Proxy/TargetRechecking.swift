import EventLoop
import JSON
import PKI
import TLS

/// What CRLs, pins and CAs that have changed do to connections to targets: the same checks as in a handshake, without one.
extension TargetTLS {
    /// What counts here. What has ended meanwhile is the next handshake's affair, and so is what a target staples.
    private static var objections: Set<CertificateReason> {
        [
            .revoked, .revocationUnknown, .pinMismatch, .unknownCA, .untrustedIssuer, .selfSigned, .missingIntermediate,
            .badSignature,
        ]
    }

    /// What is held against certificates by which a target was good under other settings; nil for nothing.
    func objection(to chain: [Certificate]) -> CertificateError? {
        let configuration = context.configuration
        guard !chain.isEmpty, let trust = configuration.trust else { return nil }
        do throws(CertificateError) {
            let verifier = ChainVerifier(
                trust: trust, checks: configuration.checks, revocation: configuration.revocation)
            let built = try verifier.buildChain(chain, role: .serverOfLink, now: Clock.unixSeconds())
            _ = try configuration.pins.check(node: nil, role: .serverOfLink, chain: built)
            return nil
        } catch {
            return Self.objections.contains(error.reason) ? error : nil
        }
    }
}

extension WorkerCore {
    /// Ends the connections to targets whose certificates are not good any more by what has changed since `previous`.
    func recheckTargets(since previous: RoutingSnapshot) {
        for (name, service) in routing.services {
            guard let tls = service.target.tls, let before = previous.services[name]?.target.tls, before != tls else {
                continue
            }
            recheck(bridges(to: name), tls, of: service)
        }
    }

    private func recheck(_ bridges: [TargetBridge], _ tls: TargetTLS, of service: LocalService) {
        // A service has many connections, and its targets few certificates: each costs some signatures.
        var judged: [[String]: CertificateError?] = [:]
        var ended: [String: (error: CertificateError, count: Int)] = [:]
        // One to where the target was before is none of the new one's.
        for bridge in bridges where bridge.place == service.target.endpoint.description {
            guard let chain = bridge.chain else { continue }
            let key = chain.map(\.fingerprintSHA256)
            let objection = judged[key] ?? tls.objection(to: chain)
            judged[key] = .some(objection)
            guard let objection else { continue }
            ended[objection.code, default: (objection, 0)].count += 1
            bridge.withdraw()
        }
        for (error, count) in ended.values {
            noticeWithdrawn(service.name, service.target.endpoint.description, error, count: count)
        }
    }

    /// Says that connections to a target have ended.
    func noticeWithdrawn(_ service: String, _ place: String, _ error: CertificateError, count: Int) {
        for _ in 0..<count { counters.targetChecked("live", error.code) }
        shared.log.warning(
            "target_withdrawn",
            "connections to a target have ended: CRLs, pins or CAs that have changed speak against its certificate",
            [
                ("service", .string(service)), ("target", .string(place)), ("reason", .string(error.code)),
                ("detail", .string(error.message)), ("hint", .string(error.hint)), ("connections", .init(count)),
                ("worker", .init(index)),
            ])
    }
}
