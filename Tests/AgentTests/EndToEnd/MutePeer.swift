import Bytes
import Foundation
import TLS

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
        context = try LinkEnd.acceptor(mesh, as: name)
        service = try mesh.service { [weak self] wire in try self?.serve(wire) }
    }

    /// Waits until somebody has said HELLO.
    func waitForHello() throws {
        try Deadline.until("somebody says HELLO") { lock.withLock { !greeted.isEmpty } }
    }

    /// Ends the connections on which HELLO was said.
    func hangUp() { for wire in lock.withLock({ greeted }) { wire.stop() } }

    private func serve(_ wire: Wire) throws {
        let tls = try LinkEnd.answer(context, on: wire)
        var plain = ByteQueue()
        while plain.isEmpty { try LinkEnd.receive(tls, wire, into: &plain) }
        lock.withLock { greeted.append(wire) }
        while case .bytes = wire.receive() {}
    }
}
