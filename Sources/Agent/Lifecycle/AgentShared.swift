import EventLoop
import Link
import PKI
import Policy
import Synchronization
import TLS

/// What every part of the agent may use, on every thread.
final class AgentShared: Sendable {
    /// This node's name.
    let node: String
    /// Names this run of the agent.
    let bootID: BootID
    /// The run that this one takes over from.
    let predecessor: BootID?
    /// Program and version, as HELLO says it.
    let version: String
    let log: Log
    /// The bound on memory promised to peers.
    let budget: ReceiveBudget
    /// The bound on the number of streams that peers have open here.
    let streams: StreamQuota
    /// This node answers for the directory.
    let servesDirectory: Bool
    /// What parked sessions may hold, and for how long.
    let parking: ParkingSpace

    /// What is asked about peers' certificates.
    let ocsp: OCSPGate

    /// Streams from here to each instance.
    let load = InstanceLoad()

    /// What is between two workers.
    let handovers = HandoverCount()

    /// How streams of `mesh connect` ended.
    let outcomes = StreamOutcomes()

    private let linkSettings: Locked<LinkSettings>
    private let laneCounts: Locked<LaneCounts>
    private let tls: Locked<(contexts: TLSContexts, generation: UInt64)>
    private let workerList = Locked<[Worker]>([])
    private let nextLink = Atomic<UInt64>(1)

    init(
        node: String, bootID: BootID, predecessor: BootID?, version: String, log: Log, budget: ReceiveBudget,
        streams: StreamQuota, links: LinkSettings, servesDirectory: Bool, parking: ParkingSpace,
        lanes: LaneCounts, tls: TLSContexts, ocsp: OCSPGate
    ) {
        self.node = node
        self.bootID = bootID
        self.predecessor = predecessor
        self.version = version
        self.log = log
        self.budget = budget
        self.streams = streams
        linkSettings = Locked(links)
        self.servesDirectory = servesDirectory
        self.parking = parking
        laneCounts = Locked(lanes)
        self.tls = Locked((tls, 0))
        self.ocsp = ocsp
    }

    /// Limits and times of links; replaced by a reload.
    var links: LinkSettings {
        get { linkSettings.withLock { $0 } }
        set { linkSettings.withLock { $0 = newValue } }
    }

    /// How many lanes this node takes; replaced by a reload.
    var lanes: LaneCounts {
        get { laneCounts.withLock { $0 } }
        set { laneCounts.withLock { $0 = newValue } }
    }

    /// The TLS contexts in force for new links, and which of this node's identities they have, counted from zero: a link
    /// with a lower number was made with an older certificate.
    var identity: (contexts: TLSContexts, generation: UInt64) { tls.withLock { $0 } }

    /// New links are made with `contexts`. `isNew`: they have another certificate than those before.
    func use(_ contexts: TLSContexts, isNew: Bool) {
        tls.withLock { $0 = (contexts, $0.generation + (isNew ? 1 : 0)) }
    }

    /// The data plane's threads; set once when they are started.
    var workers: [Worker] {
        get { workerList.withLock { $0 } }
        set { workerList.withLock { $0 = newValue } }
    }

    /// The control plane's parts that workers talk to; set once when the agent is put together.
    @ControlPlane var supervisor: LinkSupervisor?

    /// Serves the control API on a socket of ours; set once when the agent is put together.
    @ControlPlane var serveControl: @ControlPlane (consuming FileDescriptor, ControlCaller, _ service: String) -> Void =
        {
            _, _, _ in
        }

    /// Gives a connection that came in through an upstream to the process that took over; set once it has.
    @ControlPlane var passOn: @ControlPlane (consuming FileDescriptor, _ origin: String, _ bytes: [UInt8]) -> Void = {
        _, _, _ in
    }

    /// A number for a new link, unique in this run.
    func newLinkID() -> UInt64 { nextLink.add(1, ordering: .relaxed).oldValue }
}

/// The TLS contexts of the mesh: one for each end of a link.
struct TLSContexts: Sendable {
    /// For links that this node dials.
    let client: TLSContext
    /// For links that peers dial.
    let server: TLSContext

    /// When the oldest root began by which peers are judged, seconds since 1970.
    var authoritySince: Int64? { client.configuration.trust?.roots.map(\.notBefore).min() }
}
