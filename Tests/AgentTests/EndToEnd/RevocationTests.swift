import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// CRLs that `openssl ca` makes with the mesh's CA, at running agents.
    @Suite struct RevokedNodes {
        /// What a CRL withdraws is not renewed: the next certificate would not be on it.
        @Test func aListedCertificateIsNotRenewed() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let ca = try mesh.node("Directory", directory: true) {
                    try $0.serveCA(ttl: "\(Deadline.lifetime(12))s")
                    $0.set("trust.revocation.files", [.string(lists.file)])
                }
                let node = try mesh.node("Node") { $0.joinsByToken() }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try lists.revoke(node.identityDirectory + "/node.crt")
                try lists.publish()
                try node.waitFor("renewal_failed") { $0["reason"] == "not_authenticated" }
                try demandEqual(try node.metric("mesh_identity_renewals_total{result=\"renewed\"}") ?? 0, 0)
            }
        }

        /// The link of a revoked node ends when the CRL changes, and it gets no other; the others stay.
        @Test func revokedWhileLinked() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(lists.file)])
                    node.set("trust.revocation.mode", "hard")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try mesh.start()
                try directory.waitLinked(to: alpha)
                try directory.waitLinked(to: beta)
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish()
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                try directory.waitFor("handshake_failed") { $0["reason"] == "revoked" }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try directory.isLinked(to: alpha), true)
                try demand(
                    try directory.metric("mesh_certificates_validated_total{result=\"revoked\"}") ?? 0 >= 1, "counted")
                let text = try directory.exposition()
                let line = text.split(separator: "\n").first { $0.hasPrefix("mesh_crl_next_update_timestamp_seconds{") }
                let next = Double(line?.split(separator: " ").last ?? "") ?? 0
                try demand(next > Double(time(nil)), "when the next CRL is due is shown: \(next)")
                try demand(text.contains("mesh_crl_entries{issuer=\"\(mesh.authority.root.subject)\"} 1\n"), text)
            }
        }

        /// Lists from a URL: in force without a reload, in the place of the one before, kept for a start without the server; one of
        /// somebody else's and an older one played again change nothing.
        @Test func fetchedLists() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                try lists.publish(["-crlsec", "\(Deadline.lifetime(8))"])
                let old = try lists.copy()
                let server = try CRLServer(mesh, lists.file)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string(server.url)])
                    node.set("trust.revocation.mode", "hard")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try mesh.start()
                try directory.waitFor("crl_fetched")
                try directory.waitLinked(to: alpha)
                try directory.waitLinked(to: beta)
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish(["-crlsec", "\(Deadline.lifetime(12))"])
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try directory.metric("mesh_crl_fetches_total{result=\"fetched\"}"), 2)

                server.file.value = old
                try Deadline.until("the older one was fetched") {
                    try directory.metric("mesh_crl_fetches_total{result=\"older\"}") ?? 0 >= 1
                }
                // Newer than what is there, and without Beta: a delta, and a list of a part.
                for section in ["delta", "nodes"] {
                    let partial = try CRLMaker(mesh, name: section)
                    try partial.publish(["-crlexts", section])
                    let before = directory.count("crl_refused") { $0["reason"] == "partial_crl" }
                    server.file.value = partial.file
                    try Deadline.until("the \(section) list was refused") {
                        directory.count("crl_refused") { $0["reason"] == "partial_crl" } > before
                    }
                }
                try demand(try directory.metric("mesh_crl_fetches_total{result=\"partial_crl\"}") ?? 0 >= 2, "counted")
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                server.file.value = try CRLMaker(mesh, name: "forged", of: other).file
                try directory.waitFor("crl_refused") { $0["reason"] == "bad_signature" }
                try demandEqual(try directory.isLinked(to: beta), false)
            }
        }

        /// What was fetched counts at once, whatever state the identity's files are in: they are not looked at for it.
        @Test func aFetchedListDoesNotWaitForTheIdentity() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                try lists.publish(["-crlsec", "\(Deadline.lifetime(8))"])
                let server = try CRLServer(mesh, lists.file)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string(server.url)])
                }
                let beta = try mesh.node("Beta")
                try mesh.start()
                try directory.waitFor("crl_fetched")
                try directory.waitLinked(to: beta)
                let certificate = directory.directory + "/node.crt"
                let good = try String(contentsOfFile: certificate, encoding: .utf8)
                try "no certificate\n".write(toFile: certificate, atomically: true, encoding: .utf8)
                try directory.waitFor("identity_refused")
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish()
                try directory.waitFor("identity_revoked") {
                    $0["node"] == "Beta" && $0["reason"] == "revoked"
                }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try directory.metric("mesh_crl_unapplied{source=\"urls\"}"), 0)
                try good.write(toFile: certificate, atomically: true, encoding: .utf8)
                try demandEqual(try directory.reload().status, 200)
                try demandEqual(try directory.isLinked(to: beta), false)
            }
        }

        /// The same for a list in a file: a reload that is refused for something else does not keep a revocation back.
        @Test func aChangedListDoesNotWaitForOtherFiles() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(lists.file)])
                }
                let beta = try mesh.node("Beta")
                try mesh.start()
                try directory.waitLinked(to: beta)
                let certificate = directory.directory + "/node.crt"
                try "no certificate\n".write(toFile: certificate, atomically: true, encoding: .utf8)
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish()
                try directory.waitFor("reload_failed")
                try directory.waitFor("crl_applied")
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                // One that cannot be read leaves the last good one in force.
                try "no list\n".write(toFile: lists.file, atomically: true, encoding: .utf8)
                try directory.waitFor("crl_unusable")
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
            }
        }

        /// A list that was fetched before serves a start without the server, also under `hard`.
        @Test func fetchedListsAreKept() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let server = try CRLServer(mesh, lists.file)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string(server.url)])
                    node.set("trust.revocation.mode", "hard")
                }
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                try directory.waitFor("crl_fetched")
                server.file.value = nil
                try directory.stop()
                try directory.start()
                try directory.waitReady()
                try directory.waitLinked(to: alpha)
                // Nothing was fetched since: what counts is what was kept.
                try demandEqual(directory.count("crl_fetched"), 0)
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 0)
            }
        }

        /// Under `hard` without a list everybody is refused: the check, the log and a metric say so before and while it is so.
        @Test func hardWithoutAList() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let server = try CRLServer(mesh, nil)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string(server.url)])
                    node.set("trust.revocation.mode", "hard")
                }
                let alpha = try mesh.node("Alpha")
                try directory.writeFiles()
                let check = [TestMesh.binaries + "/mesh-agent", "--config", directory.configurationFile, "--check"]
                let (status, output) = try runProgram(check)
                try demandEqual(status, 0, output)
                try demand(output.contains("warning: trust.revocation.mode is hard, and there is no CRL"), output)
                for node in mesh.nodes { try node.start() }
                try directory.waitFor("crl_fetch_failed") { $0["reason"] == "unreachable" }
                try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 1)
                server.file.value = lists.file
                try directory.waitFor("crl_fetched")
                try directory.waitLinked(to: alpha)
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 0)
                let fresh = "mesh_crl_fresh{issuer=\"\(mesh.authority.root.subject)\"} 1\n"
                try demand(try directory.exposition().contains(fresh), fresh)
                let (_, after) = try runProgram(check)
                try demand(!after.contains("there is no CRL") && after.contains("CRL: "), after)
            }
        }

        /// A list that does not concern an issuer says nothing of it: `soft` lets it pass, `hard` does not.
        @Test func withoutAListOfTheIssuer() throws {
            try withMesh { mesh in
                let other = try CertificateAuthority.createRoot(
                    name: "Other", trustDomain: "other.test", now: Int64(time(nil)))
                let lists = try CRLMaker(mesh, name: "other", of: other)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(lists.file)])
                }
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                try directory.waitLinked(to: alpha)
                directory.set("trust.revocation.mode", "hard")
                try demandEqual(try directory.reload().status, 200)
                try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
            }
        }
    }
}
