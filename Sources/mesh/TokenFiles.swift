import Arguments
import Glibc
import JOSE
import JSON
import PKI

/// The files that the commands about tokens and API keys read and write.
enum TokenFiles {
    /// Where the local issuer's key is unless told otherwise.
    static let issuer = "token-issuer.json"
    /// Where API keys are unless told otherwise.
    static let apiKeys = "apikeys.json"
    /// Where revocations are unless told otherwise.
    static let revocations = "revocations.json"

    /// Bytes that nobody can guess.
    static func random(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Whether a file exists, or is there and out of reach.
    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 || errno == EACCES }

    /// A token from a file, or from standard input for `-`: without blanks and line ends around it.
    static func token(_ path: String) throws(CommandFailure) -> String {
        let bytes = path == "-" ? try standardInput() : try contents(path, isSecret: false)
        let text = String(decoding: bytes, as: UTF8.self)
        let token = text.drop { $0.isWhitespace }.prefix { !$0.isWhitespace }
        guard !token.isEmpty else {
            throw CommandFailure(
                .failure, "empty_token", "\(path == "-" ? "standard input" : path) holds no token",
                hint: "give a file with the token, or - and the token on standard input")
        }
        return String(token)
    }

    /// A small file. Of a secret, nobody else may have access.
    static func contents(_ path: String, isSecret: Bool, make: String? = nil) throws(CommandFailure) -> [UInt8] {
        do throws(CertificateError) {
            return isSecret
                ? try SafeFile.readSecret(path, limit: RevocationList.sizeLimit, missing: make)
                : try SafeFile.read(path, limit: RevocationList.sizeLimit, missing: make)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Writes a file atomically.
    static func write(
        _ bytes: [UInt8], to path: String, mode: UInt32, replace: Bool = true
    ) throws(CommandFailure) {
        do throws(CertificateError) {
            try SafeFile.write(bytes, to: path, mode: mode, replace: replace)
        } catch {
            throw CommandFailure(.failure, error.code, "\(path): \(error.message)", hint: error.hint)
        }
    }

    /// The local issuer.
    static func issuer(_ path: String) throws(CommandFailure) -> TokenIssuer {
        let text = try contents(path, isSecret: true, make: "make an issuer: mesh token init --key \(path)")
        do throws(JOSEError) {
            return try TokenIssuer(reading: text)
        } catch {
            throw CommandFailure(error, file: path)
        }
    }

    /// Changes a file while no other `mesh` does: what two of them add is both there.
    static func update<Result>(
        _ path: String, _ body: () throws(CommandFailure) -> Result
    ) throws(CommandFailure) -> Result {
        let descriptor = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure(
                .failure, "unwritable_file", "cannot make \(path).lock: \(String(cString: strerror(errno)))",
                hint: "check the directory and its rights")
        }
        defer { close(descriptor) }
        while flock(descriptor, LOCK_EX) != 0 && errno == EINTR {}
        return try body()
    }

    /// All of standard input.
    static func standardInput() throws(CommandFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= 1 << 16 {
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += chunk.prefix(count)
        }
        throw CommandFailure(.failure, "too_large", "standard input is larger than any token", hint: "give one token")
    }
}

extension CommandFailure {
    /// A failure of the JOSE room.
    init(_ error: JOSEError, file: String? = nil) {
        let exit: ExitCode =
            switch error.reason {
            case .badValue, .missingAudience, .outOfRange, .badIssuerName: .usage
            case .unknownKeyID: .notFound
            case .libraryFailure: .failure
            default: .configuration
            }
        let place = file.map { "\($0): " } ?? ""
        self.init(exit, error.reason.rawValue, place + error.message, hint: error.hint, showsReason: exit != .usage)
    }
}

extension CommandContext {
    /// A flag's `NAME=VALUE` texts, those of one name together, in their order.
    func pairs(_ flag: String) throws(CommandFailure) -> [(name: String, values: [String])] {
        var pairs: [(name: String, values: [String])] = []
        for text in invocation.strings(flag) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw .usage("--\(flag) \(text) is not NAME=VALUE", hint: "for instance: --\(flag) groups=staff")
            }
            let name = String(parts[0])
            if let place = pairs.firstIndex(where: { $0.name == name }) {
                pairs[place].values.append(String(parts[1]))
            } else {
                pairs.append((name, [String(parts[1])]))
            }
        }
        return pairs
    }

    /// A duration in whole seconds.
    func seconds(_ flag: String) -> Int64? { invocation.duration(flag).map { $0.components.seconds } }
}
