import Foundation
import JSON
import PKI
import Testing

/// What becomes of connections to targets while what is asked of the targets' certificates changes.
extension EndToEnd.TargetVerification {
    private func pin(_ files: DevelopmentCertificate.Files) throws -> String {
        CertificatePin(of: try Certificate.load(file: files.certificate)[0].publicKey).description
    }

    private func otherPin() throws -> String { CertificatePin(of: try PrivateKey.generate().publicKey).description }

    /// Pins that the target's certificate does not match end the connections that are there, all of them. Pins that it matches, that
    /// are only reported, or that are gone end none.
    @Test func pinsThatChange() throws {
        try withMesh { mesh in
            let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
            let server = try TLSServer(mesh, certificate: files)
            let (good, wrong) = (JSONValue.string(try pin(files)), JSONValue.string(try otherPin()))
            let one = try One(mesh, at: "127.0.0.1:\(server.port)", ca: files.authority, tls: ["pins": [good]])
            let wires = try (0..<3).map { _ in try one.live() }
            let harmless: [JSONObject] = [["pins": [good, wrong]], ["pins": [wrong], "pinMode": "report"], [:]]
            for tls in harmless {
                try one.reload(tls)
                for wire in wires { try wire.echo("goes on") }
            }
            try demandEqual(one.node.count("target_withdrawn"), 0)
            try one.reload(["pins": [wrong]])
            for wire in wires { try one.demandEnded(wire, "pin_mismatch") }
            try demandEqual(try one.checks("live", "pin_mismatch"), 3)
            try Deadline.until("each is told of, once for each worker") {
                let told = one.node.records.filter { $0.event == "target_withdrawn" }
                return told.reduce(0) { $0 + ($1.value["connections"]?.integer ?? 0) } == 3
            }
            try one.refuses("pin_mismatch")
            try one.reload(["pins": [good]])
            try one.live().echo("as before")
        }
    }

    /// Pins that change while hands are shaken count like those that change afterwards: the connection began under others, and is not
    /// used.
    @Test func pinsThatChangeDuringAHandshake() throws {
        try withMesh { mesh in
            let files = try mesh.serverCertificate("localhost", ip: ["\(mesh.network).250"])
            let server = try TLSServer(mesh, certificate: files)
            let (dialled, changed) = (Counter(), Counter())
            // Stands in between, and holds what the two say to each other.
            let relay = try mesh.service { [port = server.port] client in
                let target = try Wire("127.0.0.1:\(port)")
                dialled.add(1)
                try Deadline.until("the pins have changed") { changed.value == 1 }
                let back = Background { try Self.copy(target, client) }
                try Self.copy(client, target)
                try back.value()
            }
            let one = try One(
                mesh, at: relay.address, ca: files.authority, tls: ["pins": [.string(try pin(files))]])
            let wire = try Wire(one.upstream)
            try Deadline.until("the target is dialled") { dialled.value == 1 }
            try one.reload(["pins": [.string(try otherPin())]])
            try one.node.settle()
            changed.add(1)
            try one.demandEnded(wire, "pin_mismatch")
            try demandEqual(try one.checks("live", "pin_mismatch"), 1)
            try demandEqual(try one.checks("certificate", "ok"), 1, "by the pins of before it was good")
        }
    }

    private static func copy(_ from: Wire, _ to: Wire) throws {
        while case .bytes(let bytes) = from.receive() { try to.send(bytes) }
        to.finishSending()
    }

    /// A CA that does not count any more ends the connections to targets that it vouches for; one that comes beside it, and a file that
    /// is none, end nothing. Nobody has to reload for it.
    @Test func casThatChange() throws {
        try withMesh { mesh in
            let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
            let other = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
            let server = try TLSServer(mesh, certificate: files)
            let file = mesh.directory + "/target-ca.crt"
            func write(_ text: String) throws { try text.write(toFile: file, atomically: true, encoding: .utf8) }
            let (own, foreign) = try (
                String(contentsOfFile: files.authority, encoding: .utf8),
                String(contentsOfFile: other.authority, encoding: .utf8)
            )
            try write(own)
            let one = try One(mesh, at: "127.0.0.1:\(server.port)", ca: file, tls: [:])
            let wire = try one.live()
            try write(foreign + own)
            try one.node.waitFor("target_certificates_applied")
            try wire.echo("beside it")
            try write("no certificate\n")
            try one.node.waitFor("target_certificates_refused")
            try wire.echo("none")
            try demandEqual(one.node.count("target_withdrawn"), 0)
            try write(foreign)
            try one.demandEnded(wire, "unknown_ca")
            try demandEqual(try one.checks("live", "unknown_ca"), 1)
            try one.refuses("unknown_ca")
        }
    }
}
