import EventLoop
import PKI
import TLS

/// Shows the node a certificate and finds out how it takes it.
struct Probe {
    let dialler: Dialler

    /// Handshake, then the upgrade that a peer would ask for: only its answer proves that the certificate was accepted.
    func show(_ credentials: Credentials?, appended: [Certificate] = [], weak: Bool = false) -> PeerAnswer {
        let context: TLSContext
        do throws(TLSError) {
            // With a probe's rules OpenSSL also takes keys that are too weak for the mesh.
            context = try Dialler.context(
                credentials: credentials, appended: appended,
                probe: weak ? TLSContext.Probe(cipherList: "ECDHE+AESGCM:@SECLEVEL=0") : nil)
        } catch {
            return .broken(error)
        }
        do throws(Dialler.Unreachable) {
            return answer(try dialler.dial(context))
        } catch {
            return .unreachable(error)
        }
    }

    private func answer(_ wire: Wire) -> PeerAnswer {
        defer { wire.close() }
        switch wire.handshake() {
        case .failed(let error): return PeerAnswer(error, wire)
        case .timedOut: return .silent
        case .complete: break
        }
        let socket = WebSocketClient(wire)
        return socket.upgrade(
            host: dialler.target.endpoint.description, path: dialler.target.path,
            protocols: [WebSocketClient.linkProtocol], isProbe: true
        ).answer
    }
}
