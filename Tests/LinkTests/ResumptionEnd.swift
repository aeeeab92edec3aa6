import Bytes
import Link
import SeededRandom

/// A simulated connection between two agents, or between one and an impostor: bytes on their way to each end.
final class SimulatedLink {
    let number: Int
    /// Which end dialled: 0 or 1.
    let dialler: Int
    let toEnd = [ByteQueueBox(), ByteQueueBox()]
    /// Nothing gets through any more, towards this end.
    var isSilent = [false, false]
    /// What both ends derive from the connection's TLS.
    let exporter: [UInt8]
    /// One of its ends is an impostor.
    var isForged = false

    init(number: Int, dialler: Int, _ randomness: inout SeededRandom) {
        self.number = number
        self.dialler = dialler
        exporter = (0..<32).map { _ in UInt8(truncatingIfNeeded: randomness.next()) }
    }

    func role(of end: Int) -> LinkRole { end == dialler ? .dialler : .acceptor }

    /// Puts bytes on their way, or loses them.
    func send(_ bytes: UnsafeRawBufferPointer, to end: Int) {
        if !isSilent[end] { toEnd[end].queue.append(bytes) }
    }
}

/// A keyed code that is good enough for a simulation: nobody here computes collisions.
func simulatedCode(key: UInt64) -> ResumptionProof.Authenticate {
    { message in
        var result: [UInt8] = []
        for lane in 0..<4 {
            var state = SeededRandom(key &+ UInt64(lane))
            var sum = state.next()
            for byte in message { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01B3 ^ (sum >> 29) }
            result += (0..<8).map { UInt8(truncatingIfNeeded: sum >> (8 * $0)) }
        }
        return result
    }
}

/// One simulated agent whose session outlives its links. What it does on a link follows the agent's shell: HELLO, the
/// exchange, frames; a link that breaks parks the session.
final class ResumptionEnd {
    /// The exchange on a link that does not carry the session yet.
    struct Attempt {
        let link: SimulatedLink
        var handshake: LinkHandshake
        var resumption: LinkResumption?
        var hello: Hello
        var isMove = false
        /// The epoch of a move that this end has offered or answered.
        var epoch: UInt64?
        /// The dialler of a move waits for SWITCH on the old link.
        var isAnswered = false
    }

    let index: Int
    let node: SimulatedNode
    let hello: Hello
    let peerBoot: BootID
    let code: ResumptionProof.Authenticate
    let masks: MaskKeys
    /// The link that carries the session; while it moves, the new one.
    var attached: SimulatedLink?
    /// The old link of a session that moves.
    var old: SimulatedLink?
    var attempts: [Int: Attempt] = [:]
    var readers: [Int: WireReader] = [:]
    /// A link that the session says is of no use any more.
    var isLost: SimulatedLink?
    /// Closed by this end; the world tells the other.
    var closed: [SimulatedLink] = []
    /// Old links that this end closed when everything on them had been processed.
    var retired: [SimulatedLink] = []
    /// Called when the session begins to send on a link.
    var resumed: (ResumptionEnd) -> Void = { _ in }
    /// Proofs that this end has sent, for impostors to try again.
    var proofsSent: [[UInt8]] = []
    var coverage = ResumptionCoverage()

    init(index: Int, node: SimulatedNode, hello: Hello, peerBoot: BootID, key: UInt64, seed: UInt64) {
        self.index = index
        self.node = node
        self.hello = hello
        self.peerBoot = peerBoot
        code = simulatedCode(key: key)
        masks = maskKeys(seed: seed)
        node.moving = { [unowned self] event in try self.moving(event) }
    }

    private func broken(_ text: String) -> Broken { Broken(description: "\(node.name): \(text)") }

    func send(_ frame: [UInt8], on link: SimulatedLink) {
        if frame.first == FrameType.auth.rawValue { proofsSent.append(Array(frame[LinkFrame.headerSize...])) }
        let message = LinkHandshake.wireMessage(frame, role: link.role(of: index), masks: masks)
        message.withUnsafeBytes { link.send($0, to: 1 - index) }
    }

