import EventLoop
import Glibc
import JSON

/// A directory for what a front writes while it runs: CA certificates for development, which clients must be able to
/// read. It is made when it is needed and removed at the end.
final class FrontDirectory {
    /// Where it is or will be: in systemd's RUNTIME_DIRECTORY, else in TMPDIR or /tmp.
    let path: String
    private var isMade = false

    init() {
        let names: [String] = ["RUNTIME_DIRECTORY", "TMPDIR"]
        let places = names.compactMap { name in getenv(name).map { String(cString: $0) } }
        let number = UInt32.random(in: .min ... .max)
        path = "\(places.first { !$0.isEmpty } ?? "/tmp")/mesh-front-\(getpid())-\(String(number, radix: 16))"
    }

    /// Makes it where the configuration needs it. Fails where somebody has put something in its place.
    func prepare(for edge: Configuration.Edge) throws(SystemError) {
        guard !isMade, edge.listeners.contains(where: \.wantsDevelopmentCertificate) else { return }
        guard mkdir(path, 0o755) == 0 else { throw SystemError(call: "mkdir", subject: path, errno: errno) }
        chmod(path, 0o755)
        isMade = true
    }

    /// Removes it; what is in it was removed before.
    func remove() {
        if isMade { rmdir(path) }
        isMade = false
    }
}
