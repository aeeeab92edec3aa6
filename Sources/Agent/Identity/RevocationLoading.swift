import PKI

extension RevocationLists {
    /// Reads the CRLs that a configuration names; nil where it names none.
    ///
    /// - Parameter areWanted: there are to be some, though none may have been fetched yet.
    static func load(
        _ files: [String], _ mode: Configuration.RevocationMode, areWanted: Bool = false
    ) throws(CertificateError) -> RevocationLists? {
        guard !files.isEmpty || areWanted else { return nil }
        var lists: [CertificateRevocationList] = []
        for file in files { lists += try CertificateRevocationList.load(file: file) }
        return RevocationLists(lists, mode: mode == .soft ? .soft : .hard)
    }
}
