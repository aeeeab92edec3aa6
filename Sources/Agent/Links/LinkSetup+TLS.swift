import EventLoop
import HTTP
import JSON
import PKI
import TLS
import WebSocket

/// Mutual TLS: the socket's options, the handshake, and what its checks found. Behind it the upgrade begins.
extension LinkSetup {
    func startTLS() {
        let (contexts, generation) = core.shared.identity
        self.generation = generation
        do {
            if descriptor >= 0 {
                try? Socket.setNoDelay(descriptor)
                try? Socket.setNotSentLowat(descriptor, Self.notSentLowat)
                try Socket.setKeepAlive(descriptor, idle: 30, interval: 10, count: 3)
                try? Socket.setUserTimeout(descriptor, milliseconds: Self.userTimeout)
            }
            if let dial {
                let name = dial.endpoints.first?.address == nil ? dial.endpoints.first?.host : nil
                tls = try TLSSession(context: contexts.client, serverName: name, expecting: .node(dial.lane.node))
            } else {
                tls = try TLSSession(context: contexts.server, expecting: .anyIdentity)
            }
            registration = try core.loop.register(descriptor, [.readable], self)
        } catch let error as TLSError {
            return fail(error.reason, error.message, hint: error.hint)
        } catch {
            return fail("internal_error", "\(error)", hint: nil)
        }
        phase = .tls
        shakeHands()
        awaitPeer()
    }

    /// Unsent bytes in the kernel above which a link's socket is not writable: little enough that a small message does
    /// not sit behind much, and enough to keep a fast path full between two turns of the loop.
    static let notSentLowat: Int32 = 128 << 10

    /// A path on which nothing sent arrives for so long, in milliseconds, is given up for a new one: sooner than a quiet
    /// link is (`links.idleTimeout`), since applications wait, and later than retransmissions get through a bad moment.
    static let userTimeout: Int32 = 10_000

    func shakeHands() {
        guard let tls else { return }
        switch tls.handshake() {
        case .wantsInput: transmit()
        case .failed(let error): failTLS(error)
        case .complete:
            transmit()
            guard case .tls = phase else { return }
            authenticated(tls)
        }
    }

    func failTLS(_ error: TLSError) {
        transmit()
        if let certificate = error.certificate, case .tls = phase { core.counters.validated(certificate.code) }
        if error.certificate?.reason == .pinMismatch { core.counters.pinChecked("refused") }
        if let reason = error.certificate?.reason, isDialler, [.stapleMissing, .badStaple].contains(reason) {
            core.counters.stapleReviewed(reason.rawValue)
        }
        core.noticeTransparency(tls?.transparency, of: node, use: "link")
        var text = error.certificate?.message ?? error.message
        if error.certificate?.reason == .wrongName, let place = dialledPlace { text = "\(place): \(text)" }
        fail(
            error.reason, text, hint: error.certificate?.hint ?? error.hint,
            clockGap: error.certificate?.clockGap, refusal: error.code == .refusedByPeer ? error.alert : nil)
    }

    /// Where the peer was dialled, as it is configured or the directory has it; for a host's name with the address that it led to.
    private var dialledPlace: String? {
        guard let reached, let endpoint = dial?.endpoints.first else { return nil }
        return endpoint.address == nil ? "\(endpoint) (\(reached))" : "\(endpoint)"
    }

    func authenticated(_ tls: TLSSession) {
        core.counters.validated("ok")
        core.counters.negotiated(tls.protocolVersion?.description ?? "", tls.cipherName ?? "")
        core.counters.handshakeSeconds.observe(seconds: Double(core.loop.now &- startedAt) / 1e9)
        if let identity = tls.peerIdentity, !identity.allowances.isEmpty {
            core.shared.log.warning(
                "legacy_certificate", "a peer was let in with a certificate that the plain rules refuse",
                [
                    ("peer", .string(remote)), ("cn", .string(identity.commonName ?? "")),
                    ("allowances", .init(identity.allowances.map(\.rawValue))),
                    ("fingerprint", .string(identity.fingerprint)),
                ])
        }
        noticePins(tls)
        noticeStaple(tls)
        core.noticeTransparency(tls.transparency, of: node, use: "link")
        guard isDialler else {
            phase = .serverUpgrade(RequestParser(limits: Self.headLimits))
            return takePlaintext()
        }
        let key = Handshake.key(random: (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)))
        var parser = ResponseParser(limits: Self.headLimits)
        parser.expect(.get, offersUpgrade: true)
        do throws(Handshake.InvalidHeader) {
            let request = try Handshake.clientRequest(
                host: dial?.endpoints.first?.description ?? "mesh", path: Self.path, protocols: [Self.subprotocol],
                key: key)
            phase = .clientUpgrade(parser, key: key)
            send(request)
        } catch {
            return fail("internal_error", "\(error)", hint: nil)
        }
        takePlaintext()
    }

    private func noticePins(_ tls: TLSSession) {
        guard let result = tls.pinOutcome.code else { return }
        core.counters.pinChecked(result)
        guard case .mismatch(let error) = tls.pinOutcome else { return }
        core.shared.log.warning(
            "pin_mismatch", "a peer was let in although its certificate matches no pin (report only)",
            [
                ("peer", .string(remote)), ("node", .string(tls.peerIdentity?.nodeName ?? "")),
                ("detail", .string(error.message)), ("hint", .string(error.hint)),
                ("fingerprint", .string(tls.peerIdentity?.fingerprint ?? "")),
            ])
    }

    private func noticeStaple(_ tls: TLSSession) {
        guard let staple = tls.staple else { return }
        core.counters.stapleReviewed(staple.code)
        guard case .ignored(let error) = staple else { return }
        core.shared.log.info(
            "staple_ignored", "what a node has stapled to its certificate says nothing of it",
            [("node", .string(node)), ("reason", .string(error.code.rawValue)), ("detail", .string(error.message))])
    }
}
