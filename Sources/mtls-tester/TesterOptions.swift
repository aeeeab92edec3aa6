import Arguments

/// What the command line asks for.
struct TesterOptions {
    /// What is expected of the policy.
    enum Expectation: String {
        /// Whatever it decides is information.
        case either
        /// Link and lookup must be allowed.
        case allowed
        /// The link must be denied.
        case denied
    }

    let target: Target
    let node: String?
    let caFile: String
    let certificateFile: String?
    let keyFile: String?
    let pfxFile: String?
    let passphraseFile: String?
    let caKeyFile: String?
    let caPassphraseFile: String?
    let allowsLegacyCertificates: Bool
    let expectation: Expectation
    /// For each connection, in nanoseconds.
    let timeout: UInt64
    let isJSON: Bool
    let isVerbose: Bool

    /// What is wrong with flags that are fine one by one.
    struct Wrong: Error {
        let what: String
        let hint: String
    }

    init(_ invocation: Invocation) throws(Wrong) {
        do throws(Target.Malformed) {
            target = try Target(parsing: invocation.positional("URL") ?? "")
        } catch {
            throw Wrong(what: error.what, hint: error.hint)
        }
        node = invocation.string("node")
        caFile = invocation.string("ca") ?? ""
        certificateFile = invocation.string("cert")
        keyFile = invocation.string("key")
        pfxFile = invocation.string("pfx")
        passphraseFile = invocation.string("passphrase-file")
        caKeyFile = invocation.string("ca-key")
        caPassphraseFile = invocation.string("ca-passphrase-file")
        allowsLegacyCertificates = invocation.isOn("legacy-certificates")
        expectation = invocation.string("expect").flatMap(Expectation.init(rawValue:)) ?? .either
        isJSON = invocation.isOn("json")
        isVerbose = invocation.isOn("verbose")
        let parts = (invocation.duration("timeout") ?? .seconds(5)).components
        let nanoseconds = parts.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        timeout =
            nanoseconds.overflow ? 0 : UInt64(clamping: nanoseconds.partialValue + parts.attoseconds / 1_000_000_000)
        guard (1_000_000...600_000_000_000).contains(timeout) else {
            throw Wrong(what: "--timeout must lie between 1ms and 10m", hint: "try --timeout 5s")
        }
        if (certificateFile == nil) != (keyFile == nil) {
            let (given, missing) = certificateFile == nil ? ("key", "cert") : ("cert", "key")
            throw Wrong(what: "--\(given) needs --\(missing)", hint: "give both, or --pfx FILE, which holds both")
        }
        if passphraseFile != nil, pfxFile == nil, keyFile == nil {
            throw Wrong(
                what: "--passphrase-file belongs to --key or --pfx", hint: "for the CA's key: --ca-passphrase-file")
        }
        if caPassphraseFile != nil, caKeyFile == nil {
            throw Wrong(what: "--ca-passphrase-file belongs to --ca-key", hint: "give --ca-key FILE as well")
        }
        if expectation != .either, certificateFile == nil, pfxFile == nil {
            throw Wrong(
                what: "--expect needs a certificate to link with", hint: "give --cert and --key, or --pfx")
        }
    }
}
