internal import COpenSSL
internal import PKI

/// What the sessions of one listener or one kind of dialling have in common: versions, suites, our credentials, whom we
/// trust. Immutable and shared between threads.
///
/// Rotating credentials means making a new context; sessions keep the one they were made with. There is no session cache,
/// no renegotiation, no compression and no early data, and no session tickets but those of ``Configuration/tickets``, since
/// OpenSSL resumes a session without verifying certificates again.
///
/// A listener with several certificates has a context for each, in ``TLSServerContexts``.
public final class TLSContext: Sendable {
    /// What the context was made from.
    public let configuration: Configuration

    /// What a server staples to its certificate; may change at any time, for handshakes from then on.
    public let staple: OCSPStaple

    /// What judges peers; nil when nobody is trusted.
    let verifier: ChainVerifier?
    /// SSL_CTX; OpenSSL counts its references by itself, and sessions hold this object besides.
    nonisolated(unsafe) let pointer: OpaquePointer
    /// What a server chooses from when a client offers ALPN; its bytes lie behind it in the same allocation.
    private nonisolated(unsafe) let serverALPN: UnsafeMutablePointer<ctls_alpn>

    /// 112 bits and more: RSA from 2048, no SHA-1 (SSL_CTX_set_security_level(3)).
    static let securityLevel: Int32 = 2
    /// Bytes of certificates that a stranger may make us hold: as many as PKI looks at, of a generous size (RSA-4096
    /// with many names takes 3 KiB).
    static let maximumCertificateBytes = ChainVerifier.maximumPresented * 4096

    /// Makes a context.
    ///
    /// - Throws: `badConfiguration` for what cannot work; `badCredentials` when OpenSSL refuses certificate or key.
    public init(_ configuration: Configuration) throws(TLSError) {
        try configuration.validate()
        self.configuration = configuration
        verifier = configuration.trust.map {
            ChainVerifier(trust: $0, checks: configuration.checks, revocation: configuration.revocation)
        }
        staple = try OCSPStaple()
        let wire = try configuration.alpnWire()
        let alpn = TLSContext.makeALPN(wire)
        guard let made = TLSContext.make(configuration, alpn) else {
            TLSContext.release(alpn)
            throw TLSError(
                .badConfiguration, "OpenSSL refuses the settings: \(TLSError.queued())",
                hint: "check versions and suites, and that OpenSSL 3.0 or newer is installed")
        }
        serverALPN = alpn
        pointer = made
        try loadCredentials()
    }

    deinit {
        SSL_CTX_free(pointer)
        TLSContext.release(serverALPN)
    }

    // MARK: Parts

