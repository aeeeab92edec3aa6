import Bytes
import Link
import Testing

/// The exchange of RESUME and AUTH, and what it does to a session.
@Suite struct ResumptionTests {
    private static let dialler = BootID(high: 1, low: 2)
    private static let acceptor = BootID(high: 3, low: 4)

    private func proof(key: UInt64 = 7, exporter: UInt8 = 9) -> ResumptionProof {
        ResumptionProof(
            authenticate: simulatedCode(key: key), exporter: [UInt8](repeating: exporter, count: 32),
            dialler: Self.dialler, acceptor: Self.acceptor)
    }

    private func take(_ resumption: inout LinkResumption, _ frame: [UInt8]) -> LinkResumption.Step {
        frame.withUnsafeBytes { resumption.received($0) }
    }

    /// Passes frames on; gives the last step.
    private func take(_ resumption: inout LinkResumption, _ frames: [[UInt8]]) -> LinkResumption.Step {
        var step = LinkResumption.Step.more
        for frame in frames { step = take(&resumption, frame) }
        return step
    }

    private let offer = ResumeClaim(epoch: 5, processed: 10, sent: 20)
    private let answer = ResumeClaim(epoch: 5, processed: 19, sent: 11)

    @Test func bothEndsProve() {
        var (acceptor, offered) = LinkResumption.offer(offer, proof())
        var dialler = LinkResumption.awaitOffer(proof())
        #expect(offered.count == 2)
        #expect(take(&dialler, offered[0]) == .more)
        #expect(take(&dialler, offered[1]) == .offered(offer))
        let answered = dialler.answer(answer)
        #expect(answered.count == 2)
        #expect(take(&acceptor, answered[0]) == .more)
        #expect(take(&acceptor, answered[1]) == .proven(answer))
    }

    /// The bytes that are authenticated, as `docs/link-protocol.md` lays them out.
    @Test func whatIsProven() {
        let exporter = [UInt8](repeating: 9, count: 32)
        let common =
            exporter + bigEndian(UInt64(1)) + bigEndian(UInt64(2)) + bigEndian(UInt64(3)) + bigEndian(UInt64(4))
            + bigEndian(UInt64(5)) + bigEndian(UInt64(10)) + bigEndian(UInt64(20))
        let label = Array("conduit.link.v1 resume".utf8) + [0]
        let code = simulatedCode(key: 7)
        let offered = LinkResumption.offer(offer, proof()).frames
        #expect(offered[0] == SeenFrame(.resume, payload: Array(common.suffix(24))).bytes)
        #expect(offered[1] == SeenFrame(.auth, payload: code(label + [1] + common)).bytes)
        var dialler = LinkResumption.awaitOffer(proof())
        _ = take(&dialler, offered)
        let own = bigEndian(UInt64(5)) + bigEndian(UInt64(19)) + bigEndian(UInt64(11))
        let answered = dialler.answer(answer)
        #expect(answered[0] == SeenFrame(.resume, payload: own).bytes)
        #expect(answered[1] == SeenFrame(.auth, payload: code(label + [0] + common + own)).bytes)
    }

    private func isFailure(_ step: LinkResumption.Step) -> Bool {
        if case .failed = step { true } else { false }
    }

    @Test func wrongOffersFail() {
        let offered = LinkResumption.offer(offer, proof()).frames
        // Another key, another connection.
        for wrong in [proof(key: 8), proof(exporter: 10)] {
            var dialler = LinkResumption.awaitOffer(proof())
            #expect(isFailure(take(&dialler, LinkResumption.offer(offer, wrong).frames)))
        }
        // One bit of the claim or of the proof.
        for (frame, place) in [(0, 15), (0, 23), (0, 31), (1, 8), (1, 39)] {
            var frames = offered
            frames[frame][place] ^= 1
            var dialler = LinkResumption.awaitOffer(proof())
            #expect(isFailure(take(&dialler, frames)), "frame \(frame), byte \(place)")
        }
        // Out of order, cut, or something else.
        for frames in [
            [offered[1]], [offered[0], offered[0]], [Array(offered[0].dropLast())],
            [offered[0], Array(offered[1].dropLast())],
            [SeenFrame(.ping, payload: [UInt8](repeating: 0, count: 16)).bytes], [[1]],
            [SeenFrame(.resume, payload: [UInt8](repeating: 0, count: 24)).bytes],
        ] {
            var dialler = LinkResumption.awaitOffer(proof())
            #expect(isFailure(take(&dialler, frames)), "\(frames)")
        }
    }

