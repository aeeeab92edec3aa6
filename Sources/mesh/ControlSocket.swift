import Arguments
import EventLoop
import Glibc
import JSON
import PKI

/// Where the agent's control socket is.
struct ControlSocket {
    /// Its path.
    let path: String
    /// Only ./mesh.json leads there, and nobody has named it: the agent has to run as root or this user.
    let demandsOwner: Bool

    /// The variable that stands for `--control`.
    static let variable = "MESH_CONTROL"
    /// The socket of an agent that was installed as a service.
    static let packaged = "/run/conduit-mesh/control.sock"
    /// The configuration that the working directory may have.
    private static let file = "mesh.json"

    /// Finds the socket for a command line: `--control` or `MESH_CONTROL`, else the first that exists of what
    /// ./mesh.json leads to and the packaged one.
    ///
    /// A directory can be somebody else's. A ./mesh.json that neither root nor this user has written is refused, and so is
    /// (`check(_:)`) a socket that it leads to behind which another user listens.
    static func find(_ context: CommandContext) throws(CommandFailure) -> ControlSocket {
        if let path = context.invocation.string("control") {
            return try check(
                path.hasPrefix("unix:") ? String(path.dropFirst(5)) : path, among: [], demandsOwner: false)
        }
        let candidates = [try configured(), packaged].compactMap { $0 }
        let found = candidates.first { exists($0) } ?? packaged
        return try check(found, among: candidates, demandsOwner: found != packaged)
    }

    /// The socket of the agent that ./mesh.json configures; nil without that file.
    private static func configured() throws(CommandFailure) -> String? {
        guard access(file, F_OK) == 0 else { return nil }
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.readOwn(file)
        } catch {
            if error.reason == .writableByOthers {
                throw CommandFailure(
                    .denied, error.code,
                    "./mesh.json could lead this command to somebody else's agent: \(error.message)",
                    hint:
                        "name the control socket yourself: --control SOCKET; or, if it is yours: chown, chmod go-w mesh.json",
                    showsReason: true)
            }
            throw CommandFailure(
                .configuration, "unreadable_file", "./mesh.json: \(error.message)",
                hint: "name the control socket yourself: --control SOCKET")
        }
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(bytes, dialect: .json5)
        } catch {
            throw CommandFailure(
                .configuration, error.code.rawValue, "./mesh.json:\(error)",
                hint: "mend it (mesh-agent --config mesh.json --check), or name the control socket: --control SOCKET")
        }
        return value["listen"]?["control"]?.string
            ?? (value["node"]?["stateDirectory"]?.string ?? "state") + "/control/control.sock"
    }

    /// Whether something is there, or cannot be looked at: then connecting says why.
    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 || errno == EACCES }

    private static func check(
        _ path: String, among tried: [String], demandsOwner: Bool
    ) throws(CommandFailure) -> ControlSocket {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == EACCES { throw denied(path) }
            let places = tried.isEmpty ? path : tried.joined(separator: " and ")
            throw CommandFailure(
                .unreachable, "agent_not_found", "no agent's control socket at \(places)",
                hint: "start the agent (mesh-agent --config mesh.json), or say where its socket is: --control SOCKET "
                    + "or \(variable)")
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            throw CommandFailure.usage(
                "\(path) is a directory, not a control socket",
                hint: "name the socket in it: --control \(path)/control/control.sock")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw CommandFailure.usage(
                "\(path) is not a socket", hint: "give the path that listen.control has in the agent's configuration")
        }
        guard path.utf8.count <= SocketAddress.maximumPathLength else {
            throw CommandFailure.usage(
                "the path of the control socket is longer than \(SocketAddress.maximumPathLength) bytes: \(path)",
                hint: "change to a directory nearer to it and give a relative path")
        }
        return ControlSocket(path: path, demandsOwner: demandsOwner)
    }

    /// Refuses a socket that nobody has named and behind which neither root nor this user listens, as the kernel says of the connection.
    func check(_ connected: Int32) throws(CommandFailure) {
        guard demandsOwner else { return }
        let owner: UInt32
        do throws(SystemError) {
            owner = try Socket.peerCredentials(connected).uid
        } catch {
            throw failure(error)
        }
        guard owner != 0, owner != geteuid() else { return }
        throw CommandFailure(
            .denied, "foreign_socket",
            "./mesh.json leads to \(path), where the user \(owner) listens, who is neither root nor this one",
            hint: "if that is the agent's user, name the socket yourself: --control \(ShellWord.quoted(path))",
            showsReason: true)
    }

    /// The system does not let this user at the socket.
    static func denied(_ path: String) -> CommandFailure {
        CommandFailure(
            .denied, "permission_denied", "this user may not open the control socket \(path)",
            hint: "run it as the user that runs the agent, or with sudo")
    }

    /// The failure to connect, in words.
    func failure(_ error: SystemError) -> CommandFailure {
        switch error.errno {
        case EACCES, EPERM: Self.denied(path)
        case ECONNREFUSED:
            CommandFailure(
                .unreachable, "agent_not_running", "no agent listens on \(path); it was stopped or killed",
                hint: "start it again: mesh-agent --config mesh.json")
        default:
            CommandFailure(
                .unreachable, error.code, "cannot reach the agent: \(error)",
                hint: "check the path of the control socket: --control SOCKET")
        }
    }
}
