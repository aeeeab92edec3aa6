internal import WebSocket

/// The exchange of HELLOs at the beginning of a link. The dialler speaks first; the acceptor answers once its arbiter has
/// decided, or refuses with GOAWAY. Frames go in and come out as link frames, without WebSocket headers; `wireMessage`
/// adds those. How long to wait for the peer is the caller's affair (`LinkReason.handshakeTimeout`).
public struct LinkHandshake: Sendable {
    /// What a received frame leads to.
    public enum Step: Sendable, Hashable {
        /// To the acceptor: the dialler's HELLO came. Arbitrate, then `answer` or `refuse`.
        case decide(Hello)
        /// To the dialler: the peer's HELLO came; a `Session` can begin.
        case complete(Hello)
        /// To the dialler: the peer does not want the link. Nothing more comes.
        case refused(Notice)
        /// The peer broke the protocol: send GOAWAY (`refuse`), then close with the reason's code.
        case failed(LinkReason, String)
    }

    private enum State: Sendable {
        /// Acceptor, before the dialler's HELLO.
        case listening
        /// Dialler, after its HELLO.
        case greeted(ClosedRange<UInt8>)
        /// Acceptor, before its answer.
        case deciding(Hello)
        case over
    }

    private var state: State

    /// Which end this is.
    public let role: LinkRole

    private init(_ state: State, role: LinkRole) {
        self.state = state
        self.role = role
    }

    /// The dialler's side. The frame is to be sent at once.
    public static func dial(_ hello: Hello) -> (handshake: LinkHandshake, frame: [UInt8]) {
        (LinkHandshake(.greeted(hello.versions), role: .dialler), hello.encodedFrame())
    }

    /// The acceptor's side.
    public static func accept() -> LinkHandshake {
        LinkHandshake(.listening, role: .acceptor)
    }

    /// Takes the next frame from the peer: the payload of one binary message.
    public mutating func received(_ message: UnsafeRawBufferPointer) -> Step {
        guard case .frame(let frame) = LinkFrame.parse(message) else { return fail("not a frame of version 1") }
        let payload = UnsafeRawBufferPointer(rebasing: message[LinkFrame.headerSize...])
        switch (state, frame.type) {
        case (.listening, .hello):
            guard let hello = try? Hello(payload: payload) else { return fail("HELLO with a bad payload") }
            guard hello.versions.contains(Hello.currentVersion) else {
                state = .over
                return .failed(.versionMismatch, "the peer speaks versions \(hello.versions)")
            }
            state = .deciding(hello)
            return .decide(hello)
        case (.greeted(let versions), .hello):
            guard let hello = try? Hello(payload: payload) else { return fail("HELLO with a bad payload") }
            guard hello.versions.count == 1, versions.contains(hello.versions.lowerBound) else {
                state = .over
                return .failed(.versionMismatch, "the peer chose version \(hello.versions)")
            }
            state = .over
            return .complete(hello)
        case (.greeted, .goAway):
            guard let notice = try? Notice.parse(.goAway, payload: payload).notice else {
                return fail("GOAWAY with a bad payload")
            }
            state = .over
            return .refused(notice)
        default:
            return fail("\(frame.type) before the HELLOs are exchanged")
        }
    }

    /// The acceptor's answer to the HELLO it decided on; with this frame the link is established. Version, intent and lane
    /// are set here.
    public mutating func answer(_ hello: Hello) -> [UInt8] {
        guard case .deciding(let offer) = state else { preconditionFailure("answer without a HELLO to answer") }
        state = .over
        var answer = hello
        answer.versions = Hello.currentVersion...Hello.currentVersion
        answer.intent = offer.intent
        answer.lane = offer.lane
        return answer.encodedFrame()
    }

    /// A GOAWAY that ends the handshake; to be followed by a close frame with the reason's code.
    public mutating func refuse(_ notice: Notice) -> [UInt8] {
        state = .over
        return LinkFrame(type: .goAway).encoded(payload: notice.encodedPayload(for: .goAway))
    }

    private mutating func fail(_ detail: String) -> Step {
        state = .over
        return .failed(.protocolError, detail)
    }

    /// A link frame as one binary WebSocket message, masked where `role` is the dialler. For what is sent before a session
    /// exists.
    public static func wireMessage(_ frame: [UInt8], role: LinkRole, masks: MaskKeys) -> [UInt8] {
        var body = frame
        let header: FrameHeader
        if role == .dialler {
            let key = masks.next()
            header = FrameHeader(opcode: .binary, maskKey: key, payloadLength: body.count)
            body.withUnsafeMutableBytes { Masking.apply(key, to: $0) }
        } else {
            header = FrameHeader(opcode: .binary, payloadLength: body.count)
        }
        return [UInt8](unsafeUninitializedCapacity: FrameHeader.maximumSize) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = header.encode(into: UnsafeMutableRawPointer(base))
        } + body
    }
}
