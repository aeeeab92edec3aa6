import Bytes
import Link
import SeededRandom

/// Somebody with the peer's certificate and boot id and without the session's key: everything that it sends is plausible,
/// and none of it may do harm.
final class ResumptionImpostor {
    let link: SimulatedLink
    /// The end that is deceived.
    let victim: ResumptionEnd
    private var reader: WireReader
    private let masks: MaskKeys
    /// The hello of the agent that it pretends to be.
    private let hello: Hello
    /// Proofs of honest ends, seen on other links.
    private let seen: [[UInt8]]
    private var offer: ResumeClaim?

    init(
        _ link: SimulatedLink, victim: ResumptionEnd, as hello: Hello, seen: [[UInt8]], _ randomness: inout SeededRandom
    ) {
        self.link = link
        self.victim = victim
        self.hello = hello
        self.seen = seen
        masks = maskKeys(seed: randomness.next())
        link.isForged = true
        reader = WireReader(receiver: link.role(of: 1 - victim.index))
        guard link.dialler != victim.index else { return }
        var first = hello
        first.intent = randomness.oneIn(2) ? .replace : .move
        first.resumptionEpoch = randomness.oneIn(2) ? .max : UInt64(randomness.below(1_000))
        send(first.encodedFrame())
    }

    private func send(_ frame: [UInt8]) {
        let message = LinkHandshake.wireMessage(frame, role: link.role(of: 1 - victim.index), masks: masks)
        message.withUnsafeBytes { link.send($0, to: victim.index) }
    }

    /// Reads what the victim sent and answers it.
    func act(_ randomness: inout SeededRandom) throws {
        let queue = link.toEnd[1 - victim.index]
        queue.queue.withReadable { reader.append($0) }
        queue.queue.removeAll(keepingCapacity: true)
        var frames: [SeenFrame] = []
        try reader.drain { if let frame = SeenFrame($0) { frames.append(frame) } }
        for frame in frames {
            switch frame.type {
            case .hello where link.dialler == victim.index:
                let greeting = try frame.payload.withUnsafeBytes { try Hello(payload: $0) }
                var answer = hello
                answer.versions = Hello.currentVersion...Hello.currentVersion
                let epoch = max(greeting.resumptionEpoch ?? 0, 1) &+ UInt64(randomness.below(3))
                answer.resumptionEpoch = epoch
                send(answer.encodedFrame())
                claim(epoch, nil, &randomness)
            case .resume: offer = try frame.payload.withUnsafeBytes { try ResumeClaim(payload: $0) }
            case .auth:
                if let offer { claim(offer.epoch, frame.payload, &randomness) }
            default: break
            }
        }
    }

    private func claim(_ epoch: UInt64, _ theirs: [UInt8]?, _ randomness: inout SeededRandom) {
        let session = victim.node.session
        let claim = ResumeClaim(
            epoch: epoch, processed: session.sentFrames - min(session.sentFrames, UInt64(randomness.below(3))),
            sent: session.processedFrames + UInt64(randomness.below(3)))
        send(LinkFrame(type: .resume).encoded(payload: claim.payload))
        let proof: [UInt8]
        switch (randomness.below(3), theirs, seen.isEmpty) {
        case (0, let theirs?, _): proof = theirs
        case (1, _, false): proof = seen[randomness.below(seen.count)]
        default: proof = (0..<ResumptionProof.size).map { _ in UInt8(truncatingIfNeeded: randomness.next()) }
        }
        send(LinkFrame(type: .auth).encoded(payload: proof))
    }
}
