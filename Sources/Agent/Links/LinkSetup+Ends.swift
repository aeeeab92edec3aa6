import EventLoop
import Link
import TLS

/// A link that does not come about.
extension LinkSetup {
    /// Tells the peer why, as far as the protocol got.
    func refuse(_ reason: LinkReason, _ detail: String, retryAfter: UInt32 = 0) {
        switch phase {
        case .hello(var handshake), .deciding(var handshake, _):
            let notice = Notice(reason, retryAfter: retryAfter, detail: detail)
            let role: LinkRole = isDialler ? .dialler : .acceptor
            send(LinkHandshake.wireMessage(handshake.refuse(notice), role: role, masks: core.maskKeys))
            send(CloseFrame.encode(reason, detail, masked: isDialler))
        case .resuming where !isDialler:
            // The dialler may have the session on this link by now, where GOAWAY would be one of the session's frames.
            send(CloseFrame.encode(reason, detail, masked: false))
        case .resuming(var resumption, _):
            let notice = Notice(reason, retryAfter: retryAfter, detail: detail)
            send(LinkHandshake.wireMessage(resumption.refuse(notice), role: .dialler, masks: core.maskKeys))
            send(CloseFrame.encode(reason, detail, masked: true))
        case .greeting: send(CloseFrame.encode(reason, detail, masked: true))
        case .switching: send(CloseFrame.encode(reason, detail, masked: isDialler))
        case .connecting, .tls, .clientUpgrade, .serverUpgrade, .over: break
        }
    }

    func fail(
        _ code: String, _ text: String, hint: String?, reason: LinkReason? = nil, retryAfter: UInt32 = 0,
        clockGap: Int64? = nil, refusal: TLSAlert? = nil, revoked: RevokedPeer? = nil
    ) {
        if case .over = phase { return }
        // By TLS 1.3 the peer has proven itself before it judges our certificate; before that anybody can say so (RFC 8446, 4.4.3).
        if isDialler, refusal == .certificateRevoked, case .clientUpgrade = phase { saidRevoked(text) }
        phase = .over
        moveFailed(code)
        connector?.cancel()
        connector = nil
        if let tls, descriptor >= 0 {
            tls.shutdown()
            transmit()
        }
        leaveLoop()
        owned = nil
        core.setupEnded(self)
        core.counters.handshakeFailed(code)
        let failure = LinkFailure(
            code: code, text: text, hint: hint, reason: reason, retryAfter: retryAfter, clockGap: clockGap,
            refusal: refusal, revoked: revoked)
        let (id, lane, remote, isDialler) = (self.id, self.lane, self.remote, self.isDialler)
        ControlPlane.post { [shared = core.shared] in
            shared.supervisor?.setupFailed(lane, link: id, remote: remote, isDialler: isDialler, failure)
        }
    }

    /// The peer refused the link.
    func failRefused(_ notice: Notice) {
        let refusal = LinkRefusal(notice, by: node, of: core.routing.node)
        fail(
            notice.reason.name, refusal.text, hint: refusal.hint, reason: notice.reason, retryAfter: notice.retryAfter)
    }

    /// The peer says that this node's certificate is revoked, and means the one that is in use.
    func saidRevoked(_ text: String) {
        guard generation == core.shared.identity.generation else { return }
        core.saidRevoked(by: node, text)
    }

    func leaveLoop() {
        for timer in [timer, silence].compactMap({ $0 }) { core.loop.cancel(timer) }
        timer = nil
        silence = nil
        if let registration { core.loop.deregister(registration) }
        registration = nil
    }
}
