import Foundation
import JOSE
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Who comes in by which door: TLS modes, proxies, certificates, limits, slow clients.
    @Suite struct EdgeDoor {
        @Test func plainHTTPOnATLSPort() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let plain = try EdgeEnd(Wire(edge.address))
                try plain.sendRequest("GET", "/x?y=1")
                let answer = try plain.answer()
                try demandEqual(answer.status, 400, answer.text)
                try demandEqual(answer.reason, "tls_required", answer.text)
                var listener = try edge.listenerSettings()
                listener["plaintext"] = "redirect"
                edge.edge.set("edge.listeners", .array([.object(listener)]))
                try edge.edge.reload()
                let second = try EdgeEnd(Wire(edge.address))
                try second.sendRequest("GET", "/x?y=1")
                let moved = try second.answer()
                try demandEqual(moved.status, 308, moved.text)
                try demandEqual(moved.headers["location"], "https://\(EdgeMesh.host):8443/x?y=1", "Location")
                // Neither HTTP nor TLS.
                let other = try EdgeEnd(Wire(edge.address))
                try other.send("\u{1}\u{2}\u{3}nonsense nonsense")
                try other.waitEnd()
            }
        }

        @Test func behindAProxy() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "tls": "behind_proxy", "certificates": [], "trustedProxies": ["\(mesh.network).77/32"],
                    ])
                let field = "Authorization: Bearer \(try edge.token())\r\n"
                let spoof = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"
                func ask(_ wire: Wire) throws -> String {
                    let end = try EdgeEnd(wire)
                    try end.send(
                        "GET /head HTTP/1.1\r\nHost: \(EdgeMesh.host)\r\n\(field)\(spoof)Conduit-Caller: root\r\n"
                            + "X_Forwarded_For: 1.2.3.4\r\n\r\n")
                    return try end.answer().text
                }
                let head = try ask(Wire(edge.address, from: "\(mesh.network).77"))
                try demandEqual(WireReader.field("X-Forwarded-For", head), "203.0.113.7", head)
                try demandEqual(WireReader.field("X-Forwarded-Proto", head), "https", head)
                try demandEqual(
                    WireReader.field("Conduit-Caller", head), "jwt:\(EdgeMesh.issuerName)/alice", "caller")
                try demand(!head.contains("1.2.3.4"), "other spellings are removed: \(head)")
                let stranger = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).78"))
                try? stranger.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try stranger.waitEnd()
            }
        }

        @Test func autoDecidesByWhoConnects() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, listener: ["tls": "auto", "trustedProxies": ["\(mesh.network).77"]])
                let field = [
                    ("Authorization", "Bearer \(try edge.token())"), ("X-Forwarded-For", "203.0.113.7"),
                    ("X-Forwarded-Proto", "https"),
                ]
                let proxy = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).77"))
                try proxy.sendRequest("GET", "/head", headers: field)
                let head = try proxy.answer().text
                try demandEqual(WireReader.field("X-Forwarded-For", head), "203.0.113.7", head)
                // The same words from somebody else count for nothing.
                let plain = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).78"))
                try plain.sendRequest("GET", "/head", headers: field)
                try demandEqual(try plain.answer().reason, "tls_required", "plain")
                let secure = try edge.connect(to: edge.address)
                try secure.sendRequest("GET", "/head", headers: field)
                let other = try secure.answer().text
                try demand(!other.contains("203.0.113.7"), other)
            }
        }

        @Test func proxyProtocol() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh,
                    listener: ["tls": "auto", "trustedProxies": ["\(mesh.network).77"], "proxyProtocol": "require"])
                let field = [("Authorization", "Bearer \(try edge.token())")]
                let wire = try Wire(edge.address, from: "\(mesh.network).77")
                try wire.send("PROXY TCP4 198.51.100.9 192.0.2.1 5000 443\r\n")
                let end = try edge.connect(over: wire)
                try end.sendRequest("GET", "/head", headers: field)
                let head = try end.answer().text
                try demandEqual(WireReader.field("X-Forwarded-For", head), "198.51.100.9", head)
                // Without the header the proxy is not let in, and nobody else may send one.
                let missing = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).77"))
                try missing.sendRequest("GET", "/head", headers: field)
                try missing.waitEnd()
                let stranger = try EdgeEnd(Wire(edge.address, from: "\(mesh.network).78"))
                try? stranger.send("PROXY TCP4 198.51.100.9 192.0.2.1 5000 443\r\n")
                try stranger.waitEnd()
                try Deadline.until("counted") {
                    try edge.edge.metric("mesh_edge_refusals_total{reason=\"missing_proxy_header\"}") == 1
                }
            }
        }

        @Test func certificatesBySNIAndReload() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let other = try mesh.authority.issueCredentials(
                    IssueRequest(node: "other-listener", dnsNames: ["other.e2e.test"]), now: Int64(time(nil)))
                try other.write(
                    certificateFile: mesh.directory + "/other.crt", keyFile: mesh.directory + "/other.key")
                let before = try edge.connect()
                try demand(throws: { _ = try edge.connect("other.e2e.test") }, "no certificate for that name yet")
                var listener = try edge.listenerSettings()
                listener["certificates"] = .array(
                    (listener["certificates"]?.array ?? []) + [
                        [
                            "certificate": .string(mesh.directory + "/other.crt"),
                            "key": .string(mesh.directory + "/other.key"),
                        ]
                    ])
                edge.edge.set("edge.listeners", .array([.object(listener)]))
                let reload = try edge.edge.reload()
                try demandEqual(reload.status, 200, reload.text)
                let second = try edge.connect("other.e2e.test")
                try demandEqual(
                    second.session?.peerIdentity?.dnsNames, ["other.e2e.test"], "the certificate")
                _ = try edge.connect()
                // What was open goes on.
                try before.sendRequest("GET", "/", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(try before.answer().status, 200, "the old connection")
                // Files that do not fit are refused, and the old ones stay.
                try "nonsense".write(toFile: mesh.directory + "/other.crt", atomically: true, encoding: .utf8)
                try demand(try edge.edge.reload().status != 200, "a bad certificate")
                _ = try edge.connect("other.e2e.test")
            }
        }

        @Test func clientCertificates() throws {
            try withMesh { mesh in
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop"]])
                mesh.policy.connect("node:laptop", to: "web")
                let edge = try EdgeMesh(
                    mesh,
                    listener: ["clientCertificates": ["mode": "optional", "ca": .string(mesh.directory + "/ca.crt")]],
                    route: ["require": "either"],
                    routes: [
                        ["path": "/both", "service": "web", "require": "both"],
                        ["path": "/certificate", "service": "web", "require": "certificate"],
                    ])
                let laptop = try mesh.authority.issueCredentials(
                    IssueRequest(node: "laptop"), now: Int64(time(nil)))
                func ask(_ target: String, certificate: Bool, token: Bool) throws -> Answer {
                    let end = try edge.connect(credentials: certificate ? laptop : nil)
                    try end.sendRequest(
                        "GET", target, headers: token ? [("Authorization", "Bearer \(try edge.token())")] : [])
                    return try end.answer()
                }
                let certified = try ask("/head", certificate: true, token: false)
                try demandEqual(certified.status, 200, certified.text)
                try demandEqual(WireReader.field("Conduit-Caller", certified.text), "node:laptop", "caller")
                try demandEqual(WireReader.field("Conduit-Caller-CN", certified.text), "laptop", "CN")
                try demandEqual(try ask("/head", certificate: false, token: true).status, 200, "token")
                try demandEqual(try ask("/head", certificate: false, token: false).status, 401, "nothing")
                try demandEqual(try ask("/both", certificate: true, token: true).status, 200, "both")
                try demandEqual(try ask("/both", certificate: true, token: false).status, 401, "certificate only")
                let missing = try ask("/both", certificate: false, token: true)
                try demandEqual(missing.reason, "missing_certificate", missing.text)
                try demandEqual(try ask("/certificate", certificate: true, token: false).status, 200, "certificate")
            }
        }

        @Test func limitsOnRequests() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh, route: ["limits": ["rate": 1, "burst": 2]]) {
                    $0.set("edge.limits.header", "2KiB")
                }
                let end = try edge.connect()
                let field = [("Authorization", "Bearer \(try edge.token())")]
                var statuses: [Int] = []
                let start = Deadline.now
                // One comes back each second, however long these take.
                while statuses.last != 429, statuses.count < 60 {
                    try end.sendRequest("GET", "/", headers: field)
                    let answer = try end.answer()
                    statuses.append(answer.status)
                    if answer.status == 429 {
                        try demand(answer.headers["retry-after"] != nil, "\(answer.headers)")
                        try demand(answer.headers["ratelimit"] != nil, "\(answer.headers)")
                    }
                }
                try demandEqual(statuses.prefix(2), [200, 200], "statuses")
                try demandEqual(statuses.last, 429, "\(statuses)")
                try demand(statuses.count <= 3 + Int(Deadline.now - start), "\(statuses)")
                let large = try edge.request("GET", "/", headers: [("X-Large", String(repeating: "x", count: 4000))])
                try demandEqual(large.status, 431, large.text)
                let nobody = try edge.request("GET", "/nobody/knows")
                try demandEqual(nobody.status, 401, nobody.text)
            }
        }

        @Test func apiKeysAreReadAgain() throws {
            try withMesh { mesh in
                let file = mesh.directory + "/keys.json"
                var store = APIKeyStore(random: (0..<32).map { _ in UInt8.random(in: 0...255) })
                try Data(store.text).write(to: URL(fileURLWithPath: file))
                chmod(file, 0o600)
                mesh.policy.connect("key:*", to: "web")
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.apiKeys", .string(file)) }
                let (key, record) = try store.add(
                    name: "script", at: Int64(time(nil)),
                    random: (0..<APIKeyStore.randomBytes).map { _ in UInt8.random(in: 0...255) })
                try Data(store.text).write(to: URL(fileURLWithPath: file), options: .atomic)
                chmod(file, 0o600)
                try Deadline.until("the new key counts", within: 5 * Deadline.slowness) {
                    try edge.request("GET", "/head", headers: [("X-API-Key", key)]).status == 200
                }
                let end = try edge.connect()
                _ = try end.upgrade("/ws", headers: [("Authorization", "ApiKey \(key)")])
                try store.revoke(record.id, at: Int64(time(nil)))
                try Data(store.text).write(to: URL(fileURLWithPath: file), options: .atomic)
                chmod(file, 0o600)
                try demandEqual(try end.closeFrame().code, 4401, "revoked")
            }
        }

        @Test func keysAreFetchedFromTheIssuer() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let published = try edge.request("GET", "/.well-known/jwks.json")
                try demandEqual(published.status, 200, published.text)
                // Another edge fetches the keys of this one's issuer.
                let second = try mesh.node("Second") { node in
                    node.set(
                        "edge.listeners",
                        [
                            [
                                "address": .string("\(node.host):8443"),
                                "certificates": [
                                    [
                                        "certificate": .string(mesh.directory + "/edge.crt"),
                                        "key": .string(mesh.directory + "/edge.key"),
                                    ]
                                ],
                            ]
                        ])
                    node.set("edge.routes", [["service": "web"]])
                    node.set(
                        "edge.authentication.issuers",
                        [
                            [
                                "issuer": .string(EdgeMesh.issuerName), "audiences": ["edge"],
                                "jwks": [
                                    "url": .string("https://\(edge.address)/.well-known/jwks.json"),
                                    "ca": .string(mesh.directory + "/ca.crt"),
                                ],
                            ]
                        ])
                    node.policy.rules.append(
                        [
                            "allow": ["act-as"], "from": ["node:Second"],
                            "to": [.string("jwt:\(EdgeMesh.issuerName)/**")],
                        ])
                    node.policy.connect("node:Second", to: "web")
                }
                edge.server.policy = second.policy
                try edge.server.reload()
                try second.start()
                try second.waitReady()
                try second.waitInstances(of: "web", at: ["Server"])
                let end = try edge.connect(to: "\(second.host):8443")
                try end.sendRequest("GET", "/", headers: [("Authorization", "Bearer \(try edge.token())")])
                let answer = try end.answer()
                try demandEqual(answer.status, 200, answer.text)
                try second.waitFor("edge_keys_fetched")
            }
        }

        /// A CA file that was wrong, and is put right while the agent runs.
        @Test func theIssuersCAIsReadAgain() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let other = try CertificateAuthority.createRoot(
                    name: "Other root", trustDomain: "other.test", now: Int64(time(nil)))
                let file = mesh.directory + "/issuer-ca.crt"
                try other.root.pem.write(toFile: file, atomically: true, encoding: .utf8)
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let configuration = mesh.directory + "/front.json"
                let text: JSONValue = [
                    "targets": [["name": "web", "url": .string("http://\(service.address)")]],
                    "edge": [
                        "listeners": [
                            [
                                "address": .string(mesh.anyAddress),
                                "certificates": [
                                    ["certificate": .string(files.certificate), "key": .string(files.key)]
                                ],
                            ]
                        ],
                        "authentication": [
                            "issuers": [
                                [
                                    "issuer": .string(EdgeMesh.issuerName), "audiences": ["edge"],
                                    "jwks": [
                                        "url": .string("https://\(edge.address)/.well-known/jwks.json"),
                                        "ca": .string(file),
                                    ],
                                ]
                            ]
                        ],
                    ],
                ]
                try text.text(.pretty).write(toFile: configuration, atomically: true, encoding: .utf8)
                let front = try TestFront(mesh, ["--config", configuration])
                func status() throws -> Int {
                    try front.connect([mesh.authority.root]).request(
                        "GET", "/head", headers: [("Authorization", "Bearer \(try edge.token())")]
                    ).status
                }
                // The next try after the second failure is ten seconds away.
                try Deadline.until("the issuer is not believed") { front.records("edge_keys_failed").count >= 2 }
                try demandEqual(try status(), 503, "no keys yet")
                // What is no certificate is refused as a whole.
                try "nonsense".write(toFile: file, atomically: true, encoding: .utf8)
                front.process.signal(SIGHUP)
                try Deadline.until("refused") { !front.records("reload_failed").isEmpty }
                let problems = "\(front.records("reload_failed")[0])"
                try demand(problems.contains("issuers[0].jwks.ca"), problems)
                try mesh.authority.root.pem.write(toFile: file, atomically: true, encoding: .utf8)
                front.process.signal(SIGHUP)
                // At once, and not when the next try after a failure would be due.
                try Deadline.until("the keys are fetched", within: 8) { !front.records("edge_keys_fetched").isEmpty }
                try Deadline.until("tokens count") { try status() == 200 }
                // The other way round: keys that were fetched hold, and the failure is said.
                let failures = front.records("edge_keys_failed").count
                try other.root.pem.write(toFile: file, atomically: true, encoding: .utf8)
                front.process.signal(SIGHUP)
                try Deadline.until("tried anew") { front.records("edge_keys_failed").count > failures }
                try demandEqual(try status(), 200, "the last good keys")
            }
        }

        @Test func slowClientsMakeRoom() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) {
                    $0.set("edge.limits.connections", 50)
                    $0.set("edge.limits.connectionsPerAddress", 40)
                    $0.set("edge.limits.headerTimeout", .string(Deadline.milliseconds(2_000)))
                    $0.set("edge.limits.handshakesPerSecond", 0)
                }
                // Half of them do not even speak TLS, the others send half a request.
                var slow: [EdgeEnd] = []
                for index in 0..<120 {
                    if index % 2 == 0 {
                        slow.append(try EdgeEnd(Wire(edge.address, from: "\(mesh.network).\(index / 2 + 100)")))
                    } else {
                        let end = try edge.connect()
                        try end.send("GET / HTTP/1.1\r\nHost:")
                        slow.append(end)
                    }
                }
                for _ in 0..<20 {
                    let answer = try edge.request("GET", "/", token: edge.token())
                    try demandEqual(answer.status, 200, answer.text)
                }
                let open = try edge.edge.metric("mesh_edge_connections{kind=\"handshake\"}") ?? 0
                try demand(open <= 50, "\(open) connections")
                let end = try edge.connect()
                try end.send("GET / HTTP/1.1\r\nHost:")
                try demandEqual(try end.answer().status, 408, "header timeout")
                _ = slow
            }
        }

        /// What an idle WebSocket costs at the edge, its TLS session included. The measure is the process's memory, so the
        /// bound leaves room for the allocator.
        @Test func idleWebSocketsAreSmall() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.limits.handshakesPerSecond", 0) }
                let token = try edge.token()
                func open(_ count: Int) throws -> [EdgeEnd] {
                    try (0..<count).map { _ in
                        let end = try edge.connect()
                        _ = try end.upgrade("/ws", headers: [("Authorization", "Bearer \(token)")])
                        return end
                    }
                }
                func settled() throws -> Int {
                    var last = 0
                    return try Deadline.wait("memory is given back", every: 1.5) {
                        let now = try edge.edge.running().residentBytes
                        defer { last = now }
                        return abs(now - last) < 64 << 10 ? now : nil
                    }
                }
                // Handshakes take more for a moment, and the allocator keeps it for the next ones: two bursts of one size.
                let first = try open(250)
                let before = try settled()
                let more = try open(250)
                let each = (try settled() - before) / more.count
                // Some 21 KiB on a quiet machine; a buffer that stays behind would make it 64 and more.
                try demand(each < 48 << 10, "\(each) bytes each")
                try demand(each > 4 << 10, "\(each) bytes each: nothing was measured")
                let descriptors = try edge.edge.running().descriptorCount
                try demand(descriptors < 3 * 500, "\(descriptors) descriptors")
                for end in first + more { end.close() }
                try Deadline.until("all are closed") {
                    try edge.edge.metric("mesh_edge_connections{kind=\"websocket\"}") ?? 0 == 0
                }
            }
        }

        @Test func whoDoesNotReadCostsNoMemory() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.limits.bodyTimeout", "2s") }
                let before = try edge.edge.running().residentBytes
                let end = try edge.connect()
                try end.sendRequest(
                    "GET", "/big/\(200 << 20)", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(try end.head().status, 200, "begun")
                // Nothing is read: the edge gives the client up after the body timeout.
                try edge.edge.waitFor("edge_request") { $0["reason"] == "client_too_slow" }
                let grown = try edge.edge.running().residentBytes - before
                try demandGrowth(grown, below: 24 << 20, "the edge")
            }
        }
    }
}

extension EdgeMesh {
    /// The listener's settings as they are configured.
    func listenerSettings() throws -> JSONObject {
        guard let listener = edge.settings.last(where: { $0.key == "edge.listeners" })?.value.array?.first?.object
        else { throw Failure("no listener") }
        return listener
    }

    /// TLS over a wire on which something was sent before.
    func connect(over wire: Wire) throws -> EdgeEnd {
        let context = try TLSContext(.foreignServer(trust: try TrustBundle(roots: [mesh.authority.root])))
        return try EdgeEnd(
            wire,
            TLSSession(context: context, serverName: Self.host, expecting: .foreignServer(host: Self.host)))
    }
}

/// Throws unless `body` throws.
func demand(throws body: () throws -> Void, _ text: String, line: Int = #line) throws {
    do {
        try body()
    } catch {
        return
    }
    throw Failure("\(text): nothing was thrown (line \(line))")
}
