import PKI

extension RevocationLists {
    /// Reads the CRLs that a configuration names; nil where it names none.
    static func load(_ files: [String], _ mode: Configuration.RevocationMode) throws(CertificateError)
        -> RevocationLists?
    {
        guard !files.isEmpty else { return nil }
        var lists: [CertificateRevocationList] = []
        for file in files { lists += try CertificateRevocationList.load(file: file) }
        return RevocationLists(lists, mode: mode == .soft ? .soft : .hard)
    }
}
