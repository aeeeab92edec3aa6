import EventLoop
import PKI
import TLS

/// Who the node proves to be.
struct ServerStage {
    let dialler: Dialler
    let report: Report
    let identity: OwnIdentity

    /// Gives what the node's certificate proves; nil where it does not verify.
    func run() -> PeerIdentity? {
        var proven: PeerIdentity?
        var chain: [Certificate] = []
        report.run(.serverChain) {
            do {
                // The good certificate is not shown: whom we talk to is to be known first.
                let wire = try dialler.dial(try Dialler.context(trust: identity.trust))
                defer { wire.close() }
                let end = wire.handshake()
                proven = wire.session.peerIdentity
                chain = wire.session.peerChain
                if let error = wire.session.certificateError {
                    return .failed(error.message, answer: error.code, hint: error.hint)
                }
                guard let proven else {
                    if case .failed(let error) = end { return .failed(error.message, hint: error.hint) }
                    return .failed("the node showed no certificate")
                }
                let path = chain.map { $0.commonName ?? $0.subject }.joined(separator: " ← ")
                return .ok("\(proven), \(path)")
            } catch let error as Dialler.Unreachable {
                return .failed(error.text, hint: error.hint)
            } catch let error as TLSError {
                return .failed(error.message, hint: error.hint)
            } catch {
                return .failed("\(error)")
            }
        }
        guard let proven else {
            report.skip([.serverName, .serverValidity], "its chain does not verify")
            return nil
        }
        report.run(.serverName) { name(proven, chain) }
        report.run(.serverValidity) { validity(chain) }
        return proven
    }

    private func name(_ proven: PeerIdentity, _ chain: [Certificate]) -> Outcome {
        guard !proven.isCAService else {
            return .failed(
                "this is the port of the mesh's CA (ca.listen), not of a node",
                hint: "give the address of the node's listen.mesh")
        }
        let host = dialler.target.endpoint.host
        var expected = PeerVerification.Expectation(
            role: .serverOfLink, trustDomains: nil, legacyCertificates: true, now: Clock.unixSeconds())
        if let node = identity.node {
            expected.node = node
        } else {
            let names = proven.dnsNames + proven.ipAddresses
            guard !names.isEmpty else {
                let known = proven.nodeName ?? proven.description
                return .info(
                    "it is node \(known); its certificate names no host",
                    hint: "give --node \(known) to have the name checked")
            }
            expected.hostName = host
        }
        do throws(CertificateError) {
            _ = try PeerVerification.check(chain: chain, expecting: expected)
        } catch {
            let hint = identity.node == nil ? "give --node NAME if the node's name counts; \(error.hint)" : error.hint
            return .failed(error.message, answer: error.code, hint: hint)
        }
        return .ok(identity.node.map { "node \($0)" } ?? host)
    }

    private func validity(_ chain: [Certificate]) -> Outcome {
        let now = Clock.unixSeconds()
        guard let leaf = chain.first, let soonest = chain.min(by: { $0.notAfter < $1.notAfter }) else {
            return .failed("no chain")
        }
        let text =
            "until \(UTCTime.text(leaf.notAfter)), \(UTCTime.duration(leaf.notAfter - now)) left"
        guard soonest.notAfter < leaf.notAfter else { return .ok(text) }
        return .ok(
            "\(text); \(soonest.commonName ?? soonest.subject) above it ends earlier: \(UTCTime.text(soonest.notAfter))"
        )
    }
}