    @Test func wrongAnswersFail() {
        func answered(_ proof: ResumptionProof, _ claim: ResumeClaim) -> [[UInt8]] {
            var dialler = LinkResumption.awaitOffer(proof)
            _ = take(&dialler, LinkResumption.offer(offer, proof).frames)
            return dialler.answer(claim)
        }
        let right = answered(proof(), answer)
        for wrong in [
            answered(proof(key: 8), answer), answered(proof(exporter: 10), answer),
            answered(proof(), ResumeClaim(epoch: 6, processed: 19, sent: 11)),
            // The acceptor's own proof, sent back.
            [right[0], LinkResumption.offer(offer, proof()).frames[1]],
            // A right proof of another claim.
            [answered(proof(), ResumeClaim(epoch: 5, processed: 18, sent: 11))[0], right[1]],
            [answered(proof(), ResumeClaim(epoch: 5, processed: 19, sent: 12))[0], right[1]],
            [right[1]], [right[0], right[0]],
        ] {
            var acceptor = LinkResumption.offer(offer, proof()).resumption
            #expect(isFailure(take(&acceptor, wrong)), "\(wrong)")
        }
    }

    @Test func theDiallerDeclines() {
        var (acceptor, offered) = LinkResumption.offer(offer, proof())
        // Without the session there is no key, and nothing to check.
        var dialler = LinkResumption.awaitOffer(nil)
        #expect(take(&dialler, offered) == .offered(offer))
        #expect(take(&acceptor, dialler.decline()) == .declined)
    }

    @Test func eitherEndGivesUp() {
        let notice = Notice(.overloaded, retryAfter: 5, detail: "not now")
        var (acceptor, _) = LinkResumption.offer(offer, proof())
        var dialler = LinkResumption.awaitOffer(proof())
        #expect(take(&dialler, acceptor.refuse(notice)) == .refused(notice))
        acceptor = LinkResumption.offer(offer, proof()).resumption
        #expect(take(&acceptor, dialler.refuse(notice)) == .refused(notice))
    }

    @Test func helloCarriesTheEpoch() throws {
        var hello = Harness.hello()
        #expect(hello.resumptionEpoch == nil)
        hello.resumptionEpoch = 1 << 40
        let read = try hello.encodedPayload().withUnsafeBytes { try Hello(payload: $0) }
        #expect(read.resumptionEpoch == 1 << 40)
        hello.resumptionEpoch = nil
        #expect(hello.extensions.isEmpty)
        hello.extensions = [FrameExtension(type: 1, value: [1, 2, 3])]
        #expect(hello.resumptionEpoch == nil)
    }

    // MARK: Sessions

    private func parked() throws -> (Harness, StreamHandle) {
        let harness = Harness()
        let stream = try harness.accepted(id: 1)
        try harness.send(stream, 100)
        _ = try harness.sent()
        harness.session.park(now: harness.now)
        return (harness, stream)
    }

    private func resume(_ harness: Harness, _ claim: ResumeClaim) throws(ResumptionError) {
        try harness.session.resume(claim, role: .acceptor, now: harness.now, unixMilliseconds: 0)
    }

