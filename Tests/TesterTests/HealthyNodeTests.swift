import Foundation
import JSON
import PKI
import Testing

/// A node with every check in force.
@Suite(.serialized)
struct HealthyNodeTests {
    private static let node = Result { try TestNode() }
    private static let worker = Result { try TestNode("Worker", directory: node.get()) }

    @Test func everythingIsAsItMustBe() throws {
        let run = try TesterRun.json(Self.node.get().url, node: "Directory", caKey: true)
        #expect(run.code == 0, "\(run.output)")
        #expect(run.ids("failed").isEmpty, "\(run.output)")
        // TLS 1.2 is off by default: its suites are all that is not looked at.
        #expect(run.ids("skipped") == ["tls12_suites", "tls12_weak_suites_refused"])
        #expect(run.summary?["passed"]?.bool == true)
        #expect(run.target == (try Self.node.get().url))
        #expect(run.ids.count == Set(run.ids).count)
    }

    @Test func refusalsNameTheAlert() throws {
        let run = try TesterRun.json(Self.node.get().url, node: "Directory", caKey: true)
        let expected = [
            "no_client_certificate": "certificate_required", "foreign_ca": "decrypt_error",
            "foreign_ca_chain": "decrypt_error", "self_signed": "unknown_ca", "expired": "certificate_expired",
            "not_yet_valid": "certificate_expired",
            "wrong_usage": "unsupported_certificate", "no_usage": "unsupported_certificate",
            "two_spiffe_uris": "bad_certificate", "negative_serial": "bad_certificate",
            "tls10_refused": "protocol_version", "tls11_refused": "protocol_version",
        ]
        for (id, alert) in expected { #expect(run.answer(id) == "alert \(alert)", "\(id)") }
    }

    /// An alert says little; the node's own log shows that each certificate was refused for its fault and no other.
    @Test func eachIsRefusedForItsOwnFault() throws {
        let node = try TestNode()
        let run = try TesterRun.json(node.url, node: "Directory", caKey: true)
        #expect(run.code == 0)
        let reasons = [
            "missing_client_certificate", "bad_signature", "self_signed", "expired", "not_yet_valid", "wrong_usage",
            "multiple_spiffe_uris", "bad_spiffe_id", "cn_contradicts_uri", "ambiguous_name", "untrusted_domain",
            "ca_as_leaf", "bad_serial", "weak_key",
        ]
        #expect(node.logs(reasons.map { "\"reason\":\"\($0)\"" }), "\(node.log)")
    }

    /// The CA is an intermediate, which is sent along with every certificate.
    @Test func intermediateCA() throws {
        let home = try TestAuthority.shared.get()
        let now = Int64(Date().timeIntervalSince1970)
        let intermediate = try home.authority.createIntermediate(name: "test intermediate", now: now)
        try intermediate.write(
            certificateFile: home.path("intermediate.crt"), keyFile: home.path("intermediate.key"), passphrase: nil)
        try intermediate.issueCredentials(IssueRequest(node: "Tester"), now: now).write(
            certificateFile: home.path("Chained.crt"), keyFile: home.path("Chained.key"))
        let node = try TestNode()
        let run = try TesterRun.json(
            node.url, as: "Chained", node: "Directory", ["--ca-key", "intermediate.key", "--expect", "allowed"])
        #expect(run.code == 0, "\(run.output)")
        #expect(run.verdict("expired") == "ok")
        // The intermediate that was sent is ours; the forged signature under its name is what is found.
        #expect(run.answer("foreign_ca") == "alert decrypt_error")
    }

    @Test func tellsWhomTheNodeTakesUsFor() throws {
        let run = try TesterRun.json(Self.node.get().url, node: "Directory")
        #expect(run.detail("mapped_identity").contains("node:Tester; services: tester; groups: testers"))
        #expect(run.detail("mapped_identity").contains("mesh-node"))
        #expect(run.verdict("directory_lookup") == "ok")
        #expect(run.detail("directory_lookup").contains("db"))
        #expect(run.detail("link_hello").contains("conduit-mesh/"))
    }

    @Test func withoutKeysTheRestIsSkippedWithItsReason() throws {
        let run = try TesterRun.json(Self.node.get().url, as: nil)
        #expect(run.code == 0)
        for id in ["no_client_certificate", "foreign_ca", "foreign_ca_chain", "self_signed"] {
            #expect(run.verdict(id) == "ok", "\(id)")
        }
        #expect(run.detail("expired").contains("only the CA"))
        #expect(run.check("expired")?["hint"]?.string?.contains("--ca-key") == true)
        #expect(run.verdict("good_certificate") == "skipped")
        // Its certificate names no host, and no node was named.
        #expect(run.verdict("server_name") == "info")
    }

    @Test func withTheCAKeyAloneBadCertificatesAreTried() throws {
        let run = try TesterRun.json(Self.node.get().url, as: nil, caKey: true)
        #expect(run.code == 0, "\(run.output)")
        #expect(run.verdict("expired") == "ok")
        #expect(run.verdict("forged_chain") == "skipped")
    }

    @Test func anotherNodeThanMeantIsFound() throws {
        let run = try TesterRun.json(Self.node.get().url, node: "ACL")
        #expect(run.code == 1)
        #expect(run.ids("failed") == ["server_name"])
        #expect(run.answer("server_name") == "wrong_name")
    }

    @Test func policyDecidesAboutTheLink() throws {
        let url = try Self.node.get().url
        let either = try TesterRun.json(url, as: "Stranger", node: "Directory")
        #expect(either.code == 0, "\(either.output)")
        #expect(either.verdict("link_hello") == "info")
        #expect(
            either.detail("link_hello").contains("link_denied: no_rule")
                || either.detail("link_hello").contains("unmapped"))
        let allowed = try TesterRun.json(url, as: "Stranger", node: "Directory", ["--expect", "allowed"])
        #expect(allowed.code == 1)
        #expect(allowed.ids("failed") == ["link_hello"])
        let denied = try TesterRun.json(url, as: "Stranger", node: "Directory", ["--expect", "denied"])
        #expect(denied.code == 0)
        #expect(denied.verdict("link_hello") == "ok")
        let wrong = try TesterRun.json(url, as: "Tester", node: "Directory", ["--expect", "denied"])
        #expect(wrong.ids("failed") == ["link_hello"])
    }

