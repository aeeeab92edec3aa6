public import PKI

/// The certificates of one listener: a context for each, chosen by the name that a client asks for (SNI, RFC 6066).
///
/// An exact name wins over a wildcard; where several have a name, the first one. A client that names nobody (one that
/// connects by IP address, for example) gets the first context.
///
/// Immutable and shared between threads. Rotating certificates means making a new set; sessions keep the one they were
/// made with, so nothing that is open is touched.
public final class TLSServerContexts: Sendable {
    /// What a client gets that asks for a name which no certificate has.
    public enum UnknownName: Sendable {
        /// The first context. Its certificate tells the client that it is not whom it meant, in words that the client
        /// can show; this is what web servers do, and clients that do not check names go on working.
        case first
        /// The fatal alert `unrecognized_name` (RFC 6066, section 3).
        case refuse
    }

    /// A context and the names that it is for.
    public struct Entry: Sendable {
        /// The server's context.
        public var context: TLSContext
        /// DNS names, `*.` for one label allowed; nil means those in its certificate.
        public var names: [String]?

        /// An entry from its parts.
        public init(_ context: TLSContext, names: [String]? = nil) {
            self.context = context
            self.names = names
        }
    }

    /// The context for clients that name nobody.
    public let first: TLSContext
    /// What the set was made of, in its order.
    public let entries: [Entry]
    /// All contexts, in their order.
    public var contexts: [TLSContext] { entries.map(\.context) }
    /// What a client gets that asks for an unknown name.
    public let unknownName: UnknownName

    private let exact: [String: TLSContext]
    /// By what follows the asterisk, dot included.
    private let wildcards: [String: TLSContext]

    /// Makes a set.
    ///
    /// - Throws: `badConfiguration` for no entries, a context that is not a server's, and names that can't be asked for.
    public init(_ entries: [Entry], unknownName: UnknownName = .first) throws(TLSError) {
        guard let first = entries.first?.context else {
            throw TLSError(
                .badConfiguration, "a server needs a certificate and its key",
                hint: "configure one; mesh cert dev makes one for development")
        }
        var exact: [String: TLSContext] = [:]
        var wildcards: [String: TLSContext] = [:]
        for entry in entries {
            guard entry.context.configuration.role == .server else {
                throw TLSError(.badConfiguration, "a client's context cannot serve", hint: "make it for a server")
            }
            let leaf = entry.context.configuration.credentials?.leaf
            for name in entry.names ?? leaf?.dnsNames ?? [] {
                let folded = Self.folded(name.utf8)
                let isWildcard = folded.hasPrefix("*.")
                let rest = isWildcard ? folded.dropFirst() : folded[...]
                guard !rest.isEmpty, !rest.contains("*"), rest.utf8.count <= 255 else {
                    // A certificate may hold names that nobody can ask for; a configuration should not.
                    if entry.names == nil { continue }
                    throw TLSError(
                        .badConfiguration, "\"\(name)\" is no name that a client can ask for",
                        hint: "give a DNS name, or one that begins with *.")
                }
                if isWildcard {
                    wildcards[String(rest)] = wildcards[String(rest)] ?? entry.context
                } else {
                    exact[folded] = exact[folded] ?? entry.context
                }
            }
        }
        self.first = first
        self.exact = exact
        self.wildcards = wildcards
        self.unknownName = unknownName
        self.entries = entries
    }

    /// A set of one context.
    public convenience init(_ context: TLSContext) throws(TLSError) {
        try self.init([Entry(context)])
    }

    /// The context for a name; nil for a name that is refused.
    public func context(for name: String?) -> TLSContext? {
        guard let name, !name.isEmpty else { return first }
        let folded = Self.folded(name.utf8)
        if let found = exact[folded] { return found }
        // An asterisk stands for one label, the first one.
        if let dot = folded.firstIndex(of: "."), dot != folded.startIndex, let found = wildcards[String(folded[dot...])]
        {
            return found
        }
        return unknownName == .first ? first : nil
    }

    /// The same for the bytes of a client's hello.
    func choose(_ name: UnsafeBufferPointer<UInt8>) -> TLSContext? {
        guard !name.isEmpty else { return first }
        guard name.count <= 255, name.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            return unknownName == .first ? first : nil
        }
        return context(for: String(decoding: name, as: UTF8.self))
    }

    /// In lower case (ASCII), without a dot at the end.
    private static func folded(_ name: some Sequence<UInt8>) -> String {
        var bytes = name.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        if bytes.last == 0x2E { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension TLSContext.Configuration {
    /// What an edge listener offers clients from outside of the mesh: HTTP/1.1 by ALPN, TLS from `minimumVersion` to 1.3,
    /// and what it asks of their certificates. Whom such a certificate names is for the policy to map, so certificates
    /// without extended key usage and SPIFFE URI pass.
    ///
    /// With `.optional` a client may have none; one that it shows must be good, or the handshake fails. What it proved is
    /// ``TLSSession/peerIdentity``.
    public static func edge(
        _ credentials: Credentials, minimumVersion: TLSVersion = .tls12,
        clientCertificates: TLSContext.PeerCertificate = .none, clientTrust: TrustBundle? = nil,
        reservedDomain: ReservedTrustDomain? = nil
    ) -> TLSContext.Configuration {
        var configuration = TLSContext.Configuration(
            role: .server, credentials: credentials, trust: clientTrust, peerCertificate: clientCertificates,
            minimumVersion: minimumVersion, maximumVersion: .tls13, alpn: ["http/1.1"], legacyCertificates: true)
        configuration.reservedDomain = reservedDomain
        return configuration
    }

    /// What a client of servers outside of the mesh uses: a service's TLS target, the edge, an issuer's keys. To be used with
    /// ``ExpectedPeer/foreignServer(host:)``.
    public static func foreignServer(
        trust: TrustBundle, credentials: Credentials? = nil, alpn: [String] = ["http/1.1"],
        minimumVersion: TLSVersion = .tls12
    ) -> TLSContext.Configuration {
        TLSContext.Configuration(
            role: .client, credentials: credentials, trust: trust, peerCertificate: .required,
            minimumVersion: minimumVersion, maximumVersion: .tls13, alpn: alpn, legacyCertificates: true)
    }
}
