import Documents
import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// A document that splits a mesh is no end: a newer one comes through, and nothing else does.
    @Suite struct DocumentSplits {
        /// A directory and a node that have the operators and version 1 of the policy.
        private func pair(_ mesh: TestMesh, _ operators: TestOperator) throws -> (directory: TestNode, node: TestNode) {
            let directory = try mesh.node("Directory", directory: true) { $0.set("links.resumeFor", "300s") }
            let node = try mesh.node("Node")
            try mesh.start()
            try operators.write()
            try directory.take(operators.list)
            try directory.take(try operators.sign(.policy, 1, mesh.policy.text))
            try node.waitDocument(.policy, version: 1)
            return (directory, node)
        }

        /// Documents that nobody has, newer than all.
        private static let claimed = DocumentVersions([.policy: DocumentStamp(version: 1 << 40, digest: 7)])

        /// A directory where a certificate of the node `Ghost` is revoked, and that certificate.
        private func revokedGhost(_ mesh: TestMesh) throws -> (directory: TestNode, old: Credentials) {
            let operators = try TestOperator(mesh)
            let (directory, _) = try pair(mesh, operators)
            let old = try mesh.authority.issueCredentials(IssueRequest(node: "Ghost"), now: Int64(time(nil)))
            try directory.take(try operators.revocations(1, [.key(old.leaf.publicKey.spkiSHA256)]))
            return (directory, old)
        }

        /// The directory denies everybody; the policy that mends it comes from another node.
        @Test func aPolicyThatLocksOut() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, node) = try pair(mesh, operators)
                let lock = mesh.directory + "/lock.json"
                try "{ version: 1, rules: [] }".write(toFile: lock, atomically: true, encoding: .utf8)
                let key = ["--key", operators.keyFile]
                let check = try directory.mesh(["policy", "check", lock])
                try demandEqual(check.status, 0, check.output)
                try demand(check.output.contains("no node may link"), check.output)
                let refused = try directory.mesh(["policy", "apply", lock, "--json"] + key)
                try demandEqual(refused.status, 78, refused.output)
                try demandEqual(refused.reason, "nobody_links", refused.output)
                try demandEqual(try directory.documentVersion(.policy), 1)
                // By force at the directory alone: it ends its links before it can tell anybody.
                node.kill()
                try directory.take(try operators.sign(.policy, 2, "{ version: 1, rules: [] }"))
                node.expectEnd()
                try node.start()
                try node.waitFor("dial_failed") { $0["reason"] == "link_denied" }
                // Whom the policy does not know can still look which version is in force, and apply a better one.
                let good = mesh.directory + "/good.json"
                try mesh.policy.text.write(toFile: good, atomically: true, encoding: .utf8)
                let mended = try node.mesh(["policy", "apply", good, "--version", "3"] + key)
                try demand(mended.output.contains("policy version 3 is in force here"), mended.output)
                try directory.waitDocument(.policy, version: 3)
                try node.waitLinked(to: directory)
                try demand(directory.count("link_for_documents") >= 1, "no record of the link for documents")
            }
        }

        /// From the inside, too: the locked agent's own control socket takes the next policy.
        @Test func aPolicyThatKnowsNobody() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, node) = try pair(mesh, operators)
                try directory.take(try operators.sign(.policy, 2, "{ version: 1, rules: [] }"))
                try demandEqual(try directory.mesh(["status", "--json"]).reason, "unmapped_identity")
                let told = try directory.mesh(["status"]).output
                try demand(told.contains("save it: it counts within a second"), told)
                try demand(told.contains("where a policy document is in force: mesh policy apply FILE"), told)
                try demand(!told.contains("SIGHUP"), told)
                let good = mesh.directory + "/good.json"
                try mesh.policy.text.write(toFile: good, atomically: true, encoding: .utf8)
                let mended = try directory.mesh(["policy", "apply", good, "--key", operators.keyFile])
                try demand(mended.output.contains("policy version 3 is in force here"), mended.output)
                try node.waitDocument(.policy, version: 3)
                try node.waitLinked(to: directory)
            }
        }

        /// A node that revoked itself takes it back: the others, which refuse it, let the newer list in.
        @Test func aNodeThatRevokedItself() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, node) = try pair(mesh, operators)
                let key = ["--key", operators.keyFile]
                let refused = try directory.mesh(["revoke", "Directory", "--reason", "a slip", "--json"] + key)
                try demandEqual(refused.reason, "own_node", refused.output)
                // The same by its certificate, by its key, and by those of the CA above it.
                let own = try #require(try Certificate.load(file: directory.directory + "/node.crt").first)
                let root = mesh.authority.certificate
                for what in [
                    ["serial:\(own.serialHex)"], ["spki-sha256:\(own.spkiSHA256)"], ["spki-sha256:\(root.spkiSHA256)"],
                    ["--certificate", mesh.directory + "/ca.crt"],
                ] {
                    let refused = try directory.mesh(["revoke"] + what + ["--reason", "a slip", "--json"] + key)
                    try demandEqual(refused.reason, "own_chain", refused.output)
                }
                try demandEqual(try directory.documentVersion(.revocations), nil)
                let typo = try directory.mesh(["revoke", "Nod", "--reason", "a slip"] + key)
                try demandEqual(typo.status, 4, typo.output)
                try demand(typo.output.contains("no node Nod is known here"), typo.output)
                try demand(typo.output.contains("did you mean Node?"), typo.output)
                try demandEqual(try directory.documentVersion(.revocations), nil)
                let meant = try directory.mesh(["revoke", "Nod", "--reason", "a slip", "--force"] + key)
                try demandEqual(meant.status, 0, meant.output)
                try demand(meant.output.contains("warning: no node Nod is known here"), meant.output)
                let other = try directory.mesh(["revoke", "No", "--undo"] + key)
                try demandEqual(other.status, 4, other.output)
                try demand(other.output.contains("did you mean Nod?"), other.output)
                _ = try directory.mesh(["revoke", "Directory", "--reason", "a slip", "--force"] + key)
                try node.waitDocument(.revocations, version: 2)
                try Deadline.until("the link ends") { try !node.isLinked(to: directory) }
                let undone = try directory.mesh(["revoke", "Directory", "--undo"] + key)
                try demandEqual(undone.status, 5, undone.output)
                try node.waitDocument(.revocations, version: 3)
                try node.waitLinked(to: directory)
            }
        }

        /// Also beside a session of the node that waits for its next link here: that one is not touched by who has no right to
        /// it, and the documents come through.
        @Test func catchingUpBesideAParkedSession() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, _) = try pair(mesh, operators)
                let before = try LinkEnd(mesh, as: "Ghost", to: directory)
                try directory.waitFor("link_established") { $0["node"] == "Ghost" }
                before.abort()
                try directory.waitFor("link_lost") { $0["node"] == "Ghost" && $0.value["parked"]?.bool == true }
                // The certificate that it comes back with is revoked here, and it says that this is old.
                let renewed = try mesh.authority.issueCredentials(IssueRequest(node: "Ghost"), now: Int64(time(nil)))
                let key = renewed.leaf.publicKey.spkiSHA256
                try directory.take(try operators.revocations(1, [.key(key)]))
                try demandEqual(try directory.metric("mesh_sessions_parked"), 1, "parked sessions")
                let claimed = DocumentVersions([.revocations: DocumentStamp(version: 2, digest: 7)])
                let link = try LinkEnd(
                    mesh, as: "Ghost", to: directory, documents: claimed.encoded, boot: before.bootID, with: renewed)
                try directory.waitFor("link_for_documents") { $0["node"] == "Ghost" }
                guard
                    case .refused(.documentsBehind, _) = try link.next(of: try link.open(OpenRequest(service: "echo")))
                else { throw Failure("a stream is not refused") }
                let lifted = try operators.revocations(2, [])
                let body = String(decoding: lifted.envelope, as: UTF8.self)
                let stream = try link.open(
                    OpenRequest(service: "mesh.documents"),
                    sending:
                        "PUT /v1/documents/revocations HTTP/1.1\r\nHost: mesh\r\nContent-Length: \(body.utf8.count)"
                        + "\r\n\r\n" + body)
                try demandEqual(try link.next(of: stream), .accepted)
                try directory.waitDocument(.revocations, version: 2)
                // It has the right to a link now, and makes one.
                try link.waitEnd()
                try demandEqual(directory.count("session_ended") { $0["node"] == "Ghost" }, 0, "the session was harmed")
                try demandEqual(try directory.metric("mesh_sessions_parked"), 1, "parked sessions")
                let after = try LinkEnd(
                    mesh, as: "Ghost", to: directory, documents: claimed.encoded, boot: before.bootID, with: renewed)
                try directory.waitFor("link_established", skipping: 1) { $0["node"] == "Ghost" }
                try after.end(.normal)
            }
        }

        /// A node that says that it takes documents, and never has them, is not sent them in a loop.
        @Test func oneThatNeverHasWhatItTakes() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, _) = try pair(mesh, operators)
                let link = try LinkEnd(mesh, as: "Ghost", to: directory, documents: [])
                let body = #"{"documents":{}}"#
                link.answer =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                    + body
                try link.turn { link.opened >= 3 }
                try directory.waitFor("document_not_sent") {
                    $0["node"] == "Ghost" && $0["detail"]?.contains("not among the documents in force") == true
                }
                try link.end(.normal)
            }
        }

        /// Whoever has a revoked certificate and brings documents stands beside the node of that name, which may have another one by
        /// now: he does not take its place, and keeps it out by nothing.
        @Test func aRevokedGuestKeepsNobodyOut() throws {
            try withMesh { mesh in
                let (directory, old) = try revokedGhost(mesh)
                let guest = try LinkEnd(mesh, as: "Ghost", to: directory, documents: Self.claimed.encoded, with: old)
                try directory.waitFor("link_for_documents") { $0["node"] == "Ghost" }
                let node = try LinkEnd(mesh, as: "Ghost", to: directory)
                try directory.waitFor("link_established") { $0["node"] == "Ghost" }
                guard
                    case .refused(.documentsBehind, _) = try guest.next(of: guest.open(OpenRequest(service: "echo")))
                else { throw Failure("a stream is not refused") }
                try demandEqual(directory.count("link_established") { $0["node"] == "Ghost" }, 1)
                try node.end(.normal)
                guest.abort()
            }
        }

        /// A newcomer whose certificate is revoked while this end's own dial to the node of his name waits for its answer: he comes in as a
        /// guest when that dial fails, and when he has gone the node is dialled again.
        @Test func aNewcomerThatBecomesAGuest() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try MutePeer(mesh, as: "Ghost")
                nonisolated(unsafe) let here = mesh
                nonisolated(unsafe) let directory = try mesh.node("Directory", directory: true) {
                    $0.peers.append(["node": "Ghost", "address": .string(node.address)])
                    $0.set("links.handshakeTimeout", "300s")
                }
                try mesh.start()
                try directory.take(operators.list)
                try node.waitForHello()
                let old = try mesh.authority.issueCredentials(IssueRequest(node: "Ghost"), now: Int64(time(nil)))
                let newcomers = (0..<2).map { _ in
                    Background {
                        Guest(
                            try LinkEnd(here, as: "Ghost", to: directory, documents: Self.claimed.encoded, with: old))
                    }
                }
                // Only one may wait for the end of the dial: when the other one is sent away, it does.
                try directory.waitFor("handshake_failed") { $0["node"] == "Ghost" && $0["reason"] == "superseded" }
                try directory.take(try operators.revocations(1, [.key(old.leaf.publicKey.spkiSHA256)]))
                node.hangUp()
                try directory.waitFor("link_for_documents") { $0["node"] == "Ghost" }
                let guests = newcomers.compactMap { try? $0.value(within: Deadline.patience) }
                try demandEqual(guests.count, 1, "guests")
                let dials = node.dials
                guests[0].link.abort()
                try directory.waitFor("link_lost") { $0["node"] == "Ghost" }
                try Deadline.until("the node is dialled again") { node.dials > dials }
                try demandEqual(directory.count("link_established") { $0["node"] == "Ghost" }, 0)
            }
        }

        /// A link that was made on another thread.
        private struct Guest: @unchecked Sendable {
            let link: LinkEnd

            init(_ link: LinkEnd) { self.link = link }
        }

        /// Whoever comes as a guest again and again has one link at a time.
        @Test func aGuestTakesTheGuestsPlace() throws {
            try withMesh { mesh in
                let (directory, old) = try revokedGhost(mesh)
                func come() throws -> LinkEnd {
                    try LinkEnd(mesh, as: "Ghost", to: directory, documents: Self.claimed.encoded, with: old)
                }
                let first = try come()
                try directory.waitFor("link_for_documents") { $0["node"] == "Ghost" }
                let second = try come()
                try directory.waitFor("link_lost") { $0["node"] == "Ghost" && $0["reason"] == "replaced" }
                try first.waitEnd()
                guard
                    case .refused(.documentsBehind, _) = try second.next(of: second.open(OpenRequest(service: "echo")))
                else { throw Failure("a stream is not refused") }
            }
        }

        /// Whoever only says that it has newer documents gets nothing but the chance to bring them.
        @Test func promisesGiveNoRights() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (directory, _) = try pair(mesh, operators)
                let now = Int64(time(nil))
                try directory.take(try operators.revocations(1, [.node("Ghost", validBefore: now + 3_600)]))
                try demand(throws: { _ = try LinkEnd(mesh, as: "Ghost", to: directory, documents: []) }, "it is linked")
                let link = try LinkEnd(mesh, as: "Ghost", to: directory, documents: Self.claimed.encoded)
                for service in ["mesh.directory", "mesh.agent", "echo"] {
                    let stream = try link.open(OpenRequest(service: service))
                    guard case .refused(.documentsBehind, _) = try link.next(of: stream) else {
                        throw Failure("\(service) is not refused")
                    }
                }
                let stream = try link.open(
                    OpenRequest(service: "mesh.documents"),
                    sending: "GET /v1/documents/policy HTTP/1.1\r\nHost: mesh\r\n\r\n")
                try demandEqual(try link.next(of: stream), .accepted)
                guard case .bytes(let bytes) = try link.next(of: stream) else { throw Failure("no answer") }
                let answer = String(decoding: bytes, as: UTF8.self)
                try demand(answer.hasPrefix("HTTP/1.1 403 "), answer)
                try link.waitClosed()
                try directory.waitFor("link_lost") { $0["node"] == "Ghost" && $0["reason"] == "link_denied" }
            }
        }
    }
}
