import Policy

/// Tells a denial by policy from other reasons why a connection was not carried.
enum PolicyDenial {
    /// Whether a reason is one of policy's.
    static func isOne(_ reason: String) -> Bool { PolicyReason(rawValue: reason) != nil }
}
