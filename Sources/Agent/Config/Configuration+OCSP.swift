public import TLS

extension Configuration {
    /// How the state of certificates is found out by OCSP (RFC 6960).
    public struct OCSP: Sendable, Equatable {
        /// Whether responses for our own certificates are fetched and stapled.
        public var staple = true
        /// Whether responders are asked about nodes' certificates, and what happens where they say nothing.
        public var peers = OCSPMode.soft
        /// Who is asked about certificates of the mesh's CA; nil leaves it to what the certificates name.
        public var responder: String?
        /// Hosts of which certificates may name responders; none by default.
        public var allowedHosts: [String] = []
        /// The same as `peers` for the CAs between a peer's certificate and its root.
        public var intermediates = OCSPMode.soft
        /// Who is asked about those; nil leaves it to what they name.
        public var intermediatesResponder: String?
        /// How long an answer may take.
        public var timeout: Duration = .seconds(2)
        /// What may be negotiated with responders: the loader takes it from `tls.profile`.
        public var fetchProfile = TLSProfile.intermediate
    }

    /// Whether a responder is asked, and what happens where it says nothing.
    public enum OCSPMode: String, Sendable, CaseIterable {
        /// It is not asked.
        case off
        /// The certificate passes.
        case soft
        /// It is refused.
        case hard
    }
}
