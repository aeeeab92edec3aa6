import Documents
import EventLoop
import Link
import PKI
import TLS

/// What the control plane decides about a link on its way, and what this end says of itself in HELLO.
extension LinkSetup {
    /// The control plane's answer.
    func decided(_ verdict: LinkVerdict) {
        defer { awaitPeer() }
        switch (verdict, phase) {
        case (.greet(let intent), .greeting):
            self.intent = intent
            let hello = ownHello(intent)
            let (handshake, frame) = LinkHandshake.dial(hello)
            phase = .hello(handshake)
            send(LinkHandshake.wireMessage(frame, role: .dialler, masks: core.maskKeys))
            takePlaintext()
        case (.accept, .deciding(let handshake, let hello)):
            // The decision may have taken a probe's time, and policy may have changed meanwhile: from here on the link is
            // tracked, so this is the check that no change slips behind.
            guard authorize() else { return }
            begin(handshake, hello)
        case (.refuse(let reason, let detail, let retryAfter), _):
            refuse(reason, detail, retryAfter: retryAfter)
            fail(reason.name, detail, hint: nil, reason: nil)
        default: break
        }
    }

    /// The setup is not needed any more.
    func abandon() {
        refuse(.superseded, "another link is used")
        fail("superseded", "another link is used", hint: nil)
    }

    func ownHello(_ intent: LinkIntent) -> Hello {
        let limits = core.shared.links.session
        saidLimits = limits
        var hello = Hello(
            bootID: core.shared.bootID, intent: intent, unixMilliseconds: UInt64(Clock.unixMilliseconds()),
            agent: core.shared.version, configuration: limits)
        hello.lane = number
        hello.lanes = core.shared.lanes.count(node)
        saidLanes = hello.lanes ?? 1
        hello.predecessor = core.shared.predecessor
        if core.routing.trustDomain != nil { hello.documents = core.routing.documents.encoded }
        if core.shared.parking.resumeFor > 0 {
            hello.takesTransfers = true
            hello.resumptionEpoch = (core.parked[lane]?.session ?? core.links[lane]?.session)?.resumptionEpoch ?? 0
        }
        return hello
    }

    /// The mesh documents that the peer has; nil where it takes none of this mesh. A node of another trust domain speaks of
    /// other documents.
    func documents(_ hello: Hello) -> DocumentVersions? {
        guard let domain = core.routing.trustDomain, tls?.peerIdentity?.spiffe?.trustDomain ?? domain == domain
        else { return nil }
        return hello.documents.flatMap { DocumentVersions(encoded: $0) }
    }
}