    private static func makeALPN(_ wire: [UInt8]) -> UnsafeMutablePointer<ctls_alpn> {
        let room = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<ctls_alpn>.size + wire.count, alignment: MemoryLayout<ctls_alpn>.alignment)
        let bytes = (room + MemoryLayout<ctls_alpn>.size).bindMemory(to: UInt8.self, capacity: wire.count)
        wire.withUnsafeBufferPointer {
            if let base = $0.baseAddress { bytes.initialize(from: base, count: wire.count) }
        }
        let alpn = room.bindMemory(to: ctls_alpn.self, capacity: 1)
        alpn.initialize(to: ctls_alpn(bytes: bytes, count: UInt32(wire.count)))
        return alpn
    }

    private static func release(_ alpn: UnsafeMutablePointer<ctls_alpn>) {
        UnsafeMutableRawPointer(alpn).deallocate()
    }

    private static func make(_ wanted: Configuration, _ alpn: UnsafeMutablePointer<ctls_alpn>) -> OpaquePointer? {
        var settings = ctls_settings()
        settings.server = wanted.role == .server
        settings.minimum_version = wanted.minimumVersion.wire
        settings.maximum_version = wanted.maximumVersion.wire
        settings.security_level = wanted.probe == nil ? securityLevel : 0
        settings.verify_mode =
            switch wanted.peerCertificate {
            case .required where wanted.checks.contains(.clientCertificate):
                SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
            case .required, .optional: SSL_VERIFY_PEER
            case .none: SSL_VERIFY_NONE
            }
        settings.max_certificate_list = maximumCertificateBytes
        settings.alpn = alpn.pointee.bytes
        settings.alpn_count = alpn.pointee.count
        let isFIPS = FIPSProvider.isActive
        let accelerated = wanted.acceleration && !isFIPS ? TLSAcceleration.load().properties : nil
        let properties = isFIPS ? "fips=yes" : accelerated
        // A tester wants to see what OpenSSL makes of a peer.
        settings.keep_secrets = accelerated != nil && wanted.probe == nil
        let offered = isFIPS ? wanted.parameters.restricted(to: TLSProfile.fips.parameters) : wanted.parameters
        // A version without suites is none.
        if wanted.probe == nil {
            if offered.suites13.isEmpty { settings.maximum_version = min(settings.maximum_version, TLS1_2_VERSION) }
            if offered.suites12.isEmpty { settings.minimum_version = max(settings.minimum_version, TLS1_3_VERSION) }
        }
        let algorithms: String? = wanted.probe == nil ? offered.signatureAlgorithms.joined(separator: ":") : nil
        let offeredGroups: String? = wanted.probe == nil ? offered.groups.joined(separator: ":") : nil
        // OpenSSL wants a suite of TLS 1.2 also where that is not spoken.
        let list = (offered.suites12.isEmpty ? TLSProfile.fips.parameters : offered).suites12.joined(separator: ":")
        return (wanted.probe?.cipherList ?? list).withCString { list in
            (wanted.probe?.cipherSuites ?? offered.suites13.joined(separator: ":")).withCString { suites in
                withOptionalCString(offeredGroups) { groups in
                    withOptionalCString(algorithms) { algorithms in
                        settings.cipher_list = list
                        settings.cipher_suites = suites
                        settings.groups = groups
                        settings.signature_algorithms = algorithms
                        return withOptionalCString(properties) { properties in
                            settings.properties = properties
                            return make(&settings, alpn, tickets: wanted.tickets)
                        }
                    }
                }
            }
        }
    }

    private static func make(
        _ settings: inout ctls_settings, _ alpn: UnsafeMutablePointer<ctls_alpn>, tickets: TicketKeys?
    ) -> OpaquePointer? {
        guard let tickets else { return ctls_context_new(&settings, alpn) }
        settings.ticket_lifetime = Int(tickets.lifetime)
        return tickets.scope.withUnsafeBufferPointer { scope in
            settings.ticket_scope = scope.baseAddress
            return ctls_context_new(&settings, alpn)
        }
    }

    private func loadCredentials() throws(TLSError) {
        guard let credentials = configuration.credentials else { return }
        let kind = credentials.leaf.publicKey.kind
        let special =
            kind.family == .ed25519 ? "ed25519" : kind.description == "ECDSA P-521" ? "ecdsa_secp521r1_sha512" : nil
        if let special, !configuration.parameters.signatureAlgorithms.contains(special) {
            let message = "our certificate has a key \(kind), which the TLS profile does not permit"
            let hint = "issue it for a P-256, P-384 or RSA key: mesh ca issue NODE --algorithm p256 --force"
            throw TLSError(
                .badCredentials, message, hint: hint,
                certificate: CertificateError(.unsupportedKey, message, hint: hint))
        }
        ERR_clear_error()
        guard credentials.leaf.withX509({ SSL_CTX_use_certificate(pointer, $0) }) == 1 else {
            throw refuse(.weakKey, "OpenSSL refuses our certificate: \(TLSError.queued())")
        }
        for certificate in credentials.chain.dropFirst() + configuration.appendedCertificates {
            guard certificate.withX509({ ctls_context_add_chain_certificate(pointer, $0) }) == 1 else {
                throw refuse(.weakKey, "OpenSSL refuses a certificate of our chain: \(TLSError.queued())")
            }
        }
        guard credentials.key.withKey({ SSL_CTX_use_PrivateKey(pointer, $0) }) == 1,
            SSL_CTX_check_private_key(pointer) == 1
        else {
            throw refuse(.keyMismatch, "our key does not fit our certificate: \(TLSError.queued())")
        }
    }

    private func refuse(_ reason: CertificateReason, _ message: String) -> TLSError {
        let hint = "make a new one: \(NewCertificate.commands()); RSA needs 2048 bits or more"
        return TLSError(
            .badCredentials, message, hint: hint, certificate: CertificateError(reason, message, hint: hint))
    }
}

/// `String.withCString` for a string that may be absent.
func withOptionalCString<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    if let text { text.withCString(body) } else { body(nil) }
}
