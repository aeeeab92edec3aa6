import Audit
import EventLoop
import Glibc
import JSON

/// Sends security events to the host's syslog: a datagram each to its Unix socket, never waiting. What it does not take is
/// counted.
///
/// `<PRI>mesh-agent[PID]: EVENT {JSON}`: facility 10 (security, private), the severity of RFC 5424; the daemon adds time and host.
final class SyslogOutput: SecurityEventOutput {
    private static let facility = 10

    private let path: String
    private struct State {
        var descriptor: Int32 = -1
        var dropped: UInt64 = 0
    }

    private let state = Locked(State())

    init(path: String) { self.path = path }

    deinit { state.withLock { if $0.descriptor >= 0 { close($0.descriptor) } } }

    /// Events that it did not take.
    var dropped: UInt64 { state.withLock { $0.dropped } }

    func send(_ entry: AuditTrail.Entry) {
        let severity =
            switch entry.severity {
            case "error": 3
            case "warning": 4
            default: 6
            }
        let content: JSONValue = ["category": .string(entry.category.rawValue), "fields": .object(entry.fields)]
        let text = "<\(Self.facility * 8 + severity)>mesh-agent[\(getpid())]: \(entry.event) \(content.text())"
        let bytes = Array(text.utf8)
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        state.withLock { (state: inout State) in
            // A daemon that was restarted has another socket: once more.
            for _ in 0..<2 {
                if state.descriptor < 0 { state.descriptor = Self.connect(path) }
                guard state.descriptor >= 0 else { break }
                if Glibc.send(state.descriptor, bytes, bytes.count, flags) >= 0 { return }
                guard errno != EAGAIN, errno != EMSGSIZE else { break }
                close(state.descriptor)
                state.descriptor = -1
            }
            state.dropped += 1
        }
    }

    private static func connect(_ path: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return -1 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return -1 }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            close(descriptor)
            return -1
        }
        return descriptor
    }
}
