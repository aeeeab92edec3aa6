import Bytes
import Foundation
import PKI
import TLS
import WebSocket

/// A node that a test plays itself, and that others dial: it goes along as far as HELLO, and leaves that unanswered.
final class MutePeer: @unchecked Sendable {
    private let lock = NSLock()
    private var greeted: [Wire] = []
    private let context: TLSContext
    private(set) var service: ThreadedService!

    var address: String { service.address }

    /// How often it was dialled.
    var dials: Int { service.count }

    /// - Parameter name: the node that it is, by a certificate of the mesh's CA.
    init(_ mesh: TestMesh, as name: String) throws {
        let credentials = try mesh.authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)))
        context = try TLSContext(
            TLSContext.Configuration(
                role: .server, credentials: credentials, trust: TrustBundle(roots: [mesh.authority.root]),
                alpn: ["http/1.1"]))
        service = try mesh.service { [weak self] wire in try self?.serve(wire) }
    }

    /// Waits until somebody has said HELLO.
    func waitForHello() throws {
        try Deadline.until("somebody says HELLO") { lock.withLock { !greeted.isEmpty } }
    }

    /// Ends the connections on which HELLO was said.
    func hangUp() { for wire in lock.withLock({ greeted }) { wire.stop() } }

    private func serve(_ wire: Wire) throws {
        let tls = try TLSSession(context: context, expecting: .anyIdentity)
        var plain = ByteQueue()
        try LinkEnd.shakeHands(tls, wire, &plain)
        let end = Array("\r\n\r\n".utf8)
        while plain.copyBytes().firstRange(of: end) == nil { try LinkEnd.receive(tls, wire, into: &plain) }
        let head = String(decoding: plain.copyBytes(), as: UTF8.self)
        let request = try Handshake.checkRequest(
            method: "GET", headers: { WireReader.field($0, head).map { [$0] } ?? [] },
            protocols: ["conduit.link.v1"], protocolRequired: true
        ).get()
        plain = ByteQueue()
        try LinkEnd.send(try Handshake.response(to: request), tls, wire)
        while plain.isEmpty { try LinkEnd.receive(tls, wire, into: &plain) }
        lock.withLock { greeted.append(wire) }
        while case .bytes = wire.receive() {}
    }
}
