/// Why a link, a session or a stream ended or was refused.
///
/// The raw values are part of the protocol (`docs/link-protocol.md`, "Reasons") and never change their meaning. They
/// travel in REFUSE, RESET and GOAWAY, and as WebSocket close code `4300 + rawValue`. Codes below 64 speak of links and
/// sessions, codes from 64 of streams.
public enum LinkReason: UInt16, Sendable, Hashable, CaseIterable {
    /// Orderly end, nothing went wrong.
    case normal = 0
    /// A frame that the protocol does not allow.
    case protocolError = 1
    /// The two ends have no protocol version in common.
    case versionMismatch = 2
    /// A frame longer than the receiver said it takes.
    case frameTooLarge = 3
    /// Data beyond the granted credit.
    case creditExceeded = 4
    /// More pings, resets or opens than a working peer needs.
    case flood = 5
    /// The sender of the reason made a mistake of its own.
    case internalError = 6
    /// The node drains or shuts down; it takes no new streams.
    case goingAway = 7
    /// Another link between the same two nodes stays.
    case superseded = 8
    /// Another living agent already speaks for this identity.
    case duplicateIdentity = 9
    /// A newer link of the same agent took this one's place.
    case replaced = 10
    /// The peer did not complete its HELLO in time.
    case handshakeTimeout = 11
    /// Nothing was heard from the peer for too long.
    case peerSilent = 12
    /// The link was not used for a long time and is given up.
    case idle = 13
    /// Policy does not let this node link.
    case linkDenied = 14
    /// A certificate ended its validity during the link's life.
    case identityExpired = 15
    /// A certificate was revoked.
    case identityRevoked = 16
    /// The right to link was withdrawn while the link lived.
    case policyChanged = 17
    /// The agent is at its limits; try again after the delay that came with it.
    case overloaded = 18
    /// The peer is not the node that was meant.
    case wrongNode = 19
    /// The peer runs a new boot of its agent: the old session and its streams are over.
    case peerRestarted = 20
    /// The link was lost and its session was not resumed.
    case linkLost = 21
    /// A resumption that cannot be granted (unknown session, wrong proof, time over).
    case resumeRefused = 22
    /// The peer processed frames without acknowledging them until the retention bound was reached.
    case retentionExceeded = 23
    /// The agent ends. If it comes back its peers should not all come at once: each waits for the delay that it was told.
    case stopping = 24

    /// Policy does not let the principal connect to the service.
    case denied = 64
    /// The node may not speak for the principal that OPEN names.
    case actAsDenied = 65
    /// The service is not registered at this node.
    case noSuchService = 66
    /// The service is registered, that instance of it is not.
    case noSuchInstance = 67
    /// The instance's health check fails.
    case unhealthy = 68
    /// The service's target refused the connection.
    case targetRefused = 69
    /// The service's target cannot be reached.
    case targetUnreachable = 70
    /// The service's target did not answer in time.
    case targetTimeout = 71
    /// The limit of streams is reached.
    case tooManyStreams = 72
    /// No receive budget is left for another stream.
    case streamOverloaded = 73
    /// The application reset its connection.
    case applicationReset = 74
    /// Nobody wants the stream any more.
    case cancelled = 75
    /// The stream was idle for longer than allowed.
    case streamIdle = 76
    /// The right to the stream was withdrawn while it lived.
    case accessWithdrawn = 77
    /// An OPEN whose service, instance, principal or attributes are not well formed.
    case badOpen = 78
    /// TLS with the service's target failed: its certificate is not the one that is expected, or it speaks none.
    case targetTLSFailed = 79
    /// The serving node lacks a mesh document that the other one has, and takes no streams before it has it.
    case documentsBehind = 80

    /// A code that this version does not know. Never sent.
    case unrecognised = 65535

    /// The reason for a code from the wire; codes that this version does not know become `unrecognised`.
    public init(code: UInt16) {
        self = LinkReason(rawValue: code) ?? .unrecognised
    }

    /// What somebody who met the reason may do.
    public enum Retry: Sendable, Hashable {
        /// Again at once, on a new link or another instance.
        case immediately
        /// Again after backoff or after the delay that came with the reason.
        case later
        /// Not here, but another instance of the service may serve.
        case elsewhere
        /// Not before a human or a configuration changed something; permanent peers go on at the slowest pace.
        case unlikely
    }

    /// Whose doing the reason is, seen from the end that sent it.
    public enum Fault: Sendable, Hashable {
        /// Nobody's: part of normal operation.
        case nobody
        /// The end that receives the reason (the caller of a stream, the other agent of a link).
        case peer
        /// The end that sends it.
        case sender
        /// The application or the target behind the sending end.
        case target
        /// The network in between.
        case network
    }

