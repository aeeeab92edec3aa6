import Directory
import Documents
import EventLoop
import Glibc
import Link
import PKI
import Policy
import TLS

/// One running agent: puts the rooms together, starts, reloads and ends them.
@ControlPlane
public final class Agent {
    /// The program's version.
    public nonisolated static let version = "0.1.0"

    /// What a reload came to.
    enum ReloadOutcome {
        /// What was applied, what takes effect at the next start only, and what was read and is not in force.
        case applied([String], needRestart: [String], notes: [String] = [])
        /// Nothing was changed; this is wrong with the new files.
        case failed([String])
    }

    /// Reads the configuration again: the same file, flags and environment as at the start.
    public typealias Loader = @Sendable () throws(ConfigurationError) -> EffectiveConfiguration

    let shared: AgentShared
    let log: Log
    let supervisor: LinkSupervisor
    let registry: LocalRegistry
    let loader: Loader
    /// The configuration in force; a reload puts another one in its place.
    var effective: EffectiveConfiguration
    /// Changed by `use` only.
    var identity: NodeIdentity
    /// Why the list of roots in force is not gone by here, as it was told last; nil where it is.
    var rootsTrouble: String?
    /// The policy in force: that of the documents where there is one, else the configuration's.
    var policy: PolicyDocument
    let documents: DocumentHost
    private(set) var documentPeers: DocumentPeers!
    /// What the workers got last, see `publish`.
    var routing: RoutingSnapshot
    let edge: EdgeHost
    /// Responses that are stapled to our own certificates.
    let staples: StapleKeeper
    /// CRLs that are fetched.
    let lists: ListKeeper
    /// CRLs that could not be put in force.
    private(set) var unapplied: UnappliedLists!
    /// What responders say of peers' certificates.
    let peerStatus: PeerStatus
    /// What is revoked by documents and by responders, and the documents' part of it.
    var withdrawn: (all: RevocationSet, documents: RevocationSet)
    /// The mesh's CA, where this node serves it.
    let ca: CAService?
    /// What is kept of security events; nil where the configuration wants no audit log.
    var audit: AuditLog?
    /// Seals of other nodes' audit logs, and this node's on their way to others.
    let sealKeeper: SealKeeper
    private(set) var sealCourier: SealCourier!
    private(set) var renewal: IdentityRenewal!
    private(set) var revokedIdentity: RevokedIdentity!
    private(set) var identityWatcher: FileSetWatcher!
    private(set) var targetWatcher: FileSetWatcher!
    private(set) var directoryHost: DirectoryHost?
    private(set) var directoryClient: DirectoryClient?
    private(set) var api: ControlAPI!
    var isDraining = false
    /// Another process starts to take over: nothing is written.
    var isFrozen = false
    /// Another process has taken over: what is under way goes on.
    var isHandedOver = false
    /// After that this process was told to end.
    var isLeaving = false
    /// Whom this process has taken over from.
    let predecessor: Predecessor?
    /// What listened before this process started, until it serves.
    let inherited: InheritedListeners
    /// Taken out of service by an operator, see `leaveService`.
    var isOutOfService = false
    /// The lanes that take new streams, by node.
    var links: [String: [LaneRoute]] = [:]
    var bound: [Bound] = []
    var boundUpstreams: [UpstreamListener] = []
    /// Listeners whose sockets are systemd's.
    var activated: Set<InheritedListeners.Kind> = []
    var meshDoor: Door?
    /// Open to the end, as is `metricsDoor`, so that a drain can be watched.
    var controlDoor: Door?
    var takeoverHost: TakeoverHost?
    var metricsDoor: MetricsDoor?
    /// The host's users.
    private(set) lazy var users = LocalUsers(log: log)
    private(set) lazy var controlConnections = ControlConnections(of: self)
    var certificateWatch: CertificateWatch?
    var upstreams: [String: UpstreamListener] = [:]
    var relaunch: Relaunch?
    var signals: SignalSource?
    /// Who waits for the end.
    var finish: CheckedContinuation<Int32, Never>?
    /// Set once the agent has ended.
    var exitCode: Int32?
    let startedAt = Clock.monotonicNanoseconds()
    var reloads: (applied: UInt64, failed: UInt64) = (0, 0)

