import Bytes
import Documents
import EventLoop
import Gateway
import HTTP
import JSON
import PKI
import TLS

/// From the first byte to the first request: PROXY header, TLS or plain HTTP, the client's certificate.
extension EdgeConnection {
    /// Puts the connection on the loop and begins with what its listener asks for.
    func start() {
        do throws(SystemError) {
            try channel.start()
        } catch {
            return finish()
        }
        core.evictable.append(self)
        let limits = core.runtime.configuration.limits
        setPhaseTime(limits.handshakeTimeout.nanoseconds)
        let isTrusted = listener.trust.trusts(facts.peer)
        if listener.settings.tls == .behindProxy, !isTrusted {
            return refuseConnection("untrusted_peer")
        }
        if listener.settings.proxyProtocol == .require, isTrusted {
            phase = .proxyHeader
        } else {
            begin()
        }
    }

    /// The client's address is known: he is counted, and what speaks TLS begins.
    private func begin() {
        let isTrusted = listener.trust.trusts(facts.peer) && facts.proxyHeader == nil
        let address = listener.trust.address(of: facts)
        if let address, !listener.filter.admits(address) { return refuseConnection("address_not_allowed") }
        // A proxy's connections are those of many clients; they count in total only.
        let key = isTrusted ? nil : address?.limitKey
        let counted = key ?? IPAddress(high: .max, low: id)
        guard core.admit(counted, for: self) else { return refuseConnection("too_many_connections") }
        countedAddress = counted
        switch listener.settings.tls {
        case .disabled, .behindProxy: speakHTTP()
        case .application, .auto:
            phase = .firstBytes
            lookAtFirstBytes()
        }
    }

    func readProxyHeader() {
        switch ProxyProtocol.parse(&channel.input) {
        case .incomplete:
            if case .open = channel.inputEnd { return }
            refuseConnection("missing_proxy_header")
        case .header(let header):
            facts.proxyHeader = header
            begin()
        case .notProxy: refuseConnection("missing_proxy_header")
        case .invalid(let error): refuseConnection("bad_proxy_header", detail: error.rawValue)
        }
    }

    func lookAtFirstBytes() {
        switch channel.input.withReadable({ FirstBytes.detect($0) }) {
        case .needMore:
            if case .open = channel.inputEnd {} else { finish() }
        case .tls: startTLS()
        case .http where mayBePlain: speakHTTP()
        case .http: explainPlaintext()
        case .proxyV1, .proxyV2: refuseConnection("untrusted_proxy_header")
        case .other: refuseConnection("not_tls")
        }
    }

    /// In mode `auto`, trusted proxies may speak plain HTTP.
    private var mayBePlain: Bool { listener.settings.tls == .auto && listener.trust.trusts(facts.peer) }

    private func startTLS() {
        if let countedAddress, !core.shared.mayShakeHands(countedAddress, at: core.loop.now) {
            core.counters.limited("handshakes")
            return refuseConnection("too_many_handshakes")
        }
        // Certificates are those of now, also for a connection that came before a reload.
        let context = core.runtime.listeners[listenerName]?.tls ?? listener.tls
        guard let context else { return finish() }
        do throws(TLSError) {
            let session = try TLSSession(contexts: context)
            phase = .handshake
            handshakeBegan = core.loop.now
            facts.isTLS = true
            channel.startTLS(session)
        } catch {
            refuseConnection("internal_error", detail: "\(error)")
        }
    }

    /// Plain HTTP on a port that speaks TLS: an answer that a person can read.
    private func explainPlaintext() {
        core.counters.refused("tls_required")
        if parser == nil { parser = RequestParser() }
        var head: HTTPRequestHead?
        do throws(HTTPError) {
            guard case .head(let found)? = try parser?.next(&channel.input) else {
                // The head is not complete yet.
                if case .open = channel.inputEnd { return }
                return finish()
            }
            head = found
        } catch {
            // Then only the explanation is possible.
        }
        let answer: PlaintextAnswer = listener.settings.plaintext == .redirect ? .redirect : .explain
        answerAndClose(
            answer.response(
                to: head, publicOrigin: listener.settings.publicOrigin, hosts: listener.redirectHosts,
                port: Socket.localAddress(channel.socket)?.port ?? 443, requestID: nil),
            to: head?.method ?? .get)
    }

