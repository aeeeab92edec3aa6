import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Renewal {
        private func renewals(_ node: TestNode, _ result: String = "renewed") throws -> Double {
            try node.metric("mesh_identity_renewals_total{result=\"\(result)\"}") ?? 0
        }

        /// A CA and a node that has joined and echoes, and where the CA's node leads to it.
        private func echoing(_ mesh: TestMesh, ttl: String) throws -> (ca: TestNode, node: TestNode, upstream: String) {
            let service = try mesh.echo()
            mesh.policy.provide("echo", at: "Node")
            mesh.policy.identity("shop", of: "Directory")
            mesh.policy.connect("service:shop", to: "echo")
            let ca = try mesh.node("Directory", directory: true) { try $0.serveCA(ttl: ttl) }
            let upstream = ca.upstream("echo", as: "shop", port: 8001)
            let node = try mesh.node("Node") {
                $0.joinsByToken()
                $0.offer("echo", service.address)
            }
            try ca.start()
            try ca.waitReady()
            try ca.createToken(for: "Node", in: node.tokenFile)
            try node.start()
            try ca.waitInstances(of: "echo", at: ["Node"])
            return (ca, node, upstream)
        }

        private static let minutes = ProcessInfo.processInfo.environment["MESH_E2E_RENEWAL_MINUTES"].flatMap {
            Double($0)
        }

        /// Certificates of a minute under light traffic for as many minutes as MESH_E2E_RENEWAL_MINUTES says.
        @Test(.enabled(if: minutes != nil, "needs MESH_E2E_RENEWAL_MINUTES"))
        func minuteLivesUnderTraffic() throws {
            let seconds = (Self.minutes ?? 0) * 60
            try withMesh { mesh in
                let (ca, node, upstream) = try echoing(mesh, ttl: "60s")
                let lasting = try Wire(upstream)
                let end = Date(timeIntervalSinceNow: seconds)
                var (echoes, connections) = (0, 0)
                while Date() < end {
                    try lasting.echo("through all of them, \(echoes)")
                    echoes += 1
                    if echoes % 20 == 0 {
                        try Wire(upstream).echo("anew, \(connections)")
                        connections += 1
                    }
                    Thread.sleep(forTimeInterval: 0.05)
                }
                for node in [ca, node] {
                    let count = try renewals(node)
                    print("\(node.name): \(Int(count)) renewals in \(Int(seconds)) s")
                    // Half of a life, ten per cent later at most; a second each for what is begun at the ends.
                    try demand(count >= (seconds / 34).rounded(.down) - 1, "\(count) renewals of \(node.name)")
                    for event in ["renewal_failed", "identity_expired", "link_lost", "open_failed"] {
                        try demandEqual(node.count(event), 0, "\(event) at \(node.name)")
                    }
                }
                let moved = ca.count("link_moved") + node.count("link_moved")
                print(
                    "\(echoes) echoes on one connection, \(connections) new connections, \(moved) moves seen, no error")
            }
        }

        /// Certificates of six seconds under traffic: every byte comes back, on a connection that lives through all of them
        /// and on new ones.
        @Test func shortLivesUnderTraffic() throws {
            try withMesh { mesh in
                let life = Deadline.lifetime(6)
                let (ca, node, upstream) = try echoing(mesh, ttl: "\(life)s")
                let lasting = try Wire(upstream)
                try Deadline.until("both were renewed five times", within: 60 * Deadline.slowness, every: 0.02) {
                    try lasting.echo("through all of them")
                    try Wire(upstream).echo("anew")
                    return try renewals(node) >= 5 && renewals(ca) >= 5
                }
                for node in [ca, node] {
                    try demandEqual(node.count("renewal_failed"), 0, "failed renewals of \(node.name)")
                    try demandEqual(node.count("identity_expired"), 0, "ends of \(node.name)")
                }
                let leaf = try Certificate.load(file: node.identityDirectory + "/node.crt")[0]
                let seconds = leaf.notAfter - leaf.notBefore
                try demand(
                    seconds <= life + life / 4, "it lives for \(life) s and is backdated by a quarter: \(seconds) s")
            }
        }

        /// The CA is away for longer than the certificate lives, and comes back.
        @Test func theCAIsAwayPastTheEnd() throws {
            try withMesh { mesh in
                let joined = try mesh.joinedNode(ttl: "\(Deadline.lifetime(8))s")
                let node = joined.node
                joined.ca.kill()
                try node.waitFor("renewal_failed") { $0["reason"] == "ca_unreachable" }
                // Most of its life is still there: nothing happens but this, a metric and a warning.
                try demand(try renewals(node, "ca_unreachable") >= 1, "failures are counted")
                let early = try node.metrics.get("/readyz")
                try demand(!early.text.contains("identity_expired"), early.text)
                try node.waitFor("identity_expires_soon")
                try Deadline.until("readiness says why") {
                    let answer = try node.metrics.get("/readyz")
                    return answer.status == 503 && answer.text.contains("identity_expired")
                }
                try node.waitFor("identity_expired")
                // The CA's own certificate has ended as well: it issues itself another one.
                try joined.ca.launch()
                try joined.ca.waitReady()
                try node.waitReady()
                try demand(try renewals(node) >= 1, "it was renewed")
            }
        }

        /// The host was off past the end of its certificate: the next start renews it first, unless too much time has passed.
        @Test func aStartAfterTheEndRenewsWithinABound() throws {
            try withMesh { mesh in
                let bound = Deadline.lifetime(6)
                let joined = try mesh.joinedNode(ttl: "\(Deadline.lifetime(3))s", renewExpiredFor: "\(bound)s")
                let node = joined.node
                func ended(_ seconds: Double) throws {
                    let end = try Certificate.load(file: node.identityDirectory + "/node.crt")[0].notAfter
                    try Deadline.until("the certificate has ended") {
                        Date().timeIntervalSince1970 > Double(end) + seconds
                    }
                }
                try node.stop()
                try ended(0.5)
                try node.launch()
                try node.waitReady()
                try node.stop()
                try ended(Double(bound) + 0.5)
                try node.launch()
                node.expectEnd()
                try demandEqual(try node.running().wait(), 6, "the exit status")
                try demand(try node.running().output.contains("not_authenticated"), "the CA refused it")
                try demand(
                    joined.ca.records.contains { $0.event == "enrolment_refused" && $0["reason"] == "expired" }, "why")
            }
        }

        @Test func aForgottenNodeIsNotRenewed() throws {
            try withMesh { mesh in
                let joined = try mesh.joinedNode(ttl: "\(Deadline.lifetime(5))s")
                try demandEqual(try joined.ca.mesh(["ca", "forget", "Node"]).status, 0)
                try joined.node.waitFor("renewal_failed") { $0["reason"] == "unknown_node" }
                try demand(try renewals(joined.node, "unknown_node") >= 1, "it is counted")
                // One that came before it was forgotten, where that took its time.
                let renewed = try renewals(joined.node)
                // Another host of that name may come: what was issued before is not revived by it.
                let token = mesh.directory + "/again"
                try joined.ca.createToken(for: "Node", in: token)
                try demandEqual(try joined.ca.join(token).status, 0)
                let refused = try renewals(joined.node, "unknown_node")
                try Deadline.until("the old certificate is refused again") {
                    try renewals(joined.node, "unknown_node") > refused
                }
                try demandEqual(try renewals(joined.node), renewed, "renewals of the old one")
            }
        }

        /// What the CA's node trusts for this mesh reaches everybody with the next renewal.
        @Test func anotherRootComesWithARenewal() throws {
            try withMesh { mesh in
                let joined = try mesh.joinedNode(ttl: "\(Deadline.lifetime(4))s")
                let (own, partner) = (
                    try CertificateAuthority.createRoot(
                        name: "E2E root 2", trustDomain: TestMesh.trustDomain, now: Int64(time(nil))),
                    try CertificateAuthority.createRoot(
                        name: "Partner", trustDomain: "partner.test", now: Int64(time(nil)))
                )
                let file = joined.ca.identityDirectory + "/ca.crt"
                let text = try String(contentsOfFile: file, encoding: .utf8)
                try (text + own.root.pem + partner.root.pem).write(toFile: file, atomically: true, encoding: .utf8)
                try joined.node.waitFor("trust_changed") {
                    $0["fingerprint"] == own.root.fingerprintSHA256
                }
                let roots = try TrustBundle.load(file: joined.node.identityDirectory + "/ca.crt").roots
                try demandEqual(
                    Set(roots.map(\.fingerprintSHA256)),
                    [
                        mesh.authority.root.fingerprintSHA256, own.root.fingerprintSHA256,
                    ])
                try Deadline.until("it renews on") { try renewals(joined.node) >= 3 }
            }
        }

        // MARK: - Files from elsewhere

        /// Files that somebody else writes: one after the other, behind a symlink, wrong at first.
        @Test func changedFilesAreTakenOverWhenTheyAreGood() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                let (first, second) = (node.directory + "/set-1", node.directory + "/set-2")
                func write(_ directory: String) throws -> Certificate {
                    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                    let made = try mesh.authority.issueCredentials(
                        IssueRequest(node: "Directory"), now: Int64(time(nil)))
                    try made.write(certificateFile: directory + "/node.crt", keyFile: directory + "/node.key")
                    return made.leaf
                }
                let old = try write(first)
                let current = node.directory + "/current"
                try FileManager.default.createSymbolicLink(atPath: current, withDestinationPath: "set-1")
                node.set("identity.certificate", .string(current + "/node.crt"))
                node.set("identity.key", .string(current + "/node.key"))
                try mesh.start()
                func inUse() throws -> String? {
                    try node.control.get("/v1/agent").json["identity"]?["fingerprint"]?.string
                }
                try demandEqual(try inUse(), old.fingerprintSHA256)

                // In place, the key long before its certificate.
                let next = try mesh.authority.issueCredentials(IssueRequest(node: "Directory"), now: Int64(time(nil)))
                try next.key.write(to: first + "/node.key")
                Thread.sleep(forTimeInterval: 0.5)
                try next.write(certificateFile: first + "/node.crt", keyFile: first + "/node.key")
                try Deadline.until("the new pair is in use") { try inUse() == next.leaf.fingerprintSHA256 }
                try demandEqual(node.count("identity_refused"), 0, "a pair that is half written is waited for")

                // By a swap of the symlink.
                let swapped = try write(second)
                try FileManager.default.createSymbolicLink(atPath: current + ".new", withDestinationPath: "set-2")
                rename(current + ".new", current)
                try Deadline.until("the other directory's pair is in use") { try inUse() == swapped.fingerprintSHA256 }

                // A pair that is another node's is reported and not taken.
                let wrong = try mesh.authority.issueCredentials(IssueRequest(node: "Other"), now: Int64(time(nil)))
                try wrong.write(certificateFile: second + "/node.crt", keyFile: second + "/node.key")
                try node.waitFor("identity_refused")
                try demandEqual(try inUse(), swapped.fingerprintSHA256)
                try demandEqual(try node.metric("mesh_identity_changes_total{result=\"refused\"}"), 1)
                let told = try node.mesh(["status"]).output
                try demand(told.contains("refused ") && told.contains("files of the identity, at 20"), told)
                try demand(told.contains("Other"), "what is wrong is told: \(told)")
                let good = try write(second)
                try Deadline.until("a good pair after it is in use") { try inUse() == good.fingerprintSHA256 }
                let after = try node.mesh(["status"]).output
                try demand(after.contains("identity") && !after.contains("refused "), after)
            }
        }
    }
}
