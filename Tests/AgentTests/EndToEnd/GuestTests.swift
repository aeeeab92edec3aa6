import Documents
import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// Whoever has a revoked certificate and brings mesh documents speaks for nobody: what he says counts for nothing about the node
    /// whose name stands in his certificate, while the same counts from that node. He comes before it: who has a link needs no guest.
    @Suite struct Guests {
        private static let hour: Int64 = 3600
        /// Documents that nobody has, newer than all.
        private static let claimed = DocumentVersions([.policy: DocumentStamp(version: 1 << 40, digest: 7)])

        /// A directory where a certificate of the node `name` is revoked, and that certificate.
        private func directory(
            _ mesh: TestMesh, revoking name: String, _ configure: (TestNode) throws -> Void = { _ in }
        ) throws -> (directory: TestNode, old: Credentials) {
            let operators = try TestOperator(mesh)
            let directory = try mesh.node("Directory", directory: true) {
                $0.set("links.resumeFor", "300s")
                try configure($0)
            }
            try mesh.start()
            try directory.take(operators.list)
            let old = try mesh.authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)))
            try directory.take(try operators.revocations(1, [.key(old.leaf.publicKey.spkiSHA256)]))
            return (directory, old)
        }

        /// A link of the node itself, which has another certificate by now.
        private func node(
            _ mesh: TestMesh, _ name: String, at directory: TestNode, lanes: Int? = nil
        ) throws -> LinkEnd {
            let node = try LinkEnd(mesh, as: name, to: directory, lanes: lanes)
            try directory.waitFor("link_established") { $0["node"] == name }
            return node
        }

        private func guest(
            _ mesh: TestMesh, _ name: String, at directory: TestNode, with old: Credentials, clockAhead: Int64 = 0
        ) throws -> LinkEnd {
            let guest = try LinkEnd(
                mesh, as: name, to: directory, documents: Self.claimed.encoded, clockAhead: clockAhead, with: old)
            try directory.waitFor("link_for_documents") { $0["node"] == name }
            return guest
        }

        /// Waits until everything that was sent on a link is worked on, what was said to answer the other end's PING among it.
        private func settle(_ link: LinkEnd) throws {
            for _ in 0..<2 {
                guard case .refused = try link.next(of: link.open(OpenRequest(service: "nothing"))) else {
                    throw Failure("there is no such service")
                }
            }
        }

        @Test func aGuestSaysNothingOfLanes() throws {
            try withMesh { mesh in
                let (directory, old) = try directory(mesh, revoking: "Ghost") { $0.set("links.lanes", 3) }
                let guest = try guest(mesh, "Ghost", at: directory, with: old)
                let node = try node(mesh, "Ghost", at: directory, lanes: 1)
                func lanes() throws -> Int64? {
                    let links = try directory.control.get("/v1/links").json["links"]?.array ?? []
                    return links.first { $0["node"]?.string == "Ghost" && $0["lane"]?.integer == 0 }?["lanes"]?.integer
                }
                guest.session.announceLanes(3)
                try settle(guest)
                try demandEqual(try lanes(), 1, "lanes to the node")
                node.session.announceLanes(3)
                try settle(node)
                try demandEqual(try lanes(), 3, "lanes to the node that has said so itself")
                guest.abort()
            }
        }

        @Test func aGuestHasNoSessionMoved() throws {
            try withMesh { mesh in
                // A name before the directory's, so that its own dial wins.
                let door = try ListeningSocket(host: "\(mesh.network).9")
                let (directory, old) = try directory(mesh, revoking: "Away") {
                    $0.peers.append(["node": "Away", "address": .string(door.address)])
                }
                let silent = try door.accept()
                let guest = try guest(mesh, "Away", at: directory, with: old)
                let node = try node(mesh, "Away", at: directory)
                silent.close()
                while let dial = try? door.accept(within: 1) { dial.close() }
                guest.session.askForMove()
                try settle(guest)
                try demand((try? door.accept(within: 1)) == nil, "the node is dialled since the guest wants it")
                node.session.askForMove()
                try settle(node)
                try door.accept().close()
                guest.abort()
            }
        }

        @Test func aGuestsClockExplainsNothing() throws {
            try withMesh { mesh in
                let (directory, old) = try directory(mesh, revoking: "Ghost")
                let guest = try guest(
                    mesh, "Ghost", at: directory, with: old, clockAhead: 2 * Self.hour + 20)
                try settle(guest)
                _ = try? LinkEnd(mesh, as: "Late", to: directory, issuedAhead: Self.hour)
                let refused = try directory.waitFor("handshake_failed") { $0["reason"] == "not_yet_valid" }
                try demand(
                    refused["detail"]?.contains("no other node's clock is known") == true, refused.value.text())
                guest.abort()
            }
        }
    }
}
