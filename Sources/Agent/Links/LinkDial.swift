import EventLoop
import Link
import PKI
import TLS

/// A dial as the control plane orders it.
struct LinkDial: Sendable {
    /// Names the attempt, and the link that comes of it.
    let id: UInt64
    /// The lane that the link is for; its node must answer, and its certificate has to prove it.
    let lane: Lane
    /// Where it may be reached, in order.
    let endpoints: [Endpoint]
    /// How long the attempt may go on without a sign of life from the peer, in nanoseconds; nil: for the whole time of a
    /// handshake.
    var patience: UInt64?
}

/// The control plane's answer to a setup that asked.
enum LinkVerdict: Sendable {
    /// The dialler may say HELLO.
    case greet(LinkIntent)
    /// The link is established.
    case accept
    /// The link is not wanted; the peer is told why.
    case refuse(LinkReason, detail: String, retryAfter: UInt32)
}

/// A link that did not come about.
struct LinkFailure: Sendable {
    /// Stable code: a certificate's reason, a TLS code, a link reason, a connect error.
    let code: String
    /// What happened.
    var text: String
    /// What to do about it, where that is known.
    var hint: String?
    /// The peer's own reason, where it gave one.
    let reason: LinkReason?
    /// The delay that the peer asked for, in milliseconds; 0 for none.
    let retryAfter: UInt32
    /// By how many seconds this host's clock would have to be set for the peer's certificate to be valid, where that is what
    /// is wrong.
    var clockGap: Int64?
    /// The alert with which the peer refused this node's certificate, where it did.
    var refusal: TLSAlert?
    /// Who was refused because his certificate is revoked.
    var revoked: RevokedPeer?
}

/// Somebody with a revoked certificate: the name is that of the certificate, which may be in wrong hands. So it is for people, and
/// nothing is decided by it about the node that has the name.
struct RevokedPeer: Sendable {
    /// The name in the certificate.
    let node: String
    /// The certificate's serial number, in hex.
    let serial: String

    /// The names of an identity.
    init(_ identity: PeerIdentity) {
        node = identity.nodeName ?? identity.commonName ?? ""
        serial = identity.serial
    }
}
