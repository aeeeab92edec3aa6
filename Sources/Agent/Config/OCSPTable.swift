/// The keys about OCSP.
enum OCSPTable {
    static let root: [Field<Configuration>] = [
        .value(
            "ocsp.staple", \.ocsp.staple, .boolean,
            "Fetch OCSP responses for this node's certificate and those of edge listeners, and staple them, see "
                + "`docs/revocation.md`. Without a responder that may be asked there is nothing to fetch."),
        .value(
            "ocsp.peers", \.ocsp.peers, .choice,
            "Whether responders are asked about nodes' certificates where nothing good is stapled: `off` asks nobody; with "
                + "`soft`, what they say nothing of passes, with `hard` it is refused."),
        .value(
            "ocsp.responder", \.ocsp.responder, .optional(.fetchURL),
            "The OCSP responder for certificates of the mesh's CA.",
            default: "those that the certificates name, as far as `ocsp.allowedHosts` has their hosts"),
        .value(
            "ocsp.intermediates.mode", \.ocsp.intermediates, .choice,
            "The same as `ocsp.peers` for the CAs between a peer's certificate and its root, at links and edge listeners that "
                + "ask about the certificate itself."),
        .value(
            "ocsp.intermediates.responder", \.ocsp.intermediatesResponder, .optional(.fetchURL),
            "The OCSP responder for these.",
            default: "those that they name, as far as `ocsp.allowedHosts` has their hosts"),
        .value(
            "ocsp.allowedHosts", \.ocsp.allowedHosts,
            .list(.hostPatternless, "a list of DNS names or IP addresses", orOne: true),
            "Hosts that are asked when a certificate names a responder there. Whoever issues certificates could otherwise make "
                + "this node send requests to any host it reaches.",
            default: "none"),
        .value(
            "ocsp.timeout", \.ocsp.timeout, .duration(.milliseconds(100) ... .seconds(60)),
            "How long a responder's answer may take; a link's setup waits for it."),
    ]
}

extension Codec where Value == String {
    /// A URL of something that is fetched, with TLS or without: what comes is signed.
    static var fetchURL: Codec {
        .string(
            "a URL http://… or https://…", "URL", pattern: "^https?://", maximumLength: FetchURL.maximumLength
        ) { text in
            FetchURL(text) == nil ? "it is no URL http://HOST[:PORT]/PATH without user and fragment" : nil
        }
    }
}
