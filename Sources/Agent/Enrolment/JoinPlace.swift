import Enrolment
public import PKI

/// The file of roots to which `mesh join` adds those of its mesh. Whoever goes by that file would trust two meshes if it were another
/// one's, and a CA whose root stands in it could not issue any more.
public struct JoinPlace: Sendable {
    private let file: String
    private let roots: [Certificate]
    /// Whether the file is a CA's own, which has its key beside it.
    public let isAuthority: Bool
    /// Whether somebody asked for it all the same.
    private let isForced: Bool

    /// Reads the file; nil where there is none.
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
    }

    /// - Parameter trustDomain: that of the CA, which has proven itself.
    ///
    /// Errors: `other_mesh`.
    func check(_ token: JoinToken, trustDomain: String?) throws(EnrolmentError) {
        if roots.contains(where: { $0.fingerprintSHA256 == token.fingerprint }) { return }
        let elsewhere = "choose another directory with --out"
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
            "\(file) has another root, of \(found), than this CA of \(trustDomain ?? "an unknown mesh"); \(untouched)",
            hint: "\(elsewhere); --force adds this CA's root to it, so that both are trusted")
    }

    private static func domain(_ uri: String) -> String { String(uri.dropFirst("spiffe://".count)) }
}
