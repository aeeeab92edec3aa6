import EventLoop
import Glibc

/// Tells systemd how the service is doing (sd_notify(3)), where it asks for that.
enum Systemd {
    /// Asked for at a time, in microseconds: several times what lies between two calls of `extendStop`.
    private static let stopExtension = 30_000_000
    /// So often it is asked for, in nanoseconds.
    private static let extensionInterval: UInt64 = 5_000_000_000
    @ControlPlane private static var extendedAt: UInt64 = 0

    /// The end takes longer: asks that the time after which the service would be killed (`TimeoutStopSec`) be extended. To be
    /// called again and again while it goes on; tells systemd once in a while.
    @ControlPlane
    static func extendStop() {
        let now = Clock.monotonicNanoseconds()
        guard extendedAt == 0 || now - extendedAt >= extensionInterval else { return }
        extendedAt = now
        notify("EXTEND_TIMEOUT_USEC=\(stopExtension)")
    }

    /// Sends `state` to the socket that `NOTIFY_SOCKET` names; does nothing without one.
    static func notify(_ state: String) {
        guard let name = getenv("NOTIFY_SOCKET") else { return }
        let path = String(cString: name)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        var bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count < capacity else { return }
        let isAbstract = bytes[0] == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1))
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let message = Array(state.utf8)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL), target, length)
            }
        }
    }
}
