import Link

/// Why a stream changes its lane; the label of a counter.
enum TransferReason: String, Sendable {
    /// The two nodes keep fewer lanes now, and the stream is on one of those that go.
    case fewerLanes = "fewer_lanes"
    /// The link of its lane was lost, and no other one came for a while.
    case laneLost = "lane_lost"
    /// It moves bulk on a lane that others use, while another one is idle.
    case rebalanced
    /// The peer, whose stream it is, asked for it.
    case peer
}

/// A stream of this node on its way to another lane. Both workers concerned know it by its number.
struct StreamTransfer: Sendable {
    /// Unique in the running agent.
    let id: UInt64
    let reason: TransferReason
    /// The lane that it leaves, and its worker.
    let from: Lane
    let fromWorker: Int
    /// Its handle there.
    let stream: StreamHandle
    /// The lane that is to take it, and its worker.
    let to: Lane
    let toWorker: Int
    /// What the peer is asked for there.
    let request: TransferRequest
}

/// A stream of this node that the peer was asked to go on with on the lane.
final class StreamArrival {
    let transfer: StreamTransfer
    /// Its handle on this lane.
    let stream: StreamHandle
    /// The peer's answer.
    var answer: TransferAnswer?
    /// What came here before it did; bounded by its credit.
    private(set) var held: [UInt8] = []
    private(set) var hasEnd = false

    init(_ transfer: StreamTransfer, _ stream: StreamHandle) {
        self.transfer = transfer
        self.stream = stream
    }

    func hold(_ bytes: UnsafeRawBufferPointer, finished: Bool) {
        held.append(contentsOf: bytes)
        if finished { hasEnd = true }
    }
}

/// A stream of the peer that it wants to go on with on another lane than before.
struct TransferOffer: Sendable {
    /// Unique in the running agent.
    let id: UInt64
    /// The lane on which it asked, and its worker.
    let to: Lane
    let toWorker: Int
    /// The stream's handle there.
    let stream: StreamHandle
    let request: TransferRequest
    /// Who asked.
    let peer: PeerNames

    /// The lane on which the stream is.
    var from: Lane { Lane(to.node, request.lane) }
}

/// The streams of a session that are on their way from or to another one, by their slots.
struct LinkTransfers {
    /// They leave, and the peer has not answered yet.
    var leaving: [UInt32: StreamTransfer] = [:]
    /// They are ours and come here.
    var arriving: [UInt32: StreamArrival] = [:]
    /// They are the peer's and are to come here.
    var offered: [UInt32: TransferOffer] = [:]
    /// How many came here in all.
    var taken = 0

    var isEmpty: Bool { leaving.isEmpty && arriving.isEmpty && offered.isEmpty }
}

/// What one lane's worker hands to another's.
struct TransferCargo {
    /// The stream as its session knew it.
    let detached: DetachedStream
    /// Its socket; nil where the application has closed it already.
    let local: LocalHandover?
}
