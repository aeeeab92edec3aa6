public import Enrolment
import JSON
public import PKI

/// The files of an identity that the mesh's CA issued: certificate, key, roots, and where the CA is.
public struct EnrolmentFiles: Sendable {
    /// Certificate and key.
    public let pair: CredentialFiles
    /// The roots that the node trusts.
    public let trust: String

    /// Names the files.
    public init(pair: CredentialFiles, trust: String) {
        self.pair = pair
        self.trust = trust
    }

    /// Those of a configuration; nil where it names no PEM files.
    init?(_ configuration: Configuration) {
        guard let certificate = configuration.identity.certificate, let key = configuration.identity.key,
            let trust = configuration.trust.servers.first ?? configuration.trust.clients.first
        else { return nil }
        self.init(pair: CredentialFiles(certificate: certificate, key: key), trust: trust)
    }

    /// Where the agent remembers at which CA the node has joined: beside the certificate.
    public var memory: String { pair.certificate + ".ca.json" }

    /// The address of the CA at which the node has joined; nil where it has not.
    var rememberedAddress: String? {
        guard let bytes = try? SafeFile.read(memory), let value = try? JSONReader.parse(bytes) else { return nil }
        return value["address"]?.string
    }

    /// Writes everything, the certificate last: while there is none, nothing has happened. Roots that are trusted already stay.
    ///
    /// Errors: `unwritable_file`; those of `TrustBundle.load` for a file of roots that is there and cannot be read.
    public func write(
        _ credentials: Credentials, _ issued: IssuedIdentity, address: String
    ) throws(CertificateError) {
        let known = SafeFile.exists(trust) ? try TrustBundle.load(file: trust) : nil
        let roots = known?.merging(issued.trust) ?? issued.trust
        if roots != known { try SafeFile.write(Array(roots.roots.map(\.pem).joined().utf8), to: trust, mode: 0o644) }
        let memory: JSONValue = ["address": .string(address), "trustDomain": .string(issued.trustDomain)]
        try SafeFile.write(memory.serialized(), to: self.memory, mode: 0o644)
        try pair.replace(by: credentials)
    }
}
