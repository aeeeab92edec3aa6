import EventLoop
import Link
import PKI
import TLS

/// What the issuer of the peer's certificate says of it by OCSP: the setup waits for it, the worker does not.
extension LinkSetup {
    /// Asks where there is somebody to ask, and goes on when that is settled: a dialler before it says HELLO, an acceptor before
    /// it answers one. So either end can still say why the link is not to be.
    func askStatus() {
        let questions = tls.map { core.shared.ocsp.questions($0.peerChain, staple: $0.staple?.answer) } ?? []
        guard !questions.isEmpty else { return goOnWithStatus() }
        let (id, index) = (self.id, core.index)
        core.shared.ocsp.ask(questions) { [shared = core.shared] verdict in
            shared.workers[index].submit { $0.statusKnown(id, verdict) }
        }
    }

    /// The answer.
    func statusKnown(_ verdict: OCSPVerdict) {
        switch verdict {
        case .passes: goOnWithStatus()
        case .revoked:
            // The snapshot says it by now, and this check says it to the peer and in the log. If it does not, then because
            // somebody has taken the revocation back in this moment.
            if authorize() { goOnWithStatus() }
        case .unknown(let why):
            let text = "whether the certificate of \(node) is revoked cannot be found out: \(why)"
            refuse(.linkDenied, "revocation_unknown")
            fail(
                "revocation_unknown", text,
                hint: "see why the responder does not answer (ocsp_query_failed in the log), or set ocsp.peers to "
                    + "\"soft\"")
        }
    }

    private func goOnWithStatus() {
        let (lane, id) = (self.lane, self.id)
        switch phase {
        case .greeting:
            ControlPlane.post { [shared = core.shared] in shared.supervisor?.canGreet(lane, link: id) }
        case .deciding(_, let hello) where !isDialler:
            guard let identity = tls?.peerIdentity else { return }
            // It stands beside whatever link the node of that name has or gets.
            guard !isRevoked else { return decided(.accept) }
            let incoming = IncomingLink(
                link: id, worker: core.index, lane: lane, peer: PeerNames(identity), bootID: hello.bootID,
                intent: hello.intent, remote: remote, predecessor: hello.predecessor)
            ControlPlane.post { [shared = core.shared] in shared.supervisor?.arrived(incoming) }
        default: break
        }
    }
}
