#if MESH_FAULTS
    import PKI
    import Testing

    /// Nodes with one check left out: the tester must fail and name that check, and nothing else.
    @Suite(.serialized)
    struct FaultTests {
        struct Fault: Sendable, CustomTestStringConvertible {
            let check: String
            /// What the tester must name.
            let failing: Set<String>
            var testDescription: String { check }
        }

        private static let faults = [
            Fault(check: "client_certificate", failing: ["no_client_certificate"]),
            // Without chain verification nobody's word is needed, and what comes along is not looked at.
            Fault(check: "chain", failing: ["foreign_ca", "foreign_ca_chain", "self_signed", "forged_chain"]),
            Fault(check: "presented_chain", failing: ["forged_chain"]),
            Fault(check: "validity", failing: ["expired", "not_yet_valid"]),
            Fault(check: "usage", failing: ["wrong_usage", "no_usage"]),
            Fault(check: "leaf_is_not_ca", failing: ["ca_as_leaf"]),
            Fault(check: "serial", failing: ["negative_serial"]),
            Fault(check: "single_spiffe", failing: ["two_spiffe_uris"]),
            Fault(check: "spiffe_syntax", failing: ["malformed_spiffe_id"]),
            Fault(check: "trust_domain", failing: ["foreign_trust_domain"]),
            Fault(check: "name_agreement", failing: ["cn_contradicts_uri"]),
            Fault(check: "unambiguous_names", failing: ["ambiguous_name"]),
            Fault(check: "strength", failing: ["weak_key"]),
        ]

        @Test(arguments: faults)
        func isFound(_ fault: Fault) throws {
            let node = try TestNode(skipping: fault.check)
            #expect(node.log.contains("planted_fault"))
            let run = try TesterRun.json(node.url, node: "Directory", caKey: true)
            #expect(run.code == 1)
            #expect(run.ids("failed") == fault.failing, "\(run.output)")
        }

        /// A new check must come with a certificate that shows it.
        @Test func everyCheckIsCovered() {
            // A check of the dialling side: the tester dials and so cannot show it.
            let dialling: Set = ["expected_name"]
            #expect(Set(StrictChecks.named.map(\.name)) == Set(Self.faults.map(\.check)).union(dialling))
        }
    }
#endif
