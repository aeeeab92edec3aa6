public import PKI

extension TLSContext {
    /// The end of the connection that a context is for.
    public enum Role: Sendable {
        /// The end that dials.
        case client
        /// The end that listens.
        case server
    }

    /// What is asked of the peer's certificate.
    public enum PeerCertificate: Sendable {
        /// The handshake fails without a certificate that verifies.
        case required
        /// A server accepts clients without a certificate; one that is shown must verify.
        case optional
        /// Nothing is demanded. A client still checks what it is shown and keeps the result in
        /// ``TLSSession/certificateError``; a server does not ask. For probes and for the edge, never for links.
        case none
    }

    /// What a probe offers instead of the fixed sets, to find out what a peer accepts. With it the rules of this room
    /// are off: any version, any suite, security level 0.
    public struct Probe: Sendable {
        /// Suites of TLS 1.2 and older, as OpenSSL names them.
        public var cipherList: String
        /// Suites of TLS 1.3, as OpenSSL names them.
        public var cipherSuites: String

        /// A probe; without arguments it offers everything that OpenSSL has, suites without authentication included.
        public init(
            cipherList: String = "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
            cipherSuites: String = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                + "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"
        ) {
            self.cipherList = cipherList
            self.cipherSuites = cipherSuites
        }
    }

    /// Everything that a context is made from. Values; reading files and rotating are the caller's business.
    public struct Configuration: Sendable {
        /// Which end.
        public var role: Role
        /// Our certificates (leaf first) and key. A server needs them, a client only where the server asks.
        public var credentials: Credentials?
        /// The roots that may vouch for the peer. Needed unless `peerCertificate` is `.none`.
        public var trust: TrustBundle?
        /// What is asked of the peer.
        public var peerCertificate: PeerCertificate
        /// Oldest version accepted. Below 1.2 only with a `probe`.
        public var minimumVersion: TLSVersion
        /// Newest version accepted.
        public var maximumVersion: TLSVersion
        /// Suites, groups and signature algorithms.
        public var parameters = TLSParameters.strong
        /// Application protocols (ALPN, RFC 7301), best first. A server that has some refuses a client that offers only
        /// others; a client that offers none is let in with ``TLSSession/alpn`` nil.
        public var alpn: [String]
        /// Accept certificates as the plain `openssl` recipes make them (CN only, no EKU); see PKI's `PeerVerification`.
        public var legacyCertificates: Bool
        /// The trust domains that a peer's SPIFFE ID may lie in; nil allows all, an empty set none.
        public var trustDomains: Set<String>?
        /// A trust domain that only some of the roots may vouch for.
        public var reservedDomain: ReservedTrustDomain?
        /// The CRLs that peers' chains are checked against; nil for none.
        public var revocation: RevocationLists?
        /// Pins that verified peers must match besides.
        public var pins = PinPolicy()
        /// What is demanded of the SCTs of servers (RFC 6962); a server's context has no use for it.
        public var transparency: TransparencyPolicy?
        /// Whether a client refuses a server that staples no OCSP response which says that its certificate is good. A server's context
        /// has no use for it.
        public var demandsStaple = false
        /// SHA-256 of a root's certificate, lower-case hex, for a client that does not have the root yet: the peer sends it
        /// with its chain, and it is trusted for this session when its fingerprint is this one. Replaces `trust`.
        public var rootFingerprint: String?
        /// The keys of a server's session tickets; nil gives none, so that every connection is a handshake in full. A resumed
        /// session is only what its client's certificate is at that moment, see ``TicketKeys``. Never for links.
        public var tickets: TicketKeys?
        /// For so many seconds after its end a client's certificate is still taken for what it was, everything else being
        /// checked as at its last second. For the renewal of identities that ended while their hosts slept; 0 elsewhere.
        public var expiredFor: Int64 = 0
        /// Our checks on top of OpenSSL's. Anything but `.all` is for builds that test the tester.
        public var checks: StrictChecks
        /// Certificates sent behind our chain although they do not belong to it: for testers, who want to see them
        /// refused.
        public var appendedCertificates: [Certificate]
        /// Offer what a probe offers instead; nil in every context that carries data.
        public var probe: Probe?
        /// Take the fastest AES-GCM that library and CPU have; see ``TLSAcceleration``.
        public var acceleration: Bool

        /// A configuration with the rules of mesh links: TLS 1.3 only, certificates required, every check on.
        public init(
            role: Role, credentials: Credentials? = nil, trust: TrustBundle? = nil,
            peerCertificate: PeerCertificate = .required, minimumVersion: TLSVersion = .tls13,
            maximumVersion: TLSVersion = .tls13, alpn: [String] = [], legacyCertificates: Bool = false,
            trustDomains: Set<String>? = nil, checks: StrictChecks = .all, appendedCertificates: [Certificate] = [],
            probe: Probe? = nil, acceleration: Bool = true
        ) {
            self.role = role
            self.credentials = credentials
            self.trust = trust
            self.peerCertificate = peerCertificate
            self.minimumVersion = minimumVersion
            self.maximumVersion = maximumVersion
            self.alpn = alpn
            self.legacyCertificates = legacyCertificates
            self.trustDomains = trustDomains
            self.checks = checks
            self.appendedCertificates = appendedCertificates
            self.probe = probe
            self.acceleration = acceleration
        }
    }
}

extension TLSContext.Configuration {
    /// ALPN's wire format: each name behind its length (RFC 7301, section 3.1).
    func alpnWire() throws(TLSError) -> [UInt8] {
        var wire: [UInt8] = []
        for name in alpn {
            let bytes = Array(name.utf8)
            guard !bytes.isEmpty, bytes.count <= 255 else {
                throw TLSError(
                    .badConfiguration, "an ALPN name has 1 to 255 bytes, \"\(name)\" has \(bytes.count)",
                    hint: "name registered protocols, for example http/1.1")
            }
            wire.append(UInt8(bytes.count))
            wire += bytes
        }
        guard wire.count <= 1024 else {
            throw TLSError(
                .badConfiguration, "the ALPN names take \(wire.count) bytes, at most 1024 make sense",
                hint: "name fewer protocols")
        }
        return wire
    }

    /// Refuses what cannot work or must not be.
    func validate() throws(TLSError) {
        if minimumVersion > maximumVersion {
            throw TLSError(
                .badConfiguration, "the minimum version \(minimumVersion) is above the maximum \(maximumVersion)",
                hint: "swap them, or leave the maximum out")
        }
        if minimumVersion < .tls12, probe == nil {
            throw TLSError(
                .badConfiguration, "\(minimumVersion) is not secure and not offered (RFC 8996)",
                hint: "set the minimum version to TLSv1.2 or TLSv1.3")
        }
        if role == .server, credentials == nil {
            throw TLSError(
                .badConfiguration, "a server needs a certificate and its key",
                hint: "make both: \(NewCertificate.commands())")
        }
        if tickets != nil, role == .client || probe != nil || rootFingerprint != nil || expiredFor != 0 {
            throw TLSError(
                .badConfiguration, "tickets are for servers whose clients' certificates can be looked at again",
                hint: "make this context without ticket keys")
        }
        if peerCertificate != .none, trust == nil, rootFingerprint == nil {
            throw TLSError(
                .badConfiguration, "without a trusted root no peer can be verified",
                hint: "configure the CA certificate (mesh ca init makes one)")
        }
    }
}
