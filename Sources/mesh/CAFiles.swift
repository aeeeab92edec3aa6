import EventLoop
import Glibc
import PKI

/// The files of a CA in its directory.
struct CAFiles {
    /// Certificate and key of one CA.
    struct Pair {
        let certificate: String
        let key: String
    }

    /// The directory.
    let directory: String

    /// The root.
    var root: Pair { Pair(certificate: directory + "/ca.crt", key: directory + "/ca.key") }

    /// The intermediate, where there is one.
    var intermediate: Pair {
        Pair(certificate: directory + "/intermediate.crt", key: directory + "/intermediate.key")
    }

    /// The list of operators, which every node gets beside the root's certificate.
    var operators: String { directory + "/operators.json" }

    /// The key of an operator.
    func operatorKey(_ name: String) -> String { "\(directory)/\(name).key" }

    /// What nodes cannot be called, since these are the CA's own files.
    static let reservedNames: Set<String> = ["ca", "intermediate", "operator"]

    /// The default directory.
    static let defaultDirectory = "certs"

    /// A directory as it was given, without slashes at its end.
    init(_ directory: String) {
        var directory = directory
        while directory.count > 1, directory.hasSuffix("/") { directory.removeLast() }
        self.directory = directory
    }

    /// Makes the directory and those above it.
    func prepare() throws(CommandFailure) {
        var path = directory.hasPrefix("/") ? "/" : ""
        for part in directory.split(separator: "/") {
            path += path.isEmpty || path.hasSuffix("/") ? "\(part)" : "/\(part)"
            guard mkdir(path, 0o755) != 0, errno != EEXIST else { continue }
            throw CommandFailure(
                .failure, "unwritable_file", "cannot make the directory \(path): \(SystemError.text(errno))",
                hint: "choose another directory with --out")
        }
    }

    /// Refuses to go on where one of these files exists, unless `replace`.
    static func refuseExisting(
        _ files: [String], replace: Bool,
        hint: String = "choose another directory with --out, or replace it for good with --force"
    ) throws(CommandFailure) {
        guard !replace, let file = files.first(where: { access($0, F_OK) == 0 }) else { return }
        throw CommandFailure(
            .failure, "file_exists", "\(file) exists already; nothing was written", hint: hint)
    }
}