    func proof(_ link: SimulatedLink) -> ResumptionProof {
        let isDialler = link.role(of: index) == .dialler
        return ResumptionProof(
            authenticate: code, exporter: link.exporter, dialler: isDialler ? hello.bootID : peerBoot,
            acceptor: isDialler ? peerBoot : hello.bootID)
    }

    /// The link is gone for this end, or is given up for another one.
    func leave(_ link: SimulatedLink, now: UInt64) {
        readers[link.number] = nil
        if let attempt = attempts.removeValue(forKey: link.number) { giveUp(attempt) }
        guard attached === link || old === link else { return }
        // A session that moves needs both of its links.
        for case let link? in [attached, old] {
            readers[link.number] = nil
            closed.append(link)
        }
        if old != nil { coverage.movesBroken += 1 }
        attached = nil
        old = nil
        node.session.park(now: now)
        for (number, attempt) in attempts where attempt.isMove {
            attempts[number] = nil
            readers[number] = nil
            giveUp(attempt)
        }
    }

    private func giveUp(_ attempt: Attempt) {
        guard attempt.isMove, let epoch = attempt.epoch else { return }
        coverage.movesFailed += 1
        node.session.moveFailed(epoch)
    }

    func close(_ link: SimulatedLink, now: UInt64) {
        leave(link, now: now)
        closed.append(link)
    }

    // MARK: The exchange

    func dial(_ link: SimulatedLink, intent: LinkIntent = .initial) {
        var hello = hello
        hello.intent = intent
        hello.resumptionEpoch = node.session.resumptionEpoch
        let (handshake, frame) = LinkHandshake.dial(hello)
        attempts[link.number] = Attempt(
            link: link, handshake: handshake, resumption: nil, hello: hello, isMove: intent == .move)
        readers[link.number] = WireReader(receiver: .dialler)
        send(frame, on: link)
    }

    func accept(_ link: SimulatedLink) {
        attempts[link.number] = Attempt(link: link, handshake: .accept(), resumption: nil, hello: hello)
        readers[link.number] = WireReader(receiver: .acceptor)
    }

