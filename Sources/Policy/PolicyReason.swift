/// Why a decision is as it is: stable codes for peers, close reasons, metrics and the audit log.
public enum PolicyReason: String, Sendable, CaseIterable, CustomStringConvertible {
    /// A rule allows it.
    case allowed
    /// No rule allows it, and what no rule allows is denied.
    case noRule = "no_rule"
    /// A rule denies it; a deny wins over every allow.
    case deniedByRule = "denied_by_rule"
    /// The caller proved who it is, and the policy does not know it.
    case unmappedIdentity = "unmapped_identity"
    /// Two mappings give one certificate two node names.
    case ambiguousIdentity = "ambiguous_identity"
    /// The common name contradicts the SPIFFE URI.
    case contradictoryIdentity = "contradictory_identity"
    /// The caller proved nothing.
    case notAuthenticated = "not_authenticated"
    /// The node names another principal, and no rule lets it act as that one.
    case actAsMissing = "act_as_missing"
    /// The node may act as the principal, which may connect, but the node itself may not.
    case nodeNotAllowed = "node_not_allowed"
    /// A built-in service was asked for in a name that the node may use elsewhere and not there: that of one of its users, or
    /// one for which it has `act-as` by a wildcard only.
    case notVouchedFor = "not_vouched_for"
    /// No rule lets the node that answers provide the service.
    case notProvider = "not_provider"
    /// The name belongs to the built-in services.
    case reservedName = "reserved_name"
    /// The target is not a legal name.
    case invalidName = "invalid_name"

    /// The stable code.
    public var description: String { rawValue }
}
