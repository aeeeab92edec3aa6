/// Tokens, subjects and API keys that no longer count. A value: `mesh token revoke` changes and writes it, the edge reads
/// it.
public struct RevocationList: Sendable {
    /// An empty list.
    public init() {}

    /// Reads the file's text.
    ///
    /// Errors: `malformed_file`, `unknown_version`, `too_many_entries`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        throw JOSEError(.malformedFile, "not written yet", hint: "")
    }
}
