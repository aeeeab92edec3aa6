/// Who may connect to a listener: allow and deny lists of addresses.
public struct AddressFilter: Sendable, Hashable {
    /// Only these may connect; empty: everybody may.
    public let allow: CIDRSet
    /// These may not, whatever `allow` says.
    public let deny: CIDRSet

    /// A filter; `deny` wins.
    public init(allow: CIDRSet = .empty, deny: CIDRSet = .empty) {
        self.allow = allow
        self.deny = deny
    }

    /// Whether that address may connect.
    public func admits(_ address: IPAddress) -> Bool {
        !deny.contains(address) && (allow.isEmpty || allow.contains(address))
    }
}
