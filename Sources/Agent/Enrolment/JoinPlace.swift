import Enrolment
public import PKI

/// The file of roots to which joining adds those of the mesh, by `mesh join` or by the agent itself. Whoever goes by that file would
/// trust two meshes if it were another one's, and a CA whose root stands in it could not issue any more.
public struct JoinPlace: Sendable {
    /// The file whose first root is named where it is another mesh's.
    private let file: String
    private let roots: [Certificate]
    /// Whether the file is a CA's own, which has its key beside it.
    public let isAuthority: Bool
    /// Whether somebody asked for it all the same.
    private let isForced: Bool
    /// What to do where another CA's root is in the way.
    private let elsewhere: String
    /// How it is said that both roots are to be trusted.
    private let consent: String

    /// Reads the file of `mesh join`; nil where there is none.
    ///
    /// - Parameters:
    ///   - authorityKey: where the key lies if the file is a CA's own.
    ///   - isForced: another mesh's roots are no reason to refuse. That a CA is there still is.
    ///
    /// Errors: those of `TrustBundle.load`.
    public init?(_ file: String, authorityKey: String, isForced: Bool) throws(CertificateError) {
        guard SafeFile.exists(file) else { return nil }
        self.file = file
        roots = try TrustBundle.load(file: file).roots
        isAuthority = SafeFile.exists(authorityKey)
        self.isForced = isForced
        elsewhere = "choose another directory with --out"
        consent = "--force adds this CA's root to it, so that both are trusted"
    }

    /// Reads the files of an agent that joins by itself, all that it would trust; nil where none of those of the nodes that it
    /// dials is there yet. A root in any of them is one that somebody has put there to be trusted.
    ///
    /// Errors: those of `TrustBundle.load`.
    init?(_ configuration: Configuration, _ files: EnrolmentFiles) throws(CertificateError) {
        let present = ([files.trust] + configuration.trust.servers).filter(SafeFile.exists)
        guard let first = present.first else { return nil }
        file = first
        var roots: [Certificate] = []
        for file in present + configuration.trust.clients.filter(SafeFile.exists) {
            roots += try TrustBundle.load(file: file).roots
        }
        self.roots = roots
        // Beside it by the names that `mesh ca init` gives.
        isAuthority =
            file == files.trust && file.hasSuffix(".crt") && SafeFile.exists("\(file.dropLast(4)).key")
        isForced = false
        elsewhere = isAuthority ? "name another file in trust.ca" : "take it away, or out of trust.ca"
        consent = "with this CA's root in it both are trusted, as where a mesh has changed its root"
    }

    /// - Parameter trustDomain: that of the CA, once it has proven itself; nil where it was not asked yet.
    ///
    /// Errors: `other_mesh`.
    func check(_ token: JoinToken, trustDomain: String?) throws(EnrolmentError) {
        if roots.contains(where: { $0.fingerprintSHA256 == token.fingerprint }) { return }
        let untouched = "nothing was written, and the token is not used"
        guard !isAuthority else {
            throw EnrolmentError(
                .otherMesh, "\(file) is the root of another CA, whose key is beside it; \(untouched)", hint: elsewhere)
        }
        // Two meshes may have the same trust domain, so that it tells nothing; who was away while his mesh's root changed says so.
        guard !isForced else { return }
        let found = roots.first.map { $0.spiffeURIs.first.map(Self.domain) ?? $0.subject } ?? "nobody"
        throw EnrolmentError(
            .otherMesh,
            "\(file) has another root, of \(found), than \(trustDomain.map { "this CA of \($0)" } ?? "the token's CA"); "
                + untouched,
            hint: "\(elsewhere); \(consent)")
    }

    private static func domain(_ uri: String) -> String { String(uri.dropFirst("spiffe://".count)) }
}
