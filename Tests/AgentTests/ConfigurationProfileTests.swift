import Agent
import TLS
import Testing

/// Where a configuration falls short of the profile that it names.
@Suite struct ConfigurationProfileTests {
    private static let listener = "address: '127.0.0.1:8443', certificates: [{ certificate: 'c', key: 'k' }]"
    private static let routes = "routes: [{ path: '/', service: 'web', require: 'none' }]"

    private static func edge(_ profile: String, _ members: String) -> String {
        "tls: { profile: '\(profile)' },\nedge: { listeners: [{ \(listener), \(members) }], \(routes) }"
    }

    @Test(arguments: [
        ("tls: { profile: 'modern', minimumVersion: '1.2' }", ["tls.minimumVersion conflict"]),
        ("tls: { profile: 'hipaa', minimumVersion: '1.2' }", ["tls.minimumVersion conflict"]),
        ("tls: { profile: 'pci-dss', minimumVersion: '1.2' }", []),
        ("tls: { profile: 'pci-dss', minimumVersion: '1.3' }", []),
        ("tls: { profile: 'pcidss' }", ["tls.profile bad_value"]),
        ("tls: { profile: 'hipaa', legacyCertificates: true }", ["tls.legacyCertificates conflict"]),
        ("tls: { profile: 'pci-dss', legacyCertificates: true }", ["tls.legacyCertificates conflict"]),
        ("tls: { profile: 'intermediate', legacyCertificates: true }", []),
        ("tls: { cipherSuites: ['TLS_AES_128_CCM_SHA256'] }", ["tls.cipherSuites bad_value"]),
        ("tls: { cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] }", ["tls.cipherSuites bad_value"]),
        ("tls: { profile: 'intermediate', cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] }", []),
        ("tls: { profile: 'hipaa', cipherSuites: ['TLS_CHACHA20_POLY1305_SHA256'] }", ["tls.cipherSuites bad_value"]),
        ("tls: { groups: ['P-521'] }", ["tls.groups bad_value"]),
        ("tls: { profile: 'fips', groups: ['X25519'] }", ["tls.groups bad_value"]),
        (edge("hipaa", "publicOrigin: 'https://a.example'"), ["missing_key"]),
        (edge("hipaa", "clientCertificates: { mode: 'required', ca: 'ca' }"), []),
        (
            edge("hipaa", "clientCertificates: { mode: 'required', ca: 'ca' }, minimumVersion: '1.2'"),
            ["edge.listeners[0].minimumVersion conflict"]
        ),
        (edge("pci-dss", "profile: 'modern'"), ["edge.listeners[0].profile conflict"]),
        (edge("modern", "profile: 'pci-dss'"), []),
        (edge("modern", "profile: 'modern', minimumVersion: '1.2'"), ["edge.listeners[0].minimumVersion conflict"]),
        (edge("modern", "groups: ['P-521']"), ["edge.listeners[0].groups bad_value"]),
        (edge("modern", "sessions: { lifetime: '12h' }"), []),
        (edge("modern", "sessions: { lifetime: '13h' }"), ["edge.listeners[0].sessions.lifetime out_of_range"]),
        (edge("pci-dss", "sessions: { lifetime: '1h' }"), []),
        (edge("pci-dss", "sessions: { lifetime: '2h' }"), ["edge.listeners[0].sessions.lifetime conflict"]),
        (
            edge(
                "hipaa", "clientCertificates: { mode: 'required', ca: 'ca' }, sessions: { lifetime: '1m' }"),
            ["edge.listeners[0].sessions.lifetime conflict"]
        ),
        (
            "tls: { profile: 'pci-dss' },\nedge: { listeners: [{ address: '0.0.0.0:80', tls: 'disabled', force: true }], "
                + "\(routes) }", ["edge.listeners[0].tls conflict"]
        ),
    ])
    func shortfalls(members: String, problems: [String]) {
        let found = ConfigurationFixture.problems(ConfigurationFixture.text(members))
        #expect(found.map { $0.split(separator: " ").dropFirst().joined(separator: " ") } == problems, "\(members)")
    }

    @Test(arguments: [
        ("", TLSProfile.modern, Configuration.TLSVersion.tls13),
        ("tls: { minimumVersion: '1.2' }", .intermediate, .tls12),
        ("tls: { profile: 'intermediate' }", .intermediate, .tls12),
        ("tls: { profile: 'intermediate', minimumVersion: '1.3' }", .intermediate, .tls13),
        ("tls: { profile: 'fips' }", .fips, .tls12),
    ])
    func whatIsNotGivenComesFromTheProfile(
        members: String, profile: TLSProfile, version: Configuration.TLSVersion
    ) throws {
        let configuration = try ConfigurationFixture.configuration(members)
        #expect(configuration.tls.profile == profile)
        #expect(configuration.tls.minimumVersion == version)
    }

    @Test func listenersAndTargetsFollow() throws {
        let client = "clientCertificates: { mode: 'required', ca: 'ca' }"
        for (name, own, version, target) in [
            ("modern", TLSProfile.intermediate, Configuration.TLSVersion.tls12, TLSProfile.intermediate),
            ("hipaa", .hipaa, .tls13, .hipaa), ("pci-dss", .pciDSS, .tls12, .pciDSS),
        ] {
            let configuration = try ConfigurationFixture.configuration(
                Self.edge(name, client) + ",\nservices: [{ name: 'a', target: 'https://a.example:443' }]")
            #expect(configuration.edge.listeners[0].profile == own)
            #expect(configuration.edge.listeners[0].minimumVersion == version)
            #expect(configuration.services[0].tls.profile == target)
        }
        #expect(try ConfigurationFixture.configuration("tls: { profile: 'fips' }").tls.acceleration == .off)
    }
}
