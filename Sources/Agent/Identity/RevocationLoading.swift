import PKI

extension RevocationLists {
    /// Reads the CRLs of files.
    ///
    /// Errors: those of `CertificateRevocationList.load`.
    static func read(_ files: [String]) throws(CertificateError) -> [CertificateRevocationList] {
        var lists: [CertificateRevocationList] = []
        for file in files { lists += try CertificateRevocationList.load(file: file) }
        return lists
    }

    /// Reads the CRLs of files that may have changed while the agent runs. One that could only do harm leaves those before in force: of
    /// a CA of `issuers` and not signed by it, or of the future.
    ///
    /// Errors: those of `CertificateRevocationList.load`; `bad_signature`, `not_yet_valid`, with the file.
    static func readChanged(
        _ files: [String], issuers: [Certificate], now: Int64
    ) throws(CertificateError) -> [CertificateRevocationList] {
        var lists: [CertificateRevocationList] = []
        for file in files {
            let read = try CertificateRevocationList.load(file: file)
            for list in read {
                let claimed = issuers.filter { list.claims(issuer: $0) }
                // What is known of nobody here says nothing of anybody.
                guard !claimed.isEmpty else { continue }
                do throws(CertificateError) {
                    _ = try RevocationListSuccession.judge(list, after: nil, issuers: claimed, now: now)
                } catch {
                    throw error.inFile(file)
                }
            }
            lists += read
        }
        return lists
    }

    /// Lists, and what the configuration says of those that are missing.
    init(_ lists: [CertificateRevocationList], _ mode: Configuration.RevocationMode) {
        self.init(lists, mode: mode == .soft ? .soft : .hard)
    }
}
