import Arguments
import Documents
import Glibc
import PKI

/// By what a command believes mesh documents: the root certificates in a directory that its user holds, never what an agent says.
struct TrustAnchor {
    /// The directory: of the CA for what a root signs, of the operator's key for what an operator signs.
    let files: CAFiles
    /// The file of the roots.
    let file: String
    /// Its certificates.
    let roots: [Certificate]

    /// The root of a CA's directory.
    init(of files: CAFiles) throws(CommandFailure) {
        try self.init(
            files, file: files.root.certificate, hint: "say where the root's files are: --ca-dir DIR, --next DIR")
    }

    /// The root beside an operator's key, or that of `--ca`.
    init(operator context: CommandContext) throws(CommandFailure) {
        let key = context.invocation.string("key").map(Self.directory(of:))
        try self.init(key ?? CAFiles(CAFiles.defaultDirectory), context)
    }

    /// The anchor of a command that only shows something of a mesh: nil where no root's certificate is at hand, or only one that
    /// nobody has named and that is of another mesh.
    ///
    /// - Parameter key: the operator's key of the command line, for a command that has one.
    static func forShowing(
        _ context: CommandContext, key: String?, _ trustDomain: String
    ) throws(CommandFailure) -> TrustAnchor? {
        if let file = context.invocation.string("ca") { return try TrustAnchor(directory(of: file), context) }
        let files = key.map(directory(of:)) ?? CAFiles(CAFiles.defaultDirectory)
        guard SafeFile.exists(files.root.certificate) else { return nil }
        let anchor = try TrustAnchor(files, context)
        return anchor.speaking(for: trustDomain).isEmpty ? nil : anchor
    }

    private init(_ files: CAFiles, _ context: CommandContext) throws(CommandFailure) {
        try self.init(
            files, file: context.invocation.string("ca") ?? files.root.certificate,
            hint: "put the root's certificate (ca.crt) beside the operator's key, or name it: --ca FILE")
    }

    private init(_ files: CAFiles, file: String, hint: String) throws(CommandFailure) {
        guard SafeFile.exists(file) else {
            throw CommandFailure(
                .notFound, "no_root",
                "\(file) is not there, and without a root's certificate nothing that the agent shows can be verified",
                hint: hint)
        }
        self.files = files
        self.file = file
        do throws(CertificateError) {
            roots = try TrustBundle.load(file: file).roots
        } catch {
            throw CommandFailure(error)
        }
    }

    /// The files beside one.
    private static func directory(of file: String) -> CAFiles {
        let directory = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
        return CAFiles(directory.isEmpty ? "/" : directory)
    }

    /// The flag that names another file of roots.
    static let flag = FlagSpec(
        "ca", .path, placeholder: "FILE",
        "The root's certificate, by which what the agent shows is verified; default: ca.crt beside the key.")

    /// The roots that speak for a mesh: those of its trust domain, or those that name none.
    private func speaking(for trustDomain: String) -> [Certificate] {
        let own = roots.filter { $0.spiffeURIs == ["spiffe://\(trustDomain)"] }
        return own.isEmpty ? roots.filter(\.spiffeURIs.isEmpty) : own
    }

    /// A ledger without documents, with the roots that speak for a mesh.
    func ledger(_ trustDomain: String) throws(CommandFailure) -> DocumentLedger {
        let used = speaking(for: trustDomain)
        guard !used.isEmpty else {
            throw CommandFailure(
                .denied, DocumentError.Code.otherMesh.rawValue,
                "the agent says that it is of the mesh \(trustDomain), and \(file) holds no root of that mesh",
                hint:
                    "use the files of this mesh (--key FILE, --ca FILE, --ca-dir DIR), or another agent: --control SOCKET",
                showsReason: true)
        }
        return DocumentLedger(trustDomain: trustDomain, roots: used)
    }
}
