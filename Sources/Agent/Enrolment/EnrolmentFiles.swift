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

    /// The same, able to read and write a key that is encrypted as the configuration says.
    ///
    /// Errors: those of `PassphraseSource.load`.
    static func opened(_ configuration: Configuration) throws(CertificateError) -> EnrolmentFiles? {
        guard let files = EnrolmentFiles(configuration) else { return nil }
        let passphrase = try configuration.identity.passphrase.load()
        return EnrolmentFiles(
            pair: CredentialFiles(
                certificate: files.pair.certificate, key: files.pair.key, passphrase: passphrase), trust: files.trust)
    }

    /// Where the agent remembers at which CA the node has joined: beside the certificate.
    public var memory: String { pair.certificate + ".ca.json" }

    /// What the mesh goes by, as the CA gave it with the first certificate, until the agent has taken it: beside the
    /// certificate.
    public var documents: String { pair.certificate + ".documents.json" }

    /// The address of the CA at which the node has joined; nil where it has not.
    var rememberedAddress: String? { remembered["address"]?.string }

    /// Whether the certificate that is here, or one of before that was renewed since, came by this token: then it is used up.
    func cameBy(_ token: JoinToken) -> Bool { remembered["token"]?.string == token.key.id }

    private var remembered: JSONValue {
        guard let bytes = try? SafeFile.read(memory), let value = try? JSONReader.parse(bytes) else { return .null }
        return value
    }

    /// Writes everything, the certificate last: while there is none, nothing has happened. Roots that are trusted already stay.
    ///
    /// - Parameters:
    ///   - address: where the CA is.
    ///   - token: the token by which they came, which is remembered as used up.
    ///   - addsRoots: false for a file of roots that is a CA's own, which could not issue with others in it.
    ///
    /// Errors: `unwritable_file`; those of `TrustBundle.load` for a file of roots that is there and cannot be read.
    public func write(
        _ credentials: Credentials, _ issued: IssuedIdentity, address: String, token: JoinToken? = nil,
        addsRoots: Bool = true
    ) throws(CertificateError) {
        if addsRoots { _ = try addRoots(of: issued.trust) }
        if !issued.documents.isEmpty {
            try SafeFile.write(JSONValue.array(issued.documents).serialized(), to: documents, mode: 0o600)
        }
        var memory: JSONObject = ["address": .string(address), "trustDomain": .string(issued.trustDomain)]
        try SafeFile.write(JSONValue.object(memory).serialized(), to: self.memory, mode: 0o644)
        try pair.replace(by: credentials)
        // Last: as long as the pair is not here, the CA takes the token again from the same key. Where it cannot be written, the CA says
        // once more that the token was used.
        guard let token else { return }
        memory["token"] = .string(token.key.id)
        try? SafeFile.write(JSONValue.object(memory).serialized(), to: self.memory, mode: 0o644)
    }

    /// Writes what a renewal brought: the roots of the trust domain that are new, then the pair. Roots are only added: taking
    /// one away is an operator's decision.
    ///
    /// - Returns: the roots that were added.
    ///
    /// Errors: those of `write`.
    func renew(by credentials: Credentials, _ issued: IssuedIdentity) throws(CertificateError) -> [Certificate] {
        // A CA vouches for its own domain; partners' roots are not its business.
        let own = issued.trust.roots.filter {
            $0.spiffeURIs.isEmpty || $0.spiffeURIs == ["spiffe://\(issued.trustDomain)"]
        }
        let added = try own.isEmpty ? [] : addRoots(of: TrustBundle(roots: own))
        try pair.replace(by: credentials)
        return added
    }

    private func addRoots(of bundle: TrustBundle) throws(CertificateError) -> [Certificate] {
        let known = SafeFile.exists(trust) ? try TrustBundle.load(file: trust) : nil
        let roots = known?.merging(bundle) ?? bundle
        guard roots != known else { return [] }
        try SafeFile.write(Array(roots.roots.map(\.pem).joined().utf8), to: trust, mode: 0o644)
        return roots.roots.filter { known?.roots.contains($0) != true }
    }
}
