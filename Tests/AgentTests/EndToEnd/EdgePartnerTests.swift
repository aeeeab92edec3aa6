import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Client certificates of a CA that is not the mesh's: it may vouch for its own, and for nobody of ours.
    @Suite struct EdgePartner {
        /// A partner's CA as most are: without a SPIFFE ID that would bind it to a trust domain.
        private struct Partner {
            let root: CertificateBuilder.Signer
            let file: String

            init(_ mesh: TestMesh) throws {
                let key = try PrivateKey.generate(.p256)
                let now = Int64(time(nil))
                var builder = CertificateBuilder(
                    subject: [.commonName("Partner CA")], publicKey: key.publicKey, notBefore: now - 60,
                    notAfter: now + 86_400)
                builder.basicConstraints = BasicConstraints(isCA: true)
                builder.keyUsage = .keyCertSign
                builder.extendedKeyUsage = nil
                let certificate = try builder.build(signedBy: .own(key))
                root = .issuer(certificate, key)
                file = mesh.directory + "/partner-ca.crt"
                try certificate.pem.write(toFile: file, atomically: true, encoding: .utf8)
            }

            func issue(_ name: String, uri: String?) throws -> Credentials {
                let key = try PrivateKey.generate(.p256)
                let now = Int64(time(nil))
                var builder = CertificateBuilder(
                    subject: [.commonName(name)], publicKey: key.publicKey, notBefore: now - 60, notAfter: now + 3600)
                builder.alternativeNames = uri.map { [.uri($0)] } ?? []
                builder.extendedKeyUsage = [.clientAuth]
                return try Credentials(chain: [try builder.build(signedBy: root)], key: key)
            }
        }

        /// An edge for clients with certificates of the mesh's CA and of a partner's, which may do what `laptop` and
        /// `partner` may.
        private static func edge(_ mesh: TestMesh, _ partner: Partner, more: JSONObject = [:]) throws -> EdgeMesh {
            mesh.policy.identities += [
                ["match": ["spiffe": "spiffe://partner.test/app/shop"], "node": "partner"],
                ["match": ["cn": "by-name"], "node": "partner"],
            ]
            mesh.policy.rules.append(
                ["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop", "node:partner"]])
            mesh.policy.connect("node:laptop", to: "web")
            mesh.policy.connect("node:partner", to: "web")
            var certificates: JSONObject = [
                "mode": "optional", "ca": [.string(mesh.authorityFile), .string(partner.file)],
            ]
            for member in more { certificates[member.key] = member.value }
            return try EdgeMesh(
                mesh, listener: ["clientCertificates": .object(certificates)], route: ["require": "certificate"])
        }

        private static func ask(_ edge: EdgeMesh, _ credentials: Credentials) throws -> Answer {
            let end = try edge.connect(credentials: credentials)
            defer { end.close() }
            try end.sendRequest("GET", "/head")
            return try end.answer()
        }

        @Test func aPartnersCADoesNotVouchForOurNodes() throws {
            try withMesh { mesh in
                let partner = try Partner(mesh)
                let edge = try Self.edge(mesh, partner)
                let laptop = try mesh.authority.issueCredentials(IssueRequest(node: "laptop"), now: Int64(time(nil)))
                let own = try Self.ask(edge, laptop)
                try demandEqual(WireReader.field("Conduit-Caller", own.text), "node:laptop", own.text)
                // The same name under the other root does not get through the handshake.
                let forged = try partner.issue("laptop", uri: "spiffe://\(TestMesh.trustDomain)/node/laptop")
                try demand(throws: { _ = try Self.ask(edge, forged) }, "a node of ours by a partner's CA")
                let record = try Deadline.wait("counted") {
                    try edge.edge.metric("mesh_edge_handshake_failures_total{reason=\"untrusted_domain\"}")
                }
                try demandEqual(record, 1)
                // Its own names count as far as the policy maps them.
                let good = try Self.ask(edge, try partner.issue("shop", uri: "spiffe://partner.test/app/shop"))
                try demandEqual(WireReader.field("Conduit-Caller", good.text), "node:partner", good.text)
            }
        }

        /// A policy without trust domains takes every node's URI that gets as far as it: here only ours does.
        @Test func aNodeOfAnotherTrustDomainIsNoneOfOurs() throws {
            try withMesh { mesh in
                let partner = try Partner(mesh)
                let edge = try Self.edge(mesh, partner)
                let answer = try Self.ask(edge, try partner.issue("laptop", uri: "spiffe://partner.test/node/laptop"))
                try demandEqual(answer.status, 403, answer.text)
                try demandEqual(answer.reason, "unknown_certificate", answer.text)
            }
        }

        @Test func commonNamesOfAPartnerCountWhereTheConfigurationSaysSo() throws {
            try withMesh { mesh in
                let partner = try Partner(mesh)
                let edge = try Self.edge(mesh, partner)
                let client = try partner.issue("by-name", uri: nil)
                let refused = try Self.ask(edge, client)
                try demandEqual(refused.reason, "unknown_certificate", refused.text)
                let record = try edge.edge.waitFor("edge_authentication_failed")
                try demand(record["detail"]?.contains("clientCertificates.commonNames") ?? false, "\(record)")
                var listener = try edge.listenerSettings()
                listener["clientCertificates"] = [
                    "mode": "optional", "ca": [.string(mesh.authorityFile), .string(partner.file)], "commonNames": true,
                ]
                edge.edge.set("edge.listeners", .array([.object(listener)]))
                try demandEqual(try edge.edge.reload().status, 200, "reload")
                let answer = try Self.ask(edge, client)
                try demandEqual(WireReader.field("Conduit-Caller", answer.text), "node:partner", answer.text)
            }
        }
    }
}
