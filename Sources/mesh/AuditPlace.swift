import Agent
import Arguments
import Audit
import EventLoop
import Glibc
import HTTP
import JSON
import PKI

/// Where an audit log is, and by what it is checked: what the agent says, or what the command line names.
struct AuditPlace {
    /// The directory of the files.
    let directory: String
    /// The public half of the log's key; nil where none is known.
    let key: PublicKey?
    /// Seals that lie apart from the log.
    let seals: [AuditSeal]

    static let directoryArgument = PositionalSpec(
        "DIR", "The log's directory; else that of this host's agent.", .path, isOptional: true)
    /// The largest file that is read whole: the configuration's bound of a file's size, and a batch.
    private static let largestFile = (1 << 30) + (64 << 20)

    /// The log that a command line means.
    ///
    /// - Parameter isChecked: the command has `--key` and `--receipt`.
    init(_ context: CommandContext, isChecked: Bool) throws(CommandFailure) {
        var seals: [AuditSeal] = []
        let invocation = context.invocation
        let given = isChecked ? invocation.string("key") : nil
        let receipts = isChecked ? invocation.strings("receipt") : []
        let keyFile: String?
        if let place = invocation.positional("DIR") {
            directory = place
            let beside = Self.parent(of: place) + "/audit.key.pub"
            keyFile = given ?? (SafeFile.exists(beside) ? beside : nil)
            if let keyFile, keyFile.hasSuffix(".pub") {
                let file = keyFile.dropLast(4) + ".seal"
                if SafeFile.exists(String(file)) { seals.append(try Self.seal(String(file))) }
            }
        } else {
            let answer = try ControlClient(context).call(.get, "/v1/audit")
            guard answer["enabled"]?.bool == true, let place = answer["directory"]?.string else {
                throw CommandFailure(
                    .notFound, "no_audit_log", "the agent keeps no audit log", hint: "set audit.enabled, or name DIR")
            }
            directory = place
            keyFile = given ?? answer["publicKey"]?.string
            if let seal = answer["seal"], !seal.isNull { seals.append(try Self.read(seal, "the agent's seal")) }
        }
        for file in receipts { seals += try Self.receipts(file) }
        for node in isChecked ? invocation.strings("seals-from") : [] {
            seals += try Self.seals(keptBy: node, context)
        }
        key = try (isChecked ? keyFile : nil).map { (file) throws(CommandFailure) in try Self.key(file) }
        self.seals = seals
    }

    private static func key(_ file: String) throws(CommandFailure) -> PublicKey {
        do {
            return try AuditKey.read(pem: SafeFile.read(file))
        } catch let error as CertificateError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(
                .failure, "bad_key", "\(file): \(error)", hint: "give the file audit.key.pub that lies beside the key")
        }
    }

    /// Seals that the agent's node has left with another one.
    private static func seals(keptBy node: String, _ context: CommandContext) throws(CommandFailure) -> [AuditSeal] {
        let query = HTTPQuery.encode([("from", node)])
        let answer = try ControlClient(context).call(.get, "/v1/audit/seals?" + query)
        var seals: [AuditSeal] = []
        for kept in answer["seals"]?.array ?? [] {
            seals.append(try read(kept["seal"] ?? .null, "a seal that \(node) keeps"))
        }
        guard !seals.isEmpty else {
            throw CommandFailure(
                .notFound, "no_seals", "node \(node) keeps no seals of this one",
                hint: "name it in audit.sealPeers; it gets the first within audit.checkpointInterval")
        }
        return seals
    }

    /// The seals of a file, one a line, as `mesh audit seal` has printed them.
    private static func receipts(_ file: String) throws(CommandFailure) -> [AuditSeal] {
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.read(file)
        } catch {
            throw CommandFailure(error)
        }
        var seals: [AuditSeal] = []
        for line in bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            do {
                seals.append(try read(try JSONReader.parse(Array(line)), file))
            } catch let error as CommandFailure {
                throw error
            } catch {
                throw CommandFailure(
                    .failure, "bad_seal", "\(file): \(error)", hint: "give what mesh audit seal has printed")
            }
        }
        return seals
    }

    private static func seal(_ file: String) throws(CommandFailure) -> AuditSeal {
        let value: JSONValue
        do {
            value = try JSONReader.parse(SafeFile.read(file))
        } catch {
            throw CommandFailure(
                .failure, "bad_seal", "\(file): \(error)", hint: "give what mesh audit seal has printed")
        }
        return try read(value, file)
    }

    private static func read(_ value: JSONValue, _ what: String) throws(CommandFailure) -> AuditSeal {
        do throws(AuditError) {
            return try AuditSeal(json: value)
        } catch {
            throw CommandFailure(
                .failure, error.code.rawValue, "\(what): \(error.message)",
                hint: "give what mesh audit seal has printed")
        }
    }

    /// The names of the files, the oldest first. Where there are none and no seal knows of any, the directory is the wrong one: it must
    /// not pass for a log in which nothing is wrong.
    func files() throws(CommandFailure) -> [String] {
        let names: [String]
        do throws(SystemError) {
            names = try AuditDirectory.files(directory).map(\.name)
        } catch {
            guard error.errno != ENOENT, error.errno != ENOTDIR else {
                throw noLog("there is no directory \(directory)")
            }
            throw CommandFailure(
                .failure, "unreadable_directory", "\(error)",
                hint: "run as the agent's user; name the directory of its audit log")
        }
        guard !names.isEmpty || !seals.isEmpty else { throw noLog("\(directory) holds no file of an audit log") }
        return names
    }

    private func noLog(_ message: String) -> CommandFailure {
        CommandFailure(
            .notFound, "no_audit_log", message,
            hint:
                "name the directory with the files audit-NUMBER.log: audit.directory, else audit in node.stateDirectory"
        )
    }

    /// A whole file.
    func read(_ name: String) throws(CommandFailure) -> [UInt8] {
        do throws(CertificateError) {
            return try SafeFile.read(directory + "/" + name, limit: Self.largestFile)
        } catch {
            // A file that was begun and has nothing in it yet.
            if error.reason == .emptyFile { return [] }
            throw CommandFailure(error)
        }
    }

    /// What stands in a file from an offset on; nothing where the file is shorter.
    func read(_ name: String, from offset: Int) throws(CommandFailure) -> [UInt8] {
        if offset == 0 { return try read(name) }
        let path = directory + "/" + name
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw Self.unreadable(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = pread(descriptor, &part, part.count, off_t(offset + bytes.count))
            if count < 0 { throw Self.unreadable(path) }
            if count == 0 { return bytes }
            bytes += part[..<count]
        }
    }

    private static func unreadable(_ path: String) -> CommandFailure {
        CommandFailure(
            .failure, CertificateReason.unreadableFile.rawValue, "\(path): \(SystemError.text(errno))",
            hint: "run as the agent's user")
    }

    private static func parent(of path: String) -> String {
        let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }
}
