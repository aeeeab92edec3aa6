import EventLoop
import Glibc

/// Directories that the agent keeps its own files in.
enum StateDirectory {
    /// Makes the directory with mode 0700, whatever the umask, and refuses one that somebody else may change.
    static func prepare(_ path: String) throws(StartFailure) {
        if !path.isEmpty, path != "/", path != "." {
            let parent = parent(of: path)
            if access(parent, F_OK) != 0 { try prepare(parent) }
        }
        if mkdir(path, 0o700) == 0 {
            chmod(path, 0o700)
            return
        }
        guard errno == EEXIST else {
            throw StartFailure(
                exitCode: 1, lines: ["cannot make the directory \(path): \(SystemError.text(errno))"],
                hint: "set node.stateDirectory to a place that this user may write to")
        }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw StartFailure(exitCode: 1, lines: ["\(path) is no directory"], hint: "move it away")
        }
        guard status.st_mode & 0o022 == 0, status.st_uid == geteuid() || status.st_uid == 0 else {
            throw StartFailure(
                exitCode: 1, lines: ["the directory \(path) can be changed by other users"],
                hint: "run: chmod 700 \(path), and see that this user owns it")
        }
    }

    /// The directory that a path lies in.
    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
