import TLS
import Testing

/// What profiles say of connections that are no links.
@Suite struct TermsTests {
    @Test(arguments: TLSProfile.allCases)
    func enrolmentIsAChoiceWithinTheProfile(_ profile: TLSProfile) throws {
        let all = try profile.enrolmentTerms()
        #expect(all.minimumVersion == .tls13 && all.parameters == profile.parameters)
        let chosen = try profile.enrolmentTerms(suites: ["TLS_AES_256_GCM_SHA384"], groups: ["P-384"])
        #expect(chosen.parameters.suites13 == ["TLS_AES_256_GCM_SHA384"] && chosen.parameters.groups == ["P-384"])
        // A choice for TLS 1.2 alone leaves TLS 1.3 as it is.
        let old = try profile.enrolmentTerms(suites: ["ECDHE-RSA-AES128-GCM-SHA256"])
        #expect(old.parameters.suites13 == profile.parameters.suites13)
        #expect(throws: TLSError.self) { try profile.enrolmentTerms(groups: ["P-521"]) }
        #expect(throws: TLSError.self) { try profile.enrolmentTerms(suites: ["TLS_AES_128_CCM_SHA256"]) }
    }

    @Test func othersAreHeldToRegulatedProfilesOnly() throws {
        let expected: [TLSProfile: TLSProfile] = [
            .modern: .intermediate, .intermediate: .intermediate, .hipaa: .hipaa, .pciDSS: .pciDSS, .fips: .fips,
        ]
        for profile in TLSProfile.allCases { #expect(profile.towardsOthers == expected[profile]) }
        var configuration = TLSContext.Configuration(role: .client)
        configuration.terms = TLSProfile.pciDSS.terms
        #expect(configuration.minimumVersion == .tls12 && configuration.terms == TLSProfile.pciDSS.terms)
    }
}
