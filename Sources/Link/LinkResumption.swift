/// The exchange of RESUME and AUTH on one new link, between HELLO and the first sequenced frame. The acceptor offers a
/// session that it holds, the dialler goes on with it or declines; each believes the other only with a proof. Frames go in
/// and come out as link frames. Sessions are not touched here: see `Session.offerResumption` and `Session.resume`.
public struct LinkResumption: Sendable {
    /// What a received frame leads to.
    public enum Step: Sendable, Hashable {
        /// Another frame is needed.
        case more
        /// To the dialler: the acceptor offers a session, and proved it if the dialler holds one. To be followed by `answer`
        /// or `decline`.
        case offered(ResumeClaim)
        /// To the acceptor: the dialler proved the session; it goes on.
        case proven(ResumeClaim)
        /// To the acceptor: the dialler does not hold the session. It is over, and a new one begins.
        case declined
        /// The peer gives the link up, with this reason. The session stays parked.
        case refused(Notice)
        /// Not what the protocol wants, or not the peer that has the session: close the link with `resume_refused`. The
        /// session stays parked.
        case failed(String)
    }

    private enum State: Sendable {
        /// Dialler, before the acceptor's RESUME.
        case awaitingOffer
        /// Dialler, before the acceptor's AUTH.
        case awaitingOfferProof(ResumeClaim)
        /// Dialler, before its answer.
        case answering(ResumeClaim)
        /// Acceptor, before the dialler's RESUME.
        case awaitingAnswer(ResumeClaim)
        /// Acceptor, before the dialler's AUTH.
        case awaitingAnswerProof(offer: ResumeClaim, answer: ResumeClaim)
        case over
    }

    private var state: State
    /// Nil on a dialler that holds no session.
    private let proof: ResumptionProof?

    private init(_ state: State, _ proof: ResumptionProof?) {
        self.state = state
        self.proof = proof
    }

    /// The acceptor's side; the frames are to be sent right behind its HELLO.
    public static func offer(
        _ claim: ResumeClaim, _ proof: ResumptionProof
    ) -> (resumption: LinkResumption, frames: [[UInt8]]) {
        (
            LinkResumption(.awaitingAnswer(claim), proof),
            [claim.frame, LinkFrame(type: .auth).encoded(payload: proof.acceptorProof(claim))]
        )
    }

    /// The dialler's side, after an answer to its HELLO that announced an offer. `proof`: nil when it holds no session of
    /// this peer; the offer can only be declined then.
    public static func awaitOffer(_ proof: ResumptionProof?) -> LinkResumption {
        LinkResumption(.awaitingOffer, proof)
    }

    /// Takes the next frame from the peer: the payload of one binary message.
    public mutating func received(_ message: UnsafeRawBufferPointer) -> Step {
        guard case .frame(let frame) = LinkFrame.parse(message) else { return fail("not a frame of version 1") }
        let payload = UnsafeRawBufferPointer(rebasing: message[LinkFrame.headerSize...])
        switch (state, frame.type) {
        case (.awaitingOffer, .resume):
            guard let claim = try? ResumeClaim(payload: payload), claim != .declined else {
                return fail("RESUME with a bad payload")
            }
            state = .awaitingOfferProof(claim)
            return .more
        case (.awaitingOfferProof(let claim), .auth):
            if let proof, !ResumptionProof.equal(proof.acceptorProof(claim), payload) {
                return fail("the acceptor's proof is wrong")
            }
            state = .answering(claim)
            return .offered(claim)
        case (.awaitingAnswer(let offer), .resume):
            guard let claim = try? ResumeClaim(payload: payload) else { return fail("RESUME with a bad payload") }
            if claim == .declined {
                state = .over
                return .declined
            }
            guard claim.epoch == offer.epoch else { return fail("RESUME of another epoch") }
            state = .awaitingAnswerProof(offer: offer, answer: claim)
            return .more
        case (.awaitingAnswerProof(let offer, let answer), .auth):
            guard let proof, ResumptionProof.equal(proof.diallerProof(offer, answer), payload) else {
                return fail("the dialler's proof is wrong")
            }
            state = .over
            return .proven(answer)
        case (_, .goAway):
            guard let notice = try? Notice.parse(.goAway, payload: payload).notice else {
                return fail("GOAWAY with a bad payload")
            }
            state = .over
            return .refused(notice)
        default:
            return fail("\(frame.type) while a session is resumed")
        }
    }

    /// The dialler goes on with the session: its claim, and the frames to send before any other.
    public mutating func answer(_ claim: ResumeClaim) -> [[UInt8]] {
        guard case .answering(let offer) = state, let proof else { preconditionFailure("answer without an offer") }
        state = .over
        return [claim.frame, LinkFrame(type: .auth).encoded(payload: proof.diallerProof(offer, claim))]
    }

    /// The dialler does not hold the session: the frame to send before those of the new one.
    public mutating func decline() -> [UInt8] {
        guard case .answering = state else { preconditionFailure("decline without an offer") }
        state = .over
        return ResumeClaim.declined.frame
    }

    /// To the dialler: a GOAWAY that ends the exchange; to be followed by a close frame with the reason's code. The acceptor
    /// sends the close frame alone, as the dialler may take its frames for those of the session already.
    public mutating func refuse(_ notice: Notice) -> [UInt8] {
        state = .over
        return LinkFrame(type: .goAway).encoded(payload: notice.encodedPayload(for: .goAway))
    }

    private mutating func fail(_ detail: String) -> Step {
        state = .over
        return .failed(detail)
    }
}
