import Documents
import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// A peer that takes its time to answer cannot get past what was withdrawn meanwhile.
    @Suite struct LateAnswers {
        /// The end of a link with `Peer` that was cut, and whose session `server` has kept.
        private func parkedPeer(_ mesh: TestMesh, of server: TestNode) throws -> LinkEnd {
            let peer = try LinkEnd(mesh, as: "Peer", to: server, beforeDecline: {})
            try Deadline.until("the peer is linked") {
                try server.control.get("/v1/links").json["links"]?.array?.contains {
                    $0["node"]?.string == "Peer" && $0["state"]?.string == "established"
                } == true
            }
            peer.abort()
            try server.waitFor("link_lost") { $0["node"] == "Peer" && $0.value["parked"]?.bool == true }
            return peer
        }

        /// The acceptor offers a session that it kept, and waits; the peer holds its answer back until it is revoked.
        @Test func declineAfterRevocation() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                mesh.policy.connect("node:Peer", to: "mesh.documents")
                let server = try mesh.node("Directory", directory: true) { $0.set("links.resumeFor", "60s") }
                try mesh.start()
                try server.take(operators.list)
                let first = try parkedPeer(mesh, of: server)
                var offered = false
                let second = try LinkEnd(
                    mesh, as: "Peer", to: server, after: first,
                    beforeDecline: {
                        offered = true
                        try server.take(
                            try operators.revocations(1, [.node("Peer", validBefore: Int64(time(nil)) + 60)]))
                    })
                try demand(offered, "no session was offered")
                try server.waitFor("handshake_failed") { $0["node"] == "Peer" && $0["reason"] == "identity_revoked" }
                try second.waitClosed()
                let links = try server.control.get("/v1/links").json["links"]?.array ?? []
                try demand(
                    !links.contains { $0["node"]?.string == "Peer" && $0["state"]?.string == "established" },
                    "a revoked peer is linked: \(links)")
            }
        }

        /// A reload between HELLO and the link: the limits are those that HELLO has said.
        @Test func limitsAreThoseOfHello() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.connect("node:Peer", to: "echo")
                let server = try mesh.node("Directory", directory: true) { node in
                    node.set("links.resumeFor", "60s")
                    node.set("limits.maxStreams", 16)
                    node.offer("echo", service.address)
                }
                try mesh.start()
                try server.waitInstances(of: "echo", at: ["Directory"])
                let first = try parkedPeer(mesh, of: server)
                let second = try LinkEnd(
                    mesh, as: "Peer", to: server, after: first,
                    beforeDecline: {
                        server.set("limits.maxStreams", 32)
                        try demandEqual(try server.reload().status, 200)
                    }, ignoresLimits: true)
                try demandEqual(second.saidStreams, 16, "what HELLO has said")
                let streams = try (0..<17).map { _ in try second.open(OpenRequest(service: "echo")) }
                for stream in streams.dropLast() { try demandEqual(try second.next(of: stream), .accepted) }
                guard case .refused(.tooManyStreams, _) = try second.next(of: streams[16]) else {
                    throw Failure("more streams than HELLO has said")
                }
            }
        }
    }
}