    /// How long to wait before trying again.
    public var retry: Retry {
        switch self {
        case .normal, .superseded, .replaced, .peerRestarted, .linkLost, .idle, .resumeRefused, .cancelled: .immediately
        case .goingAway, .stopping, .handshakeTimeout, .peerSilent, .overloaded, .internalError, .flood,
            .retentionExceeded,
            .identityExpired, .protocolError, .frameTooLarge, .creditExceeded, .unrecognised:
            .later
        case .noSuchService, .noSuchInstance, .unhealthy, .targetRefused, .targetUnreachable, .targetTimeout,
            .targetTLSFailed, .tooManyStreams, .streamOverloaded, .documentsBehind:
            .elsewhere
        case .versionMismatch, .duplicateIdentity, .linkDenied, .identityRevoked, .policyChanged, .wrongNode, .denied,
            .actAsDenied, .applicationReset, .streamIdle, .accessWithdrawn, .badOpen:
            .unlikely
        }
    }

    /// Whose doing it is.
    public var fault: Fault {
        switch self {
        case .normal, .goingAway, .stopping, .superseded, .replaced, .idle, .cancelled, .streamIdle, .unrecognised,
            .resumeRefused, .peerRestarted:
            .nobody
        case .protocolError, .versionMismatch, .frameTooLarge, .creditExceeded, .flood, .duplicateIdentity,
            .handshakeTimeout, .linkDenied, .identityExpired, .identityRevoked, .policyChanged, .wrongNode, .denied,
            .actAsDenied, .accessWithdrawn, .badOpen, .retentionExceeded:
            .peer
        case .internalError, .overloaded, .tooManyStreams, .streamOverloaded, .noSuchService, .noSuchInstance,
            .documentsBehind:
            .sender
        case .unhealthy, .targetRefused, .targetUnreachable, .targetTimeout, .targetTLSFailed, .applicationReset:
            .target
        case .peerSilent, .linkLost: .network
        }
    }

    /// The WebSocket close code (RFC 6455 §7.4.2, private range) that carries this reason.
    public var closeCode: UInt16 {
        self == .unrecognised ? LinkReason.internalError.closeCode : 4300 + rawValue
    }

    /// The reason in a WebSocket close code; nil when the code is none of the link protocol's.
    public init?(closeCode: UInt16) {
        guard (4300..<4500).contains(closeCode) else { return nil }
        self.init(code: closeCode - 4300)
    }
}

extension LinkReason: CustomStringConvertible {
    /// The stable name for logs, metrics and JSON, "target_refused".
    public var name: String {
        switch self {
        case .normal: "normal"
        case .protocolError: "protocol_error"
        case .versionMismatch: "version_mismatch"
        case .frameTooLarge: "frame_too_large"
        case .creditExceeded: "credit_exceeded"
        case .flood: "flood"
        case .internalError: "internal_error"
        case .goingAway: "going_away"
        case .superseded: "superseded"
        case .duplicateIdentity: "duplicate_identity"
        case .replaced: "replaced"
        case .handshakeTimeout: "handshake_timeout"
        case .peerSilent: "peer_silent"
        case .idle: "idle"
        case .linkDenied: "link_denied"
        case .identityExpired: "identity_expired"
        case .identityRevoked: "identity_revoked"
        case .policyChanged: "policy_changed"
        case .overloaded: "overloaded"
        case .wrongNode: "wrong_node"
        case .peerRestarted: "peer_restarted"
        case .linkLost: "link_lost"
        case .resumeRefused: "resume_refused"
        case .retentionExceeded: "retention_exceeded"
        case .stopping: "stopping"
        case .denied: "denied"
        case .actAsDenied: "act_as_denied"
        case .noSuchService: "no_such_service"
        case .noSuchInstance: "no_such_instance"
        case .unhealthy: "unhealthy"
        case .targetRefused: "target_refused"
        case .targetUnreachable: "target_unreachable"
        case .targetTimeout: "target_timeout"
        case .tooManyStreams: "too_many_streams"
        case .streamOverloaded: "stream_overloaded"
        case .applicationReset: "application_reset"
        case .cancelled: "cancelled"
        case .streamIdle: "stream_idle"
        case .accessWithdrawn: "access_withdrawn"
        case .badOpen: "bad_open"
        case .targetTLSFailed: "target_tls_failed"
        case .documentsBehind: "documents_behind"
        case .unrecognised: "unrecognised"
        }
    }

    /// The stable name.
    public var description: String { name }
}
