import EventLoop
import PKI

extension Certificate {
    /// Whether a server will take it from a client at `now` (unix seconds): its validity and what it may be used for.
    ///
    /// Errors: `not_yet_valid`, `expired`, `wrong_usage`, with the file.
    func checkUse(asClientAt now: Int64, file: String) throws(CertificateError) {
        guard now >= notBefore, now < notAfter else {
            let (start, end) = (notBefore * 1000, notAfter * 1000)
            throw CertificateError(
                now < notBefore ? .notYetValid : .expired,
                "\(subject) is valid from \(Timestamp.rfc3339(milliseconds: start)) to "
                    + Timestamp.rfc3339(milliseconds: end),
                hint: "put a new one in its place", file: file)
        }
        if let usages = extendedKeyUsage, !usages.contains(.clientAuth), !usages.contains(.any) {
            throw CertificateError(
                .wrongUsage,
                "\(subject) may be used for \(usages.map(\.description).joined(separator: ", ")), not by a client",
                hint: "make one for clientAuth", file: file)
        }
    }
}