    private func speakHTTP() {
        phase = .idle
        var limits = HTTPLimits()
        limits.head = core.runtime.configuration.limits.header
        limits.fieldLine = min(limits.fieldLine, limits.head)
        parser = RequestParser(limits: limits)
        let timeout = core.runtime.configuration.limits.headerTimeout
        setPhaseTime(timeout.nanoseconds)
        if !channel.input.isEmpty { readRequests() }
    }

    // MARK: - The certificate

    func channelSecured(_ channel: ByteChannel) {
        guard case .handshake = phase, let session = channel.session else { return }
        core.counters.negotiated(
            session.protocolVersion?.description ?? "", session.cipherName ?? "",
            seconds: Double(core.loop.now &- handshakeBegan) / 1e9)
        if session.context.configuration.tickets != nil { core.counters.resumption(session.ticket?.code ?? "none") }
        facts.peerHasCertificate = session.peerIdentity != nil
        if facts.peerHasCertificate { core.counters.validated("ok") }
        noticePins(session)
        // The handshake may have begun under other CRLs than those of now.
        if let objection = core.objection(to: session, of: listenerName) {
            return refuseConnection(objection.refusal, detail: objection.error.message)
        }
        setCertificateEnd(session.peerChain)
        askStatus(session)
    }

    /// Asks what the issuer says of the client's certificate, where there is somebody to ask, and serves when that is settled.
    private func askStatus(_ session: TLSSession) {
        let settings = listener.settings
        let responder = settings.clientOCSPResponder.flatMap { FetchURL($0) }
        let questions = core.ocsp?.questions(session.peerChain, settings.clientOCSP, responder) ?? []
        guard let ocsp = core.ocsp, !questions.isEmpty else { return statusKnown(.passes) }
        let (id, loop) = (self.id, core.handle)
        ocsp.ask(questions) { verdict in loop.submit { $0.statusKnown(id, verdict) } }
    }

    /// The answer. What is revoked stands in the snapshot that the loop has by now.
    func statusKnown(_ verdict: OCSPVerdict) {
        guard case .handshake = phase, !isClosed, let session = channel.session else { return }
        if let entry = core.revoked().entry(for: session.peerChain) {
            return refuseConnection("certificate_revoked", detail: "\(entry.name): \(entry.reason)")
        }
        if case .unknown(let why) = verdict { return refuseConnection("revocation_unknown", detail: why) }
        speakHTTP()
    }

    private func noticePins(_ session: TLSSession) {
        guard let result = session.pinOutcome.code else { return }
        core.counters.pinChecked(result)
        guard case .mismatch(let error) = session.pinOutcome else { return }
        core.shared.log.warning(
            "pin_mismatch", "a client was let in although its certificate matches no pin (report only)",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)),
                ("detail", .string(error.message)), ("hint", .string(error.hint)),
                ("fingerprint", .string(session.peerIdentity?.fingerprint ?? "")),
            ])
    }

    /// The handshake failed: counted by its reason, and as a judgement where it was the certificate's.
    func noticeFailedHandshake(_ error: ChannelError) {
        core.counters.handshakeFailed(error.reason)
        if case .tls(let failure) = error, let certificate = failure.certificate {
            core.counters.validated(certificate.code)
        }
        if error.reason == CertificateReason.pinMismatch.rawValue { noticeRefusedPin(error) }
        core.shared.log.debug(
            "edge_handshake_failed", "a client's TLS handshake failed",
            [("client", .string(clientText)), ("reason", .string(error.reason)), ("detail", .string("\(error)"))])
    }

    /// Whoever gets here shows a certificate of a CA that the listener trusts; whether he has its key was not proven yet.
    private func noticeRefusedPin(_ error: ChannelError) {
        core.counters.pinChecked("refused")
        core.shared.log.warning(
            "pin_mismatch", "a client was refused because its certificate matches no pin",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)), ("detail", .string("\(error)")),
            ] + AuditMeaning.strangers(true))
    }
}
