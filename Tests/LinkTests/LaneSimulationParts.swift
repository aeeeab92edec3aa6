import Bytes
import Link

/// A simulated link of one lane between two agents: bytes on their way to each end.
final class LaneLink {
    let toEnd = [ByteQueueBox(), ByteQueueBox()]
    var readers: [WireReader]
    /// Nothing gets through any more.
    var isSilent = false

    /// `dialler`: which end made the connection.
    init(dialler: Int) {
        readers = (0..<2).map { WireReader(receiver: $0 == dialler ? .dialler : .acceptor) }
    }
}

/// One lane at one end: a session, and what its owner knows of the streams on it.
final class LaneEnd {
    let number: Int
    let agent: Int
    let session: Session
    /// The link that carries it; nil: parked.
    var link: LaneLink?
    var isOver = false
    /// This end has said that it gives the lane up.
    var isRetiring = false
    var streams: [UInt32: LaneStream] = [:]
    /// Streams of ours that the peer was asked to go on with here.
    var arriving: [UInt32: LaneTicket] = [:]
    /// Streams of the peer that are to go on here.
    var offered: [UInt32: LaneOffer] = [:]

    init(number: Int, agent: Int, session: Session, link: LaneLink) {
        self.number = number
        self.agent = agent
        self.session = session
        self.link = link
    }
}

/// A stream as one agent's application sees it, on whatever lane it is.
final class LaneStream: SimulatedApplication {
    /// Where it is; nil on its way from one lane to another.
    var lane: LaneEnd?
    var handle: StreamHandle
    var leaving: LaneTicket?
    var moves = 0

    init(number: UInt64, openedHere: Bool, lane: LaneEnd, handle: StreamHandle, plan: Int) {
        self.lane = lane
        self.handle = handle
        super.init(number: number, openedHere: openedHere, plan: plan)
    }

    /// The application can do something with it.
    var isUsable: Bool { lane != nil && !ended && (accepted || openedHere) }
}

/// A stream of this end on its way to another lane.
final class LaneTicket {
    let stream: LaneStream
    let from: LaneEnd
    let to: LaneEnd
    let request: TransferRequest
    var handle: StreamHandle?
    var answer: TransferAnswer?
    /// What came on the new lane before the stream did.
    var held: [UInt8] = []
    var heldEnd = false

    init(stream: LaneStream, from: LaneEnd, to: LaneEnd, request: TransferRequest) {
        self.stream = stream
        self.from = from
        self.to = to
        self.request = request
    }
}

/// A stream of the peer that is to go on on another lane.
final class LaneOffer {
    let request: TransferRequest
    let to: LaneEnd
    let handle: StreamHandle

    init(request: TransferRequest, to: LaneEnd, handle: StreamHandle) {
        self.request = request
        self.to = to
        self.handle = handle
    }
}

/// What the simulation of lanes came across; a run that never met something proves nothing about it.
struct LaneCoverage: SimulationCounts {
    var begun = 0, taken = 0, refused = 0, cancelled = 0, lost = 0, fromParked = 0, notBegun = 0
    var tails = 0, duplicates = 0, held = 0, endsHeld = 0, movedTwice = 0, movedHalfClosed = 0, takenParked = 0
    var bytes = 0, accepted = 0, resets = 0, declined = 0
    var cuts = 0, resumed = 0, lanesEnded = 0, retired = 0, strangers = 0

    static var fields: [WritableKeyPath<LaneCoverage, Int>] {
        [
            \.begun, \.taken, \.refused, \.cancelled, \.lost, \.fromParked, \.notBegun, \.tails, \.duplicates, \.held,
            \.endsHeld, \.movedTwice, \.movedHalfClosed, \.takenParked, \.bytes, \.accepted, \.resets, \.declined,
            \.cuts,
            \.resumed, \.lanesEnded, \.retired, \.strangers,
        ]
    }
}
