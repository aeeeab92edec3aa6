import Bytes
import Documents
import EventLoop
import HTTP
import JSON
import Link
import PKI
import Policy
import TLS
import WebSocket

/// A link on its way: TCP, mutual TLS, WebSocket upgrade, HELLO. Lives on the worker that will carry the link.
///
/// What it decides itself is whether the peer is who it must be and may link at all; whether the link is wanted beside
/// others is the control plane's decision.
final class LinkSetup: EventHandler, TimerHandler, ConnectHandler {
    /// The WebSocket subprotocol of links.
    static let subprotocol = "conduit.link.v1"
    /// The path of links.
    static let path = "/mesh"
    /// The longest HTTP head that is taken from a peer here.
    static let maximumHead = 8 << 10

    enum Phase {
        case connecting
        case tls
        case clientUpgrade(ResponseParser, key: String)
        case serverUpgrade(RequestParser)
        /// The dialler waits for leave to say HELLO.
        case greeting
        /// A HELLO of the peer is awaited.
        case hello(LinkHandshake)
        /// The control plane was asked about the peer's HELLO.
        case deciding(LinkHandshake, Hello)
        /// The two ends settle whether a session goes on over this link.
        case resuming(LinkResumption, Hello)
        /// The dialler of a link to move to has proven the session, and waits for the peer's SWITCH on the old link.
        case switching(Hello)
        case over
    }

    let id: UInt64
    let dial: LinkDial?
    let remote: String
    unowned let core: WorkerCore
    var phase = Phase.connecting
    var connector: Connector?
    var owned: FileDescriptor?
    var descriptor: Int32 = -1
    var registration: Registration?
    var timer: TimerID?
    /// Ends a dial that is in a hurry, where the peer is silent.
    var silence: TimerID?
    var tls: TLSSession?
    var frames: FrameReader
    var plain = ByteQueue()
    let startedAt: UInt64
    var node: String
    /// Which lane the link is for, as the dialler says.
    var number: UInt8 = 0
    var principal: Principal?
    /// What the dialler says that the link is for.
    var intent = LinkIntent.initial
    /// The session that waited when the exchange of proofs began, and for which they are good.
    var held: ParkedSession?
    /// The move that this end has offered or answered.
    var move: PendingMove?
    /// How many lanes this end's HELLO said that it takes.
    var saidLanes = 1
    /// Which of this node's identities the link was made with (`AgentShared.identity`).
    var generation: UInt64 = 0
    /// The peer has no right to link, and may only bring newer documents (`LinkConnection.isCatchingUp`).
    var isCatchingUp = false
    /// The root of the peer's certificate is retired (`LinkConnection.isLate`).
    var isLate = false

    /// A dial.
    init(dial: LinkDial, core: WorkerCore) {
        id = dial.id
        self.dial = dial
        node = dial.lane.node
        number = dial.lane.number
        remote = dial.endpoints.map(\.description).joined(separator: ", ")
        self.core = core
        startedAt = core.loop.now
        frames = FrameReader(role: .client, maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
    }

    /// An accepted connection.
    init(accepted: consuming FileDescriptor, from address: SocketAddress, id: UInt64, core: WorkerCore) {
        self.id = id
        dial = nil
        node = ""
        remote = address.description
        self.core = core
        startedAt = core.loop.now
        frames = FrameReader(role: .server, maximumFramePayload: LinkFrame.headerSize + LinkFrame.maximumPayload)
        descriptor = accepted.rawValue
        owned = consume accepted
    }

    /// A setup that began on another worker, `other`, which has left its loop.
    init(_ other: LinkSetup, core: WorkerCore) {
        id = other.id
        dial = other.dial
        node = other.node
        number = other.number
        remote = other.remote
        self.core = core
        startedAt = other.startedAt
        frames = other.frames
        phase = other.phase
        tls = other.tls
        principal = other.principal
        intent = other.intent
        generation = other.generation
        isCatchingUp = other.isCatchingUp
        isLate = other.isLate
        descriptor = other.descriptor
        owned = other.owned.take()
        other.phase = .over
        other.plain.withReadable { plain.append($0) }
    }

    /// Goes on on this worker.
    func goOn() {
        timer = core.loop.schedule(after: core.shared.links.handshakeTimeout, self, tag: 0)
        do throws(SystemError) {
            registration = try core.loop.register(descriptor, [.readable], self)
        } catch {
            fail("internal_error", "\(error)", hint: nil)
        }
    }

    var isDialler: Bool { dial != nil }

    /// Somebody who has connected and not shown a certificate yet.
    var isUnproven: Bool {
        if case .tls = phase, !isDialler { true } else { false }
    }

    /// The lane that the link is for.
    var lane: Lane { Lane(node, number) }

    /// Starts; ends by itself, one way or the other, within the handshake timeout.
    func start() {
        timer = core.loop.schedule(after: core.shared.links.handshakeTimeout, self, tag: 0)
        if let dial {
            guard let endpoint = dial.endpoints.first else {
                return fail("no_address", "no address is known for node \(dial.lane.node)", hint: nil)
            }
            connector = Connector(
                to: endpoint, timeout: core.shared.links.handshakeTimeout, longestShare: dial.patience ?? .max,
                loop: core.loop, handler: self)
        } else {
            startTLS()
        }
    }

    // MARK: - TCP

    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
    ) {
        self.connector = nil
        self.descriptor = descriptor.rawValue
        owned = consume descriptor
        startTLS()
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.connector = nil
        fail(error.code.rawValue, error.description, hint: nil)
    }

