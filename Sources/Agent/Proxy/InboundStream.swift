import Policy

/// A stream to a service of this node, as it was authorised. Kept as long as the stream lives, so that every change of
/// policy is applied to it.
struct InboundStream {
    /// The service that was opened.
    let service: String
    /// The peer node, or `nil` for an application of this node.
    let peer: String?
    /// Whom the peer names, or `nil` for the node itself.
    let acting: PrincipalID?
    /// What the peer says that the token or key of an external principal tells.
    var attributes: Subject.Attributes = [:]
}
