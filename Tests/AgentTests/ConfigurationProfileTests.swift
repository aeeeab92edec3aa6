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
        // Everything that the profile of the agent has against it, in one go.
        (
            edge("hipaa", "profile: 'modern', sessions: { lifetime: '1m' }, groups: ['X25519']"),
            [
                "edge.listeners[0].profile conflict", "edge.listeners[0].sessions.lifetime conflict",
                "edge.listeners[0].groups bad_value", "missing_key",
            ]
        ),
        (edge("modern", "profile: 'pci-dss'"), []),
        (edge("modern", "profile: 'modern', minimumVersion: '1.2'"), ["edge.listeners[0].minimumVersion conflict"]),
        (edge("modern", "groups: ['P-521']"), ["edge.listeners[0].groups bad_value"]),
        (edge("modern", "sessions: { lifetime: '12h' }"), []),
        (edge("modern", "sessions: { lifetime: '13h' }"), ["edge.listeners[0].sessions.lifetime out_of_range"]),
        // Both bounds in one go: what is within the first may be beyond the profile's.
        (
            edge("pci-dss", "sessions: { lifetime: '13h' }"),
            [
                "edge.listeners[0].sessions.lifetime out_of_range", "edge.listeners[0].sessions.lifetime conflict",
            ]
        ),
        (
            "tls: { profile: 'modern', minimumVersion: '1.2', cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] }",
            ["tls.minimumVersion conflict", "tls.cipherSuites bad_value"]
        ),
        (edge("pci-dss", "sessions: { lifetime: '1h' }"), []),
        (edge("pci-dss", "sessions: { lifetime: '2h' }"), ["edge.listeners[0].sessions.lifetime conflict"]),
        (
            edge(
                "hipaa", "clientCertificates: { mode: 'required', ca: 'ca' }, sessions: { lifetime: '1m' }"),
            ["edge.listeners[0].sessions.lifetime conflict"]
        ),
        (
            "tls: { profile: 'pci-dss' },\nservices: [{ name: 'a', target: '192.0.2.1:80', allowNonLoopback: true }]",
            ["services[0].target conflict"]
        ),
        (
            "tls: { profile: 'hipaa' },\nupstreams: [{ listen: '0.0.0.0:80', service: 'a', allowNonLoopback: true }]",
            ["upstreams[0].listen conflict"]
        ),
        (
            "tls: { profile: 'pci-dss' },\nservices: [{ name: 'a', target: 'https://192.0.2.1:443' }, "
                + "{ name: 'b', target: '127.0.0.1:80' }, { name: 'c', target: 'unix:/run/c' }],\n"
                + "upstreams: [{ listen: '127.0.0.1:81', service: 'a' }, { listen: 'unix:/run/a', service: 'a' }]", []
        ),
        ("services: [{ name: 'a', target: '192.0.2.1:80', allowNonLoopback: true }]", []),
        ("tls: { profile: 'hipaa' },\naudit: { enabled: false }", ["audit.enabled conflict"]),
        ("tls: { profile: 'pci-dss' },\naudit: { enabled: false }", []),
        (
            "services: [{ name: 'a', target: 'https://a.example', tls: { revocation: { mode: 'hard' } } }]",
            ["services[0].tls.revocation.mode missing_key"]
        ),
        (
            "services: [{ name: 'a', target: '127.0.0.1:80', tls: { staple: 'hard' } }]",
            ["services[0].tls.staple conflict"]
        ),
        (
            "services: [{ name: 'a', target: 'https://a.example', tls: { pins: ['spki-sha256:x'] } }]",
            ["services[0].tls.pins[0] bad_value"]
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

    /// All names that are wrong, and only those that would help.
    @Test func whatIsPermittedIsSaid() throws {
        let error = #expect(throws: TLSError.self) {
            try TLSProfile.modern.parameters.choosing(
                suites: ["TLS_AES_128_CCM_SHA256", "AES128-SHA", "TLS_AES_128_GCM_SHA256"], groups: [], minimum: .tls13)
        }
        #expect(error?.message == "TLS_AES_128_CCM_SHA256, AES128-SHA are not permitted by the profile")
        #expect(error?.hint.contains("TLS_AES_256_GCM_SHA384") == true && error?.hint.contains("ECDHE") == false)
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
            #expect(configuration.edge.authentication.fetchProfile == target)
            #expect(configuration.ocsp.fetchProfile == target)
            #expect(configuration.audit.fetchProfile == target)
        }
        #expect(try ConfigurationFixture.configuration("tls: { profile: 'fips' }").tls.acceleration == .off)
    }
}