    // MARK: - TLS

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
        fail(
            error.reason, error.certificate?.message ?? error.message, hint: error.certificate?.hint ?? error.hint,
            clockGap: error.certificate?.clockGap)
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

    static let headLimits: HTTPLimits = {
        var limits = HTTPLimits()
        limits.head = maximumHead
        limits.startLine = 1 << 10
        limits.fieldLine = 4 << 10
        limits.body = 0
        return limits
    }()

    // MARK: - The loop

    func ready(_ readiness: Readiness, loop: EventLoop) {
        if readiness.contains(.writable) { transmit() }
        guard registration != nil, !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) else {
            return
        }
        receive()
        awaitPeer()
    }

    func receive() {
        guard let tls else { return }
        switch Syscall.recv(descriptor, core.ciphertext) {
        case .done(0): tls.receivedEOF()
        case .done(let count): tls.setInput(UnsafeRawBufferPointer(rebasing: core.ciphertext[..<count]))
        case .wouldBlock: return
        case .failed(let errno): return fail("link_lost", SystemError.text(errno), hint: nil)
        }
        if case .tls = phase {
            switch tls.handshake() {
            case .wantsInput: return transmit()
            case .failed(let error): return failTLS(error)
            case .complete:
                transmit()
                readPlaintext(tls)
                if case .tls = phase { authenticated(tls) }
                return
            }
        }
        readPlaintext(tls)
        if case .switching = phase { return holdWhileSwitching() }
        takePlaintext()
    }

    func readPlaintext(_ tls: TLSSession) {
        while registration != nil {
            switch tls.read(into: core.plaintext) {
            case .bytes(let count):
                plain.append(UnsafeRawBufferPointer(rebasing: core.plaintext[..<count]))
                if !isDialler, plain.count > Self.maximumHead, case .deciding = phase {
                    // A dialler may take its HELLO back now, with a notice, and no more. The decision can take a probe's
                    // time, and what came meanwhile would be kept without bound.
                    refuse(.protocolError, "bytes before the answer to HELLO")
                    return fail(LinkReason.protocolError.name, "the peer sent before its HELLO was answered", hint: nil)
                }
            case .wantsInput: return transmit()
            case .closed: return endedByPeer()
            case .failed(let error): return failTLS(error)
            }
        }
    }

    func endedByPeer() {
        takePlaintext()
        guard registration != nil else { return }
        fail("link_lost", "the peer closed the connection during the handshake", hint: nil)
    }

    func send(_ bytes: [UInt8]) {
        guard let tls else { return }
        _ = bytes.withUnsafeBytes { tls.write($0) }
        transmit()
    }

    func transmit() {
        guard let tls, descriptor >= 0 else { return }
        var isBlocked = false
        while tls.pendingOutput > 0, !isBlocked {
            tls.withOutput { bytes in
                switch Syscall.send(descriptor, bytes) {
                case .done(let count): return count
                case .wouldBlock:
                    isBlocked = true
                    return 0
                case .failed:
                    // Reading tells what happened, and may still bring the peer's last words.
                    return bytes.count
                }
            }
        }
        if let registration {
            core.loop.modify(registration, isBlocked ? [.readable, .writable] : [.readable])
        }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        if tag == Self.silenceTag { silence = nil } else { timer = nil }
        let step =
            switch phase {
            case .connecting: "connecting"
            case .tls: "the TLS handshake"
            case .clientUpgrade, .serverUpgrade: "the WebSocket upgrade"
            case .greeting, .hello, .deciding, .over: "HELLO"
            case .resuming, .switching: "the resumption of a session"
            }
        refuse(.handshakeTimeout, "no answer in time")
        fail(
            "handshake_timeout", "\(step) took too long",
            hint: "check that the peer is a mesh agent and is not overloaded")
    }

    // MARK: - The control plane's decisions

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
        var hello = Hello(
            bootID: core.shared.bootID, intent: intent, unixMilliseconds: UInt64(Clock.unixMilliseconds()),
            agent: core.shared.version, configuration: core.shared.links.session)
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

    /// The link stands. It carries the session `held`, or a new one.
    func establish(_ hello: Hello, _ held: ParkedSession?) {
        guard let tls, let identity = tls.peerIdentity, let principal, let owned = owned.take() else { return }
        leave()
        var random = SystemRandomNumberGenerator()
        let key = held?.link.key ?? (core.shared.parking.resumeFor > 0 ? try? SessionKey(exportedFrom: tls) : nil)
        let session =
            held?.session
            ?? Session(
                role: isDialler ? .dialler : .acceptor,
                parity: StreamParity(local: core.routing.node, peer: node), configuration: core.shared.links.session,
                peer: hello,
                budget: core.shared.budget, quota: core.shared.streams, pool: core.segments, masks: core.maskKeys,
                seed: random.next(),
                now: core.loop.now, unixMilliseconds: UInt64(Clock.unixMilliseconds()))
        if let key, held == nil { session.name = key.name }
        var leftover: [UInt8] = []
        plain.withReadable { leftover.append(contentsOf: $0) }
        let link = LinkConnection(
            owned, id: id, lane: lane, peer: identity, principal: principal, isDialler: isDialler, tls: tls,
            frames: frames, session: session, key: key,
            gate: DocumentGate(own: core.routing.documents, peer: documents(hello)), leftover: leftover, core: core)
        if let held {
            link.continueStreams(of: held.link)
            link.isConfirmed = !isDialler
        }
        link.isLate = isLate
        if isCatchingUp {
            link.catchUp()
            if core.parked[lane] != nil { return core.visit(link) }
        }
        core.establish(link)
        let status = status(of: link, hello, isResumed: held != nil)
        ControlPlane.post { [shared = core.shared] in shared.supervisor?.established(status) }
    }

    /// What the control plane is told of the link that came of this.
    func status(of link: LinkConnection, _ hello: Hello, isResumed: Bool) -> EstablishedLink {
        EstablishedLink(
            link: id, worker: core.index, lane: lane, remote: remote, peer: PeerNames(link.peer),
            peerVersion: hello.agent, isDialler: isDialler, isResumed: isResumed, peerExpires: link.peer.notAfter,
            generation: generation, documents: documents(hello), lanes: hello.lanes, saidLanes: saidLanes,
            load: link.load)
    }

    /// The setup has come to its end well; its socket goes on as a link.
    func leave() {
        leaveLoop()
        phase = .over
        core.setupEnded(self)
    }

    // MARK: - The end

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
        clockGap: Int64? = nil
    ) {
        if case .over = phase { return }
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
            code: code, text: text, hint: hint, reason: reason, retryAfter: retryAfter, clockGap: clockGap)
        let (id, lane, remote, isDialler) = (self.id, self.lane, self.remote, self.isDialler)
        ControlPlane.post { [shared = core.shared] in
            shared.supervisor?.setupFailed(lane, link: id, remote: remote, isDialler: isDialler, failure)
        }
    }

    func leaveLoop() {
        for timer in [timer, silence].compactMap({ $0 }) { core.loop.cancel(timer) }
        timer = nil
        silence = nil
        if let registration { core.loop.deregister(registration) }
        registration = nil
    }
}
