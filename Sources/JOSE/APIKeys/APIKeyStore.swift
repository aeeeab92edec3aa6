/// The API keys of a file. A value: `mesh apikey` changes and writes it, the edge reads it.
public struct APIKeyStore: Sendable {
    /// Reads the file's text.
    ///
    /// Errors: `malformed_file`, `unknown_version`, `too_many_entries`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        throw JOSEError(.malformedFile, "not written yet", hint: "")
    }
}