    @Test func eachEpochIsGoodForOneResumption() throws {
        let (harness, _) = try parked()
        let session = harness.session
        let first = try session.offerResumption(hint: 0)
        let second = try session.offerResumption(hint: 0)
        #expect(first.epoch == 1 && second.epoch == 2)
        var theirs = ResumeClaim(epoch: first.epoch, processed: 2, sent: 1)
        #expect(throws: ResumptionError.staleEpoch) { try resume(harness, theirs) }
        #expect(session.isParked)
        theirs.epoch = second.epoch
        try resume(harness, theirs)
        #expect(!session.isParked)
        #expect(throws: ResumptionError.notParked) { try resume(harness, theirs) }
        session.park(now: harness.now)
        for epoch: UInt64 in 0...2 {
            #expect(throws: ResumptionError.staleEpoch) {
                try session.answerResumption(ResumeClaim(epoch: epoch, processed: 0, sent: 0))
            }
        }
        #expect(try session.answerResumption(ResumeClaim(epoch: 9, processed: 2, sent: 1)).epoch == 9)
        #expect(try session.offerResumption(hint: 3).epoch == 10)
        #expect(try session.offerResumption(hint: 20).epoch == 21)
        // A hint cannot use the epochs up.
        #expect(try session.offerResumption(hint: .max).epoch == 22 + 1 << 32)
    }

    @Test func impossibleCountsEndTheSession() throws {
        for (processed, sent) in [(UInt64(3), UInt64(1)), (2, 0), (1 << 63, 1)] {
            let (harness, _) = try parked()
            let own = try harness.session.offerResumption(hint: 0)
            #expect(own.processed == 1 && own.sent == 2)
            let claim = ResumeClaim(epoch: own.epoch, processed: processed, sent: sent)
            #expect(throws: ResumptionError.impossibleCounts) { try resume(harness, claim) }
            #expect(ResumptionError.impossibleCounts.isFatal)
        }
        // Below what was acknowledged.
        let (harness, _) = try parked()
        #expect(harness.receive(.ack, bigEndian(UInt64(2))) == .none)
        let epoch = try harness.session.offerResumption(hint: 0).epoch
        #expect(throws: ResumptionError.impossibleCounts) {
            try resume(harness, ResumeClaim(epoch: epoch, processed: 1, sent: 1))
        }
    }

    @Test func whatWasNotProcessedIsSentAgain() throws {
        for processed: UInt64 in 1...2 {
            let (harness, _) = try parked()
            let epoch = try harness.session.offerResumption(hint: 0).epoch
            try resume(harness, ResumeClaim(epoch: epoch, processed: processed, sent: 1))
            let frames = try harness.sent()
            #expect(frames.filter { $0.type == .data }.count == (processed == 1 ? 1 : 0))
            #expect(frames.filter { $0.type == .accept }.isEmpty)
            // RESUME was an acknowledgement; the ping of the old link is forgotten, a new one goes out.
            #expect(frames.filter { $0.type == .ack }.isEmpty)
            harness.now += 1
            _ = harness.session.advance(now: harness.now)
            #expect(try harness.sent().contains { $0.type == .ping })
        }
    }

    @Test func nothingIsSentOfAStreamThatLostItsRight() throws {
        let (harness, stream) = try parked()
        harness.session.finish(stream)
        harness.session.reset(stream, .accessWithdrawn)
        let epoch = try harness.session.offerResumption(hint: 0).epoch
        try resume(harness, ResumeClaim(epoch: epoch, processed: 1, sent: 1))
        var seen: [UInt8] = []
        _ = harness.session.withUnsent {
            seen.append(contentsOf: $0)
            return $0.count
        }
        // Two placeholders, then RESET: type 0x7F, IGNORABLE, no stream, no payload.
        let placeholder: [UInt8] = [0x82, 8, 0x7F, 0x80, 0, 0, 0, 0, 0, 0]
        #expect(Array(seen.prefix(20)) == placeholder + placeholder)
        #expect(seen[22] == FrameType.reset.rawValue)
        #expect(harness.session.sentFrames == 4)
    }

    @Test func whatCannotBeParked() throws {
        let harness = Harness()
        #expect(harness.session.canPark)
        harness.session.goAway(.goingAway)
        #expect(!harness.session.canPark)
        let told = Harness()
        _ = told.receive(.goAway, Notice(.goingAway).encodedPayload(for: .goAway))
        #expect(!told.session.canPark)
        let broken = Harness()
        _ = broken.receive(.hello)
        #expect(!broken.session.canPark)
        for reason: LinkReason in [.linkLost, .peerSilent, .replaced, .superseded] { #expect(reason.leavesSession) }
        for reason: LinkReason in [.normal, .goingAway, .protocolError, .policyChanged] {
            #expect(!reason.leavesSession)
        }
    }
}
