import Agent
import Documents
import Enrolment
import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// What a stolen key still gets from the CA once its node or the key is revoked.
    @Suite struct StolenIdentity {
        private struct Request {
            let key: PrivateKey
            let der: [UInt8]

            init(_ node: String) throws {
                key = try PrivateKey.generate()
                der = try CertificateSigningRequest.make(node: node, key: key).der
            }
        }

        private func token(_ ca: TestNode, for node: String) throws -> JoinToken {
            let file = "\(ca.mesh.directory)/\(UUID().uuidString)"
            try ca.createToken(for: node, in: file, ["--ttl", "24h"])
            return try JoinToken(parsing: Array(Data(contentsOf: URL(fileURLWithPath: file))))
        }

        private func start(_ mesh: TestMesh) throws -> (ca: TestNode, operators: TestOperator) {
            let operators = try TestOperator(mesh)
            let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
            try mesh.start()
            try ca.take(operators.list)
            return (ca, operators)
        }

        /// Key and token together may ask again as long as the token lasts, and no longer than their node is trusted: by the name in its
        /// certificate, or by the one that policy gives it.
        @Test(arguments: ["a", "mapped"]) func tokensEndWithTheirNode(by name: String) throws {
            try withMesh { mesh in
                if name != "a" {
                    mesh.policy.identities.insert(["match": ["node": "a"], "node": .string(name)], at: 0)
                }
                let (ca, operators) = try start(mesh)
                let (used, unused) = (try token(ca, for: "a"), try token(ca, for: "a"))
                let request = try Request("a")
                for _ in 0..<2 { try demandEqual(try joinReason(used, key: request.key, request: request.der), nil) }
                // Certificates of now are good again: only the tokens tell that they are older than the revocation.
                let revoked = Int64(time(nil)) + 1
                let entry = RevocationEntry(
                    .node(name, validBefore: revoked - 86_400), revoked: revoked, reason: "stolen in a test")
                let list = String(decoding: RevocationSet.payload([entry]), as: UTF8.self)
                try ca.take(try operators.sign(.revocations, 1, list))
                for token in [used, unused] {
                    try demandEqual(try joinReason(token, key: request.key, request: request.der), "revoked")
                }
                try Deadline.until("the second is over") { Int64(time(nil)) > revoked }
                try demandEqual(
                    try joinReason(try token(ca, for: "a"), key: request.key, request: request.der), nil,
                    "the operator trusts it again")
            }
        }

        /// Who goes on asking with a revoked certificate is not heard for a while; the node itself is.
        @Test func aThiefStarvesNobody() throws {
            try withMesh { mesh in
                let (ca, operators) = try start(mesh)
                let terms = try TLSProfile.modern.enrolmentTerms()
                func join() throws -> Credentials {
                    let (token, key) = (try token(ca, for: "a"), try PrivateKey.generate())
                    return try waitFor { try await EnrolmentClient.join(token, key: key, under: terms).credentials }
                }
                func renew(_ present: Credentials) throws -> String? {
                    let (trust, key) = (try TrustBundle(roots: [mesh.authority.root]), try PrivateKey.generate())
                    let address = "\(ca.host):7443"
                    do {
                        return try waitFor {
                            _ = try await EnrolmentClient.renew(
                                present, node: "a", trustDomain: TestMesh.trustDomain, address: address, trust: trust,
                                key: key, under: terms)
                            return nil
                        }
                    } catch let error as EnrolmentError {
                        return error.code
                    }
                }
                let stolen = try join()
                try ca.take(try operators.revocations(1, [.key(stolen.leaf.publicKey.spkiSHA256)]))
                let own = try join()
                try demandEqual(try renew(stolen), "revoked")
                let others = try (0..<16).map { _ in try renew(stolen) }
                try demandEqual(others.last, "rate_limited")
                try demandEqual(try renew(own), nil)
            }
        }
    }
}
