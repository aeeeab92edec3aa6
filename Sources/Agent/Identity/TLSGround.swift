import TLS

/// What the process as a whole must be before contexts are made from a configuration.
enum TLSGround {
    /// Brings the FIPS provider in, or lets it go.
    ///
    /// - Throws: a `StartFailure` where the profile needs it and it is not there.
    static func prepare(_ configuration: Configuration) throws {
        guard configuration.tls.profile == .fips else { return FIPSProvider.deactivate() }
        do throws(TLSError) {
            try FIPSProvider.activate()
        } catch {
            throw StartFailure(
                exitCode: 78, lines: ["tls.profile: \(error.message) (\(error.reason))"], hint: error.hint)
        }
    }
}

extension Configuration.TLS {
    /// What is negotiated with the mesh's CA, by whom it serves and by whom it is asked.
    var enrolmentTerms: TLSTerms {
        get throws(TLSError) { try profile.enrolmentTerms(suites: cipherSuites, groups: groups) }
    }
}

extension TLSVersion {
    /// The version that a configuration means.
    init(_ configured: Configuration.TLSVersion) {
        self =
            switch configured {
            case .tls12: .tls12
            case .tls13: .tls13
            }
    }
}

extension Configuration.TLSVersion {
    /// The lowest version of a profile.
    init(lowestOf profile: TLSProfile) { self = profile.minimumVersion <= .tls12 ? .tls12 : .tls13 }
}
