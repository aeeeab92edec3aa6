/// What may be negotiated on one kind of connection: a profile, or a choice within it.
public struct TLSTerms: Sendable, Equatable {
    /// Oldest version accepted.
    public var minimumVersion: TLSVersion
    /// Suites, groups and signature algorithms.
    public var parameters: TLSParameters

    /// Terms as given.
    public init(minimumVersion: TLSVersion, parameters: TLSParameters) {
        self.minimumVersion = minimumVersion
        self.parameters = parameters
    }
}

extension TLSProfile {
    /// All that the profile permits.
    public var terms: TLSTerms { TLSTerms(minimumVersion: minimumVersion, parameters: parameters) }

    /// The profile towards servers that are no nodes: this one where it answers to somebody else's rules, else `intermediate`,
    /// since such servers do not choose their versions by ours.
    public var towardsOthers: TLSProfile { isRegulated ? self : .intermediate }

    /// What is negotiated with the mesh's CA, at both ends: a choice within the profile as for links, and TLS 1.3 always, whose
    /// exporter binds what is signed to the connection without further conditions (RFC 8446, section 7.5; RFC 7627, section 1).
    ///
    /// - Throws: `badConfiguration` for names that the profile does not permit.
    public func enrolmentTerms(suites: [String] = [], groups: [String] = []) throws(TLSError) -> TLSTerms {
        var chosen = try parameters.choosing(suites: suites, groups: groups, minimum: .tls12)
        // A choice among the suites of TLS 1.2 alone says nothing of TLS 1.3.
        if chosen.suites13.isEmpty { chosen.suites13 = parameters.suites13 }
        return TLSTerms(minimumVersion: .tls13, parameters: chosen)
    }
}

extension TLSContext.Configuration {
    /// Version and algorithms together.
    public var terms: TLSTerms {
        get { TLSTerms(minimumVersion: minimumVersion, parameters: parameters) }
        set {
            minimumVersion = newValue.minimumVersion
            parameters = newValue.parameters
        }
    }
}
