import PKI
import TLS

/// Handshakes of our TLS room: a client and a server with a wire of memory between them.
struct HandshakePair {
    private let client: TLSContext
    private let server: TLSContext
    private let wire = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)

    /// Contexts as links have them.
    init(root: Certificate, client: Credentials, server: Credentials, acceleration: Bool) throws {
        let trust = try TrustBundle(roots: [root])
        self.client = try TLSContext(
            TLSContext.Configuration(
                role: .client, credentials: client, trust: trust, trustDomains: ["bench.mesh"],
                acceleration: acceleration))
        self.server = try TLSContext(
            TLSContext.Configuration(
                role: .server, credentials: server, trust: trust, trustDomains: ["bench.mesh"],
                acceleration: acceleration))
    }

    /// One full handshake, each end checking the other's identity. Adds the thread's CPU time of each end, in nanoseconds.
    func handshake(client clientTime: inout UInt64, server serverTime: inout UInt64) throws {
        var start = Clock.thread
        var client: TLSSession? = try TLSSession(context: self.client, expecting: .node("B"))
        var middle = Clock.thread
        var server: TLSSession? = try TLSSession(context: self.server, expecting: .node("A"))
        var end = Clock.thread
        clientTime += middle - start
        serverTime += end - middle
        var connected = false
        var toServer = 0
        var toClient = 0
        for _ in 0..<8 where !connected {
            start = Clock.thread
            let isClientDone = step(client, toClient)
            toServer = take(client)
            middle = Clock.thread
            let isServerDone = step(server, toServer)
            toClient = take(server)
            end = Clock.thread
            clientTime += middle - start
            serverTime += end - middle
            connected = isClientDone && isServerDone
        }
        require(
            connected && server?.peerIdentity?.nodeName == "A" && client?.peerIdentity?.nodeName == "B", "no handshake")
        start = Clock.thread
        client = nil
        middle = Clock.thread
        server = nil
        end = Clock.thread
        clientTime += middle - start
        serverTime += end - middle
    }

    /// Gives a session what lies on the wire and goes on; whether its handshake is complete.
    private func step(_ session: TLSSession?, _ count: Int) -> Bool {
        guard let session else { return false }
        if session.isConnected { return true }
        session.setInput(UnsafeRawBufferPointer(rebasing: wire[..<count]))
        switch session.handshake() {
        case .complete: return true
        case .wantsInput: return false
        case .failed(let error): Output.fail("the handshake failed: \(error)")
        }
    }

    /// Puts a session's output on the wire.
    private func take(_ session: TLSSession?) -> Int {
        var count = 0
        session?.withOutput { output in
            wire.copyMemory(from: output)
            count = output.count
            return count
        }
        return count
    }
}
