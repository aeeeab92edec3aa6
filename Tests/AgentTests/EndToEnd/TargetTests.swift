import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Services whose targets speak TLS or are known by name.
    @Suite struct Targets {
        /// A client node with an upstream, and a server node with one service.
        private struct Two {
            let client: TestNode
            let server: TestNode
            let upstream: String

            init(_ mesh: TestMesh, target: String, tls: JSONObject? = nil, check: JSONValue = ["kind": "none"]) throws {
                mesh.policy.connect("node:Client", to: "echo")
                mesh.policy.connect("node:Server", to: "echo")
                mesh.policy.provide("echo", at: "Server")
                try mesh.node("Directory", directory: true)
                var address = ""
                client = try mesh.node("Client") { address = $0.upstream("echo", port: 8001) }
                server = try mesh.node("Server") { node in
                    node.services = [Self.service(target, tls, check)]
                    node.upstream("echo", port: 8002)
                }
                upstream = address
            }

            static func service(_ target: String, _ tls: JSONObject?, _ check: JSONValue) -> JSONValue {
                var service: JSONObject = ["name": "echo", "target": .string(target), "check": check]
                if let tls { service["tls"] = .object(tls) }
                return .object(service)
            }
        }

        private static func ca(_ files: DevelopmentCertificate.Files) -> JSONObject { ["ca": .string(files.authority)] }

        /// Sends a line and reads the answer.
        private static func ask(_ wire: Wire, _ line: String, _ answer: String) throws {
            try wire.send(Array(line.utf8))
            let got = try wire.receive(exactly: answer.utf8.count)
            try demandEqual(String(decoding: got, as: UTF8.self), answer, "the server's answer")
        }

        @Test(arguments: ["https", "wss", "tls"]) func bytesGoBothWays(scheme: String) throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files)
                let two = try Two(mesh, target: "\(scheme)://127.0.0.1:\(server.port)", tls: Self.ca(files))
                try mesh.start()
                try two.client.waitInstances(of: "echo", at: ["Server"])
                let wire = try Wire(two.upstream)
                try Self.ask(wire, "who\n", "None None TLSv1.3\n")
                // More than every buffer on the way holds.
                let bulk = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
                let writer = Thread { try? wire.send(bulk) }
                writer.start()
                let back = try wire.receive(exactly: bulk.count)
                try demand(back == bulk, "the bytes came back changed")
                // Our end arrives, and the answer to it too.
                wire.finishSending()
                try demandEqual(try wire.receive(exactly: 3), Array("bye".utf8))
                try demandEqual(wire.receive(), .end)
                // The same on the node of the service itself, without a link.
                let near = try Wire("\(two.server.host):8002")
                try Self.ask(near, "near\n", "near\n")
                near.finishSending()
                try demandEqual(try near.receive(exactly: 3), Array("bye".utf8))
                try demandEqual(near.receive(), .end)
                // An application that resets its connection ends the target's, and the other way round.
                let gone = try Wire(two.upstream)
                try Self.ask(gone, "x\n", "x\n")
                gone.abort()
                try Deadline.until("descriptors are given back") { two.server.process!.descriptorCount < 60 }
            }
        }

        @Test func aTargetByNameAsksForItsName() throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("localhost")
                let server = try TLSServer(mesh, certificate: files, version: "1.2")
                let two = try Two(
                    mesh, target: "https://localhost:\(server.port)", tls: Self.ca(files),
                    check: ["kind": "tcp", "interval": "10s", "timeout": "10s"])
                try mesh.start()
                try two.client.waitInstances(of: "echo", at: ["Server"])
                try Self.ask(try Wire(two.upstream), "who\n", "None localhost TLSv1.2\n")
            }
        }

        @Test func ourCertificateIsShownWhereItIsAskedFor() throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("files.internal")
                let server = try TLSServer(mesh, certificate: files, clientCA: mesh.directory + "/ca.crt")
                var tls = Self.ca(files)
                tls["serverName"] = "files.internal"
                tls["certificate"] = .string(mesh.directory + "/Server/node.crt")
                tls["key"] = .string(mesh.directory + "/Server/node.key")
                let two = try Two(mesh, target: "tls://127.0.0.1:\(server.port)", tls: tls)
                try mesh.start()
                try two.client.waitInstances(of: "echo", at: ["Server"])
                try Self.ask(try Wire(two.upstream), "who\n", "Server files.internal TLSv1.3\n")
            }
        }

        /// What is wrong with a target, and the words for it.
        private enum Fault: String, CaseIterable {
            case otherCA, otherName, expired, plain, nobody, noClientCertificate
        }

        @Test(arguments: ["otherCA", "otherName", "expired", "plain", "nobody", "noClientCertificate"])
        func aWrongTargetIsRefusedWithItsReason(_ name: String) throws {
            guard let fault = Fault(rawValue: name) else { return }
            try withMesh { mesh in
                let past = Int64(time(nil)) - 40 * 86_400
                let files =
                    try fault == .expired
                    ? mesh.serverCertificate("localhost", ip: ["127.0.0.1"], now: past)
                    : mesh.serverCertificate("localhost", ip: fault == .otherName ? [] : ["127.0.0.1"])
                let trusted = try fault == .otherCA ? mesh.serverCertificate("localhost") : files
                let echo = try mesh.echo(greeting: "SSH-2.0-plain\r\n")
                let server = try TLSServer(
                    mesh, certificate: files, clientCA: fault == .noClientCertificate ? files.authority : "",
                    version: "1.2")
                let target =
                    switch fault {
                    case .plain: "https://\(echo.address)"
                    case .nobody: "https://127.0.0.1:9"
                    default: "https://127.0.0.1:\(server.port)"
                    }
                let two = try Two(mesh, target: target, tls: Self.ca(trusted))
                try mesh.start()
                try two.client.waitInstances(of: "echo", at: ["Server"])
                let (reason, part) =
                    switch fault {
                    case .otherCA: ("target_tls_failed", "(unknown_ca)")
                    case .otherName:
                        ("target_tls_failed", "dialled the host \"127.0.0.1\", but the certificate is for localhost")
                    case .expired: ("target_tls_failed", "(expired)")
                    case .plain: ("target_tls_failed", "(not_tls)")
                    case .nobody: ("target_refused", "ECONNREFUSED")
                    case .noClientCertificate: ("target_tls_failed", "no_shared_cipher")
                    }
                for (node, upstream) in [(two.client, two.upstream), (two.server, "\(two.server.host):8002")] {
                    let wire = try Wire(upstream)
                    try demandEqual(wire.receive(), .reset, "the application sees")
                    let failed = try node.waitFor("open_failed")
                    try demandEqual(failed["reason"], reason)
                }
                let told = try two.server.waitFor("target_failed")
                try demand(told["detail"]?.contains(part) == true, "the detail is \(told["detail"] ?? "none")")
            }
        }

        @Test func healthChecksShakeHands() throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let other = try mesh.serverCertificate("localhost")
                let server = try TLSServer(mesh, certificate: files)
                let check: JSONValue = ["kind": "tcp", "interval": "10s", "timeout": "10s", "failures": 1]
                let target = "https://127.0.0.1:\(server.port)"
                let two = try Two(mesh, target: target, tls: Self.ca(other), check: check)
                try mesh.start()
                let told = try two.server.waitFor("service_unhealthy")
                try demand(
                    told["detail"]?.contains("(unknown_ca)") == true, "the detail is \(told["detail"] ?? "none")")
                try Deadline.until("the directory knows") {
                    try two.client.instances(of: "echo") == ["Server": "critical"]
                }
                // With the right CA after a reload it is healthy, and carries.
                two.server.services = [Two.service(target, Self.ca(files), check)]
                try demandEqual(try two.server.reload().status, 200)
                try two.client.waitInstances(of: "echo", at: ["Server"])
                let wire = try Wire(two.upstream)
                try Self.ask(wire, "a\n", "a\n")
                // A reload that changes nothing leaves check and connections alone.
                let unhealthy = two.server.count("service_unhealthy")
                try demandEqual(try two.server.reload().status, 200)
                try Self.ask(wire, "b\n", "b\n")
                try demandEqual(two.server.count("service_unhealthy"), unhealthy, "times unhealthy")
                // A file that cannot be used: the reload is refused, everything stays.
                two.server.services = [Two.service(target, ["ca": .string(files.key)], check)]
                let refused = try two.server.reload()
                try demandEqual(refused.status, 422)
                try demand(refused.text.contains("service echo:"), refused.text)
                try Self.ask(wire, "c\n", "c\n")
            }
        }

        @Test(arguments: [("tls", TLSServer.Ending.cut), ("https", .cut), ("tls", .clean)])
        func anEndWithoutGoodbye(scheme: String, ending: TLSServer.Ending) throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files, ending: ending)
                let two = try Two(mesh, target: "\(scheme)://127.0.0.1:\(server.port)", tls: Self.ca(files))
                try mesh.start()
                try two.client.waitInstances(of: "echo", at: ["Server"])
                let wire = try Wire(two.upstream)
                try Self.ask(wire, "x\n", "x\n")
                wire.finishSending()
                // Without close_notify raw bytes may have been cut off, which a reset says (it may overtake what came
                // last); HTTP knows its own ends.
                if scheme == "tls", ending == .cut {
                    var last = wire.receive()
                    if case .bytes = last { last = wire.receive() }
                    try demandEqual(last, .reset)
                } else {
                    try demandEqual(try wire.receiveAll(), Array("bye".utf8))
                }
            }
        }
    }
}
