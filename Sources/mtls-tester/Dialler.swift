import EventLoop
import Glibc
import PKI
import TLS

/// Makes connections to the node under test.
struct Dialler {
    /// A connection that could not be made.
    struct Unreachable: Error {
        let text: String
        let hint: String?
    }

    let target: Target
    /// Where it is; the first address that took a connection.
    let address: SocketAddress
    /// Patience for each connection as a whole, in nanoseconds.
    let timeout: UInt64

    /// The application protocol of links: the handshake of a WebSocket is HTTP/1.1.
    static let applicationProtocol = "http/1.1"

    /// A client's TLS settings. The node's certificate is not judged here but noted (see `ServerStage`).
    static func context(
        credentials: Credentials? = nil, trust: TrustBundle? = nil, appended: [Certificate] = [],
        minimum: TLSVersion = .tls12, maximum: TLSVersion = .tls13, probe: TLSContext.Probe? = nil
    ) throws(TLSError) -> TLSContext {
        try TLSContext(
            TLSContext.Configuration(
                role: .client, credentials: credentials, trust: trust, peerCertificate: .none, minimumVersion: minimum,
                maximumVersion: maximum, alpn: [applicationProtocol], appendedCertificates: appended, probe: probe))
    }

    /// Connects; TLS begins with `Wire.handshake`.
    func dial(_ context: TLSContext) throws(Unreachable) -> Wire {
        let deadline = Clock.monotonicNanoseconds() + timeout
        let socket = try Self.connect(address, deadline: deadline)
        do throws(TLSError) {
            let session = try TLSSession(context: context, serverName: target.serverName, expecting: .anyIdentity)
            return Wire(socket, session: session, deadline: deadline)
        } catch {
            throw Unreachable(text: error.message, hint: error.hint)
        }
    }

    /// A TCP connection.
    static func connect(_ address: SocketAddress, deadline: UInt64) throws(Unreachable) -> FileDescriptor {
        let start: Socket.ConnectStart
        do throws(SystemError) {
            start = try Socket.connectStart(address)
        } catch {
            throw Unreachable(error)
        }
        switch consume start {
        case .connected(let socket): return socket
        case .inProgress(let socket):
            guard Wire.wait(socket.rawValue, Int16(POLLOUT), until: deadline) else {
                throw Unreachable(
                    text: "no connection to \(address) in time",
                    hint: "the host does not answer; check the address, the route and firewalls")
            }
            if let error = Socket.finishConnect(socket.rawValue, address) { throw Unreachable(error) }
            return socket
        case .queueFull: throw Unreachable(text: "the queue of \(address) is full", hint: nil)
        }
    }
}

extension Dialler.Unreachable {
    init(_ error: SystemError) { self.init(text: error.description, hint: error.hint) }
}
