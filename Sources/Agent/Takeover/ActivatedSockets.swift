import EventLoop
import Glibc

/// Sockets that systemd opened for this process (sd_listen_fds(3)).
enum ActivatedSockets {
    /// The first descriptor that systemd passes.
    private static let first: Int32 = 3
    /// More than this is no socket unit of ours.
    private static let most = 1_024

    /// Takes the sockets over, with their names, and removes the variables, so that no program started from here takes them
    /// for its own. Sockets that were meant for another process are left alone.
    @ControlPlane
    static func take(into listeners: InheritedListeners) throws(StartFailure) {
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }
        guard let pid = variable("LISTEN_PID"), Int32(pid) == getpid(), let text = variable("LISTEN_FDS") else {
            return
        }
        guard let count = Int(text), (0...most).contains(count) else {
            throw failure(["LISTEN_FDS is \"\(text)\", which is not a number of sockets"])
        }
        let names = (variable("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        for index in 0..<count {
            let name = index < names.count ? String(names[index]) : ""
            try add(first + Int32(index), name, into: listeners)
        }
    }

    @ControlPlane
    private static func add(_ number: Int32, _ name: String, into listeners: InheritedListeners) throws(StartFailure) {
        let address = Socket.localAddress(number).map { "\($0)" } ?? "descriptor \(number)"
        guard Socket.isListening(number) else {
            throw failure(["systemd's socket \(name) (\(address)) is not a stream socket that listens"])
        }
        guard let kind = InheritedListeners.Kind(rawValue: name), kind != .takeover else {
            let known = InheritedListeners.Kind.allCases.filter { $0 != .takeover }.map(\.rawValue)
            let what =
                name.isEmpty || name == "unknown" ? "has no name" : "has the name \"\(name)\", which is not known"
            throw failure([
                "systemd's socket \(address) \(what)",
                "names are \(known.joined(separator: ", "))",
            ])
        }
        do throws(SystemError) {
            listeners.add(kind, try Socket.inherit(number).release(), isActivated: true)
        } catch {
            throw failure(["systemd's socket \(name): \(error)"])
        }
    }

    private static func failure(_ lines: [String]) -> StartFailure {
        StartFailure(
            exitCode: 78, lines: lines,
            hint: "give each socket unit ListenStream= and FileDescriptorName= (docs/upgrade.md)")
    }

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}