    /// When the last reload failed, milliseconds since 1970, and why; nil after one that did not.
    var failedReload: (at: Int64, lines: [String])?

    var configuration: Configuration { effective.configuration }
    /// This node as a principal, under the policy in force.
    var own: Principal { policy.principal(for: identity.subject) }

    /// Made by `prepare`, which has everything that can fail done around it.
    init(
        _ effective: EffectiveConfiguration, loader: @escaping Loader, ca: CAService?, audit: AuditLog?, log: Log,
        inherited: InheritedListeners, predecessor: Predecessor?
    ) throws {
        let configuration = effective.configuration
        self.inherited = inherited
        self.predecessor = predecessor
        self.effective = effective
        self.loader = loader
        self.ca = ca
        self.audit = audit
        self.log = log
        #if MESH_FAULTS
            PlantedFault.warn(log)
        #endif
        identity = try NodeIdentity.load(configuration)
        let configured = try PolicyLoading.load(configuration)
        try StateDirectory.prepare(configuration.node.stateDirectory)
        sealKeeper = SealKeeper(stateDirectory: configuration.node.stateDirectory, log: log)
        documents = try DocumentHost(identity, configuration, log: log)
        // What came with the first certificate may bring other roots than those that were stored.
        if documents.ledger.rootList != identity.rootList {
            identity = try identity.using(documents.ledger.rootList)
        }
        policy = documents.ledger.policy ?? configured
        var random = SystemRandomNumberGenerator()
        shared = AgentShared(
            node: identity.node, bootID: .random(using: &random), predecessor: predecessor?.bootID,
            version: "conduit-mesh/\(Self.version)", log: log,
            budget: ReceiveBudget(limit: configuration.limits.receiveBudget),
            streams: StreamQuota(limit: configuration.limits.maxStreams), links: LinkSettings(configuration),
            servesDirectory: configuration.directory.serve,
            parking: ParkingSpace(
                resumeFor: configuration.links.resumeFor.nanoseconds, limit: configuration.limits.parkedMemory),
            lanes: configuration.laneCounts, tls: identity.contexts, ocsp: OCSPGate(OCSPSettings(configuration.ocsp)))
        withdrawn = (documents.ledger.revocations, documents.ledger.revocations)
        let ocsp = OCSPSettings(configuration.ocsp)
        staples = StapleKeeper(ocsp, stateDirectory: configuration.node.stateDirectory, log: log)
        lists = ListKeeper(stateDirectory: configuration.node.stateDirectory, log: log)
        peerStatus = PeerStatus(ocsp, log: log)
        edge = try EdgeHost(
            configuration.edge, mesh: identity.meshTrust, stateDirectory: configuration.node.stateDirectory,
            inherited: inherited, log: log)
        supervisor = LinkSupervisor(shared: shared, settings: LinkSupervisor.Settings(configuration.links))
        registry = LocalRegistry(file: configuration.node.stateDirectory + "/registrations.json", log: log)
        routing = RoutingSnapshot(
            node: identity.node, own: policy.principal(for: identity.subject), policy: policy,
            trustDomain: identity.trustDomain, directory: DirectorySnapshot(), services: [:], links: [:],
            isDraining: false, isOutOfService: false, documents: documents.ledger.versions,
            revocations: documents.ledger.revocations)
        documentPeers = DocumentPeers(agent: self)
        api = ControlAPI(agent: self)
        sealCourier = SealCourier(agent: self)
        renewal = IdentityRenewal(agent: self)
        revokedIdentity = RevokedIdentity(agent: self)
        identityWatcher = makeIdentityWatcher()
        targetWatcher = makeTargetWatcher()
        unapplied = UnappliedLists(
            every: { [unowned self] in
                min(self.configuration.identity.renew.pollInterval.nanoseconds, UnappliedLists.longestPause)
            },
            retry: { [unowned self] in self.retryListFiles() })
        if configuration.directory.serve {
            directoryHost = try DirectoryHost(agent: self, path: configuration.directory.store)
        }
        if configuration.directory.serve || configuration.directory.node != nil {
            directoryClient = DirectoryClient(agent: self, node: configuration.directory.node ?? identity.node)
        }
    }
}
