import Foundation
import JSON
import TLS
import Testing

/// What is not read of a peer before its link is decided about.
extension EndToEnd.Overload {
    /// A node that was dialled sends without end, while whoever dialled waits for leave to say HELLO: the rest stays with the sender.
    /// Once the leave is there, the setup goes on, and what was sent is judged.
    @Test(.enabled(if: getuid() == 0)) func bytesBeforeHello() throws {
        try withMesh { mesh in
            let door = try ListeningSocket(host: "\(mesh.network).250")
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("links.handshakeTimeout", "300s")
                node.peers.append(["node": "Peer", "address": .string(door.address)])
            }
            try mesh.start()
            let wire = try door.accept()
            // The control plane gives that leave.
            let control = try HeldThread("control", of: try node.running())
            let tls = try LinkEnd.answer(LinkEnd.acceptor(mesh, as: "Peer"), on: wire)
            // The agent keeps 1 MiB, and the kernel some more at both ends.
            let most = 64 << 20
            let taken = try flood(wire, tls, atMost: most)
            try demand(taken > 1 << 20 && taken < most / 2, "\(taken) bytes were taken before HELLO")
            try control.release()
            let told = try node.waitFor("dial_failed") { $0["node"] == "Peer" }
            try demandEqual(told["reason"], "protocol_error")
        }
    }

    /// Sends zeros until nothing is taken for a second; gives how many bytes of ciphertext were.
    private func flood(_ wire: Wire, _ tls: TLSSession, atMost most: Int) throws -> Int {
        let piece = [UInt8](repeating: 0, count: 16 << 10)
        var taken = 0
        while taken < most {
            if case .failed(let error) = piece.withUnsafeBytes({ tls.write($0) }) { throw error }
            var bytes: [UInt8] = []
            while tls.pendingOutput > 0 {
                tls.withOutput { output in
                    bytes += Array(output)
                    return output.count
                }
            }
            while !bytes.isEmpty {
                let count = try? Deadline.wait("there is room", within: 3 * Deadline.slowness) { () -> Int? in
                    let count = wire.sendNow(bytes)
                    return count > 0 ? count : nil
                }
                guard let count else { return taken }
                bytes.removeFirst(count)
                taken += count
            }
        }
        return taken
    }
}