    /// Takes what has arrived on a link.
    func deliver(_ link: SimulatedLink, limit: Int, now: UInt64, _ randomness: inout SeededRandom) throws {
        let queue = link.toEnd[index]
        let count = min(limit, queue.queue.count)
        guard count > 0, !isHeld(link), var reader = readers[link.number] else { return }
        queue.queue.withReadable { reader.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        queue.queue.consume(count)
        try reader.drain { frame in
            if receiving === link {
                try node.receive(frame, now: now, &randomness)
            } else if old === link {
                throw broken("a frame behind SWITCH")
            } else if attempts[link.number] != nil {
                try step(link, frame, now: now)
            }
        }
        if readers[link.number] != nil { readers[link.number] = reader }
        if let lost = isLost {
            isLost = nil
            close(lost, now: now)
        }
        finishMove()
    }

    /// The link from which the session's frames are taken.
    private var receiving: SimulatedLink? { node.session.isPeerSwitched ? attached : old ?? attached }

    /// What comes on a new link waits until the old one is at its end.
    private func isHeld(_ link: SimulatedLink) -> Bool {
        attempts[link.number]?.isAnswered == true || attached === link && receiving !== link
    }

    private func step(_ link: SimulatedLink, _ frame: UnsafeRawBufferPointer, now: UInt64) throws {
        guard var attempt = attempts[link.number] else { return }
        defer { if attempts[link.number] != nil { attempts[link.number] = attempt } }
        guard var resumption = attempt.resumption else {
            return try greet(link, &attempt, attempt.handshake.received(frame), now: now)
        }
        let result = resumption.received(frame)
        attempt.resumption = resumption
        switch result {
        case .more: break
        case .offered(let claim):
            do throws(ResumptionError) {
                if attempt.isMove {
                    let answer = try node.session.answerMove(claim)
                    attempt.epoch = claim.epoch
                    attempt.isAnswered = true
                    for frame in resumption.answer(answer) { send(frame, on: link) }
                    return
                }
                let answer = try node.session.answerResumption(claim)
                for frame in resumption.answer(answer) { send(frame, on: link) }
                try goOn(link, claim, now: now)
            } catch {
                try refused(error)
                close(link, now: now)
            }
        case .proven(let claim):
            do throws(ResumptionError) {
                if attempt.isMove {
                    try node.session.beginMove(claim, now: now)
                    return move(to: link)
                }
                try goOn(link, claim, now: now)
            } catch {
                try refused(error)
                close(link, now: now)
            }
        case .refused: throw broken("an honest attempt was refused")
        case .declined: throw broken("a session was declined that the peer holds")
        case .failed:
            guard link.isForged else { throw broken("an honest attempt failed") }
            coverage.forgeriesRefused += 1
            close(link, now: now)
        }
    }

    private func refused(_ error: ResumptionError) throws {
        guard !error.isFatal else { throw broken("resumption: \(error)") }
        coverage.staleRefused += 1
    }

    private func greet(
        _ link: SimulatedLink, _ attempt: inout Attempt, _ step: LinkHandshake.Step, now: UInt64
    ) throws {
        switch step {
        case .decide(let theirs):
            guard theirs.bootID == peerBoot, let hint = theirs.resumptionEpoch else { throw broken("a strange HELLO") }
            if theirs.intent == .move { return offerMove(link, &attempt, hint: hint, now: now) }
            if let attached {
                coverage.replacedInUse += 1
                close(attached, now: now)
            }
            var answer = hello
            let claim: ResumeClaim
            do throws(ResumptionError) {
                claim = try node.session.offerResumption(hint: hint)
            } catch {
                throw broken("no offer: \(error)")
            }
            answer.resumptionEpoch = claim.epoch
            send(attempt.handshake.answer(answer), on: link)
            let (resumption, frames) = LinkResumption.offer(claim, proof(link))
            attempt.resumption = resumption
            for frame in frames { send(frame, on: link) }
        case .complete(let theirs):
            guard theirs.resumptionEpoch != nil else { throw broken("no offer announced") }
            if let attached, !attempt.isMove { close(attached, now: now) }
            attempt.resumption = .awaitOffer(proof(link))
        case .refused, .failed:
            guard link.isForged else { throw broken("an honest HELLO failed") }
            close(link, now: now)
        }
    }

    private func goOn(_ link: SimulatedLink, _ claim: ResumeClaim, now: UInt64) throws(ResumptionError) {
        let resent = node.session.sentFrames - claim.processed
        let oldRole = node.session.role
        try node.session.resume(claim, role: link.role(of: index), now: now, unixMilliseconds: 1_000)
        attempts[link.number] = nil
        attached = link
        coverage.resumed += 1
        if resent > 0 { coverage.resent += 1 }
        if oldRole != node.session.role { coverage.rolesChanged += 1 }
        resumed(self)
    }

    /// Moves bytes from the log to the link.
    func transmit(limit: Int) {
        guard let link = node.session.isCrossingOver ? old : attached,
            link.toEnd[1 - index].queue.count < node.flavour.wireCapacity
        else { return }
        _ = node.session.withUnsent { bytes in
            let count = min(bytes.count, limit)
            link.send(UnsafeRawBufferPointer(rebasing: bytes[..<count]), to: 1 - index)
            return count
        }
        if node.session.isCrossingOver, node.session.unsentBytes == 0 { node.session.crossOver() }
        finishMove()
    }
}

/// What a simulation of resumption came across; a run that never met something proves nothing about it.
struct ResumptionCoverage: SimulationCounts {
    var resumed = 0, resent = 0, rolesChanged = 0, replacedInUse = 0, forgeriesRefused = 0, staleRefused = 0
    var cuts = 0, silences = 0, crossings = 0, withdrawn = 0, parkedWork = 0
    var moved = 0, movesFailed = 0, movesBroken = 0, movesLost = 0, movesCrossed = 0, movesInTraffic = 0

    static var fields: [WritableKeyPath<ResumptionCoverage, Int>] {
        [
            \.resumed, \.resent, \.rolesChanged, \.replacedInUse, \.forgeriesRefused, \.staleRefused, \.cuts,
            \.silences, \.crossings, \.withdrawn, \.parkedWork, \.moved, \.movesFailed, \.movesBroken, \.movesLost,
            \.movesCrossed, \.movesInTraffic,
        ]
    }
}
