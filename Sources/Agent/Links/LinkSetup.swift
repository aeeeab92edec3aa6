import Bytes
import EventLoop
import HTTP
import Link
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
    /// What is taken of it.
    static let headLimits: HTTPLimits = {
        var limits = HTTPLimits()
        limits.head = maximumHead
        limits.startLine = 1 << 10
        limits.fieldLine = 4 << 10
        limits.body = 0
        return limits
    }()

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
    /// Where the dial has got through; nil before that, and for a connection that was accepted.
    private(set) var reached: SocketAddress?
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
    /// The limits that this end's HELLO said: a reload may bring others before the link stands. Nil before HELLO.
    var saidLimits: SessionConfiguration?
    /// Which of this node's identities the link was made with (`AgentShared.identity`).
    var generation: UInt64 = 0
    /// The peer has no right to link, and may only bring newer documents (`LinkConnection.isCatchingUp`).
    var isCatchingUp = false
    /// The peer's certificate is revoked: it may only bring newer documents, and what becomes of its link is nothing to the node
    /// that has its name.
    var isRevoked = false
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
        reached = other.reached
        self.core = core
        startedAt = other.startedAt
        frames = other.frames
        phase = other.phase
        tls = other.tls
        principal = other.principal
        intent = other.intent
        generation = other.generation
        isCatchingUp = other.isCatchingUp
        isRevoked = other.isRevoked
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
        reached = address
        self.descriptor = descriptor.rawValue
        owned = consume descriptor
        startTLS()
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.connector = nil
        fail(error.code.rawValue, error.description, hint: nil)
    }

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
        if case .switching = phase { return holdBack() }
        takePlaintext()
        holdBack()
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
}