    @Test func aLinkedNodesCertificateIsADuplicate() throws {
        let worker = try Self.worker.get()
        let run = try TesterRun.json(Self.node.get().url, as: "Worker", node: "Directory")
        #expect(run.code == 0, "\(run.output)")
        #expect(run.verdict("link_hello") == "ok")
        #expect(run.answer("link_hello")?.contains("duplicate_identity") == true)
        #expect(run.check("link_hello")?["hint"]?.string?.contains("mesh ca issue") == true)
        #expect(run.verdict("link_round_trip") == "skipped")
        // The agent that was there first keeps its link.
        #expect(!worker.log.contains("link_lost"))
    }

    @Test func anOrdinaryNodePasses() throws {
        let run = try TesterRun.json(Self.worker.get().url, node: "Worker", caKey: true)
        #expect(run.code == 0, "\(run.output)")
        #expect(run.verdict("directory_lookup") == "info")
        #expect(run.detail("directory_lookup").contains("serves no directory"))
        #expect(run.detail("mapped_identity").contains("no_rule"))
    }

    @Test func theNodesOwnCertificateIsRefused() throws {
        let run = try TesterRun.json(Self.node.get().url, as: "Directory", node: "Directory")
        #expect(run.ids("failed") == ["link_hello"])
        #expect(run.answer("link_hello")?.contains("wrong_node") == true)
    }

    @Test func tls12ByConfiguration() throws {
        let node = try TestNode(tls: "{ minimumVersion: \"1.2\" }")
        let run = try TesterRun.json(node.url, node: "Directory", caKey: true)
        #expect(run.code == 0, "\(run.output)")
        #expect(run.detail("tls12").contains("offered"))
        #expect(run.detail("tls12_suites").contains("ECDHE-ECDSA-AES128-GCM-SHA256"))
        #expect(run.verdict("tls12_weak_suites_refused") == "ok")
    }
}
