import PKI
import Policy

/// Reads the policy that a configuration names.
enum PolicyLoading {
    /// The most bytes of a policy file.
    private static let maximumSize = 16 << 20
    /// What to do about a policy file that cannot be read.
    static let hint = "set policy.file to the policy's path"

    /// The policy of the file or of the configuration itself; without either the empty one, which denies everything.
    static func load(_ configuration: Configuration) throws -> PolicyDocument {
        if let file = configuration.policy.file {
            let bytes: [UInt8]
            do {
                bytes = try SafeFile.read(file, limit: maximumSize)
            } catch {
                throw StartFailure(exitCode: 78, lines: [error.description], hint: hint, of: error)
            }
            return try PolicyDocument.parse(bytes, file: file)
        }
        if let inline = configuration.policy.inline {
            return try PolicyDocument.parse(inline.text, file: inline.source)
        }
        return .empty
    }
}
