/// Whether a list that came from somewhere may take the place of the one that is known. Pure: times are parameters.
public enum RevocationListSuccession: String, Sendable {
    /// It is the first, or made later than the known one.
    case newer
    /// It is the one that is known.
    case unchanged
    /// It was made before the known one: played again it would take a revocation back.
    case older

    /// Judges `list` at `now`, unix seconds.
    ///
    /// - Parameters:
    ///   - known: the list that was taken from the same place before; nil where there was none.
    ///   - issuers: the CAs whose lists count.
    ///
    /// Errors: `unknown_ca`, `bad_signature`, `not_yet_valid`; `wrong_name` for a list of another CA than that of the known
    /// one, as long as that CA counts: it would leave that one without a list.
    public static func judge(
        _ list: CertificateRevocationList, after known: CertificateRevocationList?, issuers: [Certificate], now: Int64
    ) throws(CertificateError) -> RevocationListSuccession {
        let named = issuers.filter { list.names(asIssuer: $0) }
        guard !named.isEmpty else {
            throw CertificateError(
                .unknownCA, "the list is of \(list.issuer), which is no CA of the mesh", hint: "see trust.ca")
        }
        // Of two CAs with one name, as in a change of keys, either can have signed it.
        guard named.contains(where: { list.isSigned(by: $0) }) else {
            throw CertificateError(
                .badSignature, "the list is not signed by \(list.issuer)", hint: "somebody else may have put it there")
        }
        guard list.thisUpdate <= now + CertificateRevocationList.clockSkew else {
            throw CertificateError(
                .notYetValid,
                "the list was made at \(UTCTime.text(list.thisUpdate)), and this host's clock says \(UTCTime.text(now))",
                hint: "compare the clocks of this host and of the one that makes the list")
        }
        guard let known else { return .newer }
        if known.issuer != list.issuer, issuers.contains(where: { known.names(asIssuer: $0) }) {
            throw CertificateError(
                .wrongName, "the list is of \(list.issuer), and the one before was of \(known.issuer)",
                hint: "give each CA's list a URL of its own in trust.revocation.urls")
        }
        guard known.issuer == list.issuer else { return .newer }
        if list.isOlder(than: known) { return .older }
        return known.isOlder(than: list) ? .newer : .unchanged
    }
}

extension RevocationLists {
    /// Those of `authorities` of whom there is no list in its time: their certificates are refused under `hard`.
    public func withoutFreshList(_ authorities: [Certificate], at now: Int64) -> [Certificate] {
        authorities.filter { authority in
            !lists.contains { $0.isFresh(at: now) && $0.names(asIssuer: authority) && $0.isSigned(by: authority) }
        }
    }
}

extension CertificateRevocationList {
    /// How far the clock of the host that made a list may be ahead of ours, in seconds, as with OCSP answers.
    public static let clockSkew = OCSPAnswer.clockSkew

    /// Whether `now`, unix seconds, lies between thisUpdate and nextUpdate. A list of the near future (``clockSkew``) counts: its
    /// maker's clock is ahead. One that has ended does not, by however little.
    public func isFresh(at now: Int64) -> Bool { thisUpdate <= now + Self.clockSkew && now < nextUpdate ?? .max }
}
