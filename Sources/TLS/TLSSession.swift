internal import COpenSSL
public import PKI

/// One TLS connection without a socket: ciphertext in, plaintext out, and back.
///
/// The owner hands in a window of received ciphertext with ``setInput(_:)``, calls ``handshake()`` and then
/// ``read(into:)`` until they want more, and sends what stands in the output. After `.wantsInput` the whole window has
/// been taken into the session and its memory is free again. Nothing blocks, allocates on Swift's heap per call, takes a
/// lock or knows the time, except for the verification of certificates, which asks for the time unless it was given.
///
/// A session may be used on one thread at a time, and moved to another between two calls.
///
/// Output has no bound here: every call adds what it must. An owner stops reading from its peer while
/// ``pendingOutput`` is beyond its limit, since some input (a key update that asks for an answer) produces output.
///
/// After the handshake records are OpenSSL's, or our own where AES-GCM is accelerated and the version is 1.3
/// (`RecordLayer`); the owner sees no difference.
///
/// Memory, measured with P-256 certificates and TLS 1.3: 60 KiB a session after the handshake, of which 34 KiB are
/// OpenSSL's record buffers (which our own records do without) and 4 KiB output; 23 KiB after ``releaseIdleMemory()``, of
/// which the peer's parsed certificates take 4.
public final class TLSSession {
    /// What the session goes by: what it was made from, or what the client's SNI chose. Stays in use when the owner
    /// rotates to another context.
    public var context: TLSContext { verifier.context }

    private let session: UnsafeMutablePointer<ctls_session>
    private let verifier: PeerVerifier
    private let isServer: Bool
    /// Records after the handshake; nil where they are OpenSSL's.
    private var records: RecordLayer?
    private var endingError: TLSError?

    /// Makes a session; the handshake begins with the first call of ``handshake()``.
    ///
    /// - Parameters:
    ///   - serverName: what a client sends as SNI (RFC 6066): a host name, never an address. Nil sends none.
    ///   - expecting: whom the peer must prove to be.
    ///   - now: the time at which certificates must be valid, in Unix seconds; nil means the time of the handshake.
    /// - Throws: `badConfiguration` for a server name that cannot be sent, `internalFailure` when memory is short.
    public convenience init(
        context: TLSContext, serverName: String? = nil, expecting: ExpectedPeer, now: Int64? = nil
    ) throws(TLSError) {
        try self.init(context, nil, serverName: serverName, expecting: expecting, now: now)
    }

    /// Makes a server's session that chooses its certificate by the name that the client asks for.
    ///
    /// - Parameters:
    ///   - contexts: the listener's certificates; in use by this session also when the owner rotates to others.
    ///   - expecting: whom a client with a certificate must prove to be.
    ///   - now: the time at which certificates must be valid, in Unix seconds; nil means the time of the handshake.
    /// - Throws: `internalFailure` when memory is short.
    public convenience init(
        contexts: TLSServerContexts, expecting: ExpectedPeer = .anyIdentity, now: Int64? = nil
    ) throws(TLSError) {
        try self.init(contexts.first, contexts, serverName: nil, expecting: expecting, now: now)
    }

    private init(
        _ context: TLSContext, _ contexts: TLSServerContexts?, serverName: String?, expecting: ExpectedPeer, now: Int64?
    ) throws(TLSError) {
        isServer = context.configuration.role == .server
        if let serverName {
            let bytes = serverName.utf8
            guard !bytes.isEmpty, bytes.count <= 255, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
                throw TLSError(
                    .badConfiguration, "\"\(serverName)\" cannot be sent as a server name (SNI)",
                    hint: "give the DNS name of the host: 1 to 255 letters, digits, dots and hyphens")
            }
        }
        verifier = PeerVerifier(context: context, contexts: contexts, expecting: expecting, now: now)
        let made = withOptionalCString(isServer ? nil : serverName) { [isServer, verifier] name in
            ctls_session_new(
                context.pointer, isServer, name, PeerVerifier.callback, Unmanaged.passUnretained(verifier).toOpaque())
        }
        guard let made else { throw TLSError.outOfMemory }
        session = made
        // A client that demands nothing of its server's certificate has no use for its state either.
        if isServer || (context.configuration.probe == nil && context.configuration.peerCertificate != .none) {
            guard ctls_use_status(made, PeerVerifier.status) else { throw TLSError.outOfMemory }
        }
        if !isServer, context.configuration.transparency?.isOn == true {
            guard ctls_ask_for_scts(made.pointee.ssl) == 1 else { throw TLSError.outOfMemory }
        }
        if context.configuration.tickets != nil {
            ctls_use_tickets(made, PeerVerifier.ticketKey, PeerVerifier.ticketFill, PeerVerifier.ticketReview)
        }
        if contexts != nil {
            ctls_choose_context(made, PeerVerifier.choice, Unmanaged.passUnretained(verifier).toOpaque())
        }
    }

    deinit {
        ctls_session_free(session)
    }

    // MARK: Input

    /// Gives the session the ciphertext that it reads next.
    ///
    /// The memory must stay as it is until a call reports `.wantsInput` or an end. The window before must have been
    /// used up.
    public func setInput(_ ciphertext: UnsafeRawBufferPointer) {
        precondition(session.pointee.input_left == 0, "the window before has not been read to its end")
        ctls_set_input(session, ciphertext.baseAddress, ciphertext.count)
    }

    /// Bytes of the window that have not been read yet.
    public var unreadInput: Int { session.pointee.input_left }

    /// The last call used the window up: no need to call again before there is more input. False again after
    /// ``setInput(_:)``, so that `while !session.wantsInput` reads a window to its end.
    public var wantsInput: Bool { session.pointee.wants_input }

    /// Tells the session that the peer sends nothing more. Read on: what is buffered comes first, then
    /// `.closed(clean: false)` unless the peer had said goodbye.
    public func receivedEOF() {
        session.pointee.end_of_input = true
        session.pointee.wants_input = false
    }

    // MARK: Handshake

    /// Takes the handshake as far as the input allows.
    ///
    /// `.complete` on a TLS 1.3 client does not mean that the server accepts the client's certificate: that shows in the
    /// first read.
    public func handshake() -> HandshakeStep {
        if let endingError { return .failed(endingError) }
        guard !isConnected else { return .complete }
        switch ctls_handshake(session) {
        case CTLS_OK: return settle()
        case CTLS_WANTS_INPUT: return .wantsInput
        default: return .failed(end())
        }
    }

    private func settle() -> HandshakeStep {
        do throws(TLSError) {
            try verifier.settle(session.pointee.ssl)
            records = try RecordLayer(takingOver: session, server: isServer)
            return .complete
        } catch {
            session.pointee.ending = CTLS_FAILED
            session.pointee.input = nil
            session.pointee.input_left = 0
            endingError = error
            return .failed(error)
        }
    }

    /// The handshake is complete on this side.
    public var isConnected: Bool { session.pointee.connected }

    // MARK: Plaintext

    /// Opens as many records as the window holds and the buffer takes; 256 KiB is a good size.
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> ReadStep {
        guard buffer.count > 0 else { return .bytes(0) }
        if !isConnected {
            switch handshake() {
            case .complete: break
            case .wantsInput: return .wantsInput
            case .failed(let error): return .failed(error)
            }
        }
        if let records { return records.read(into: buffer) }
        var count = 0
        switch ctls_read(session, buffer.baseAddress, buffer.count, &count) {
        case CTLS_OK: return .bytes(count)
        case CTLS_WANTS_INPUT: return .wantsInput
        case CTLS_CLOSED: return .closed(clean: true)
        case CTLS_TRUNCATED: return .closed(clean: false)
        default: return .failed(end())
        }
    }

    /// Seals everything into the output, in records of 16 KiB as far as it goes. Never blocks, never writes a part.
    public func write(_ plaintext: UnsafeRawBufferPointer) -> WriteStep {
        guard isConnected else { return .failed(endingError ?? TLSError.notYetConnected) }
        if session.pointee.ending == CTLS_TRUNCATED { return .failed(end()) }
        if let records { return records.write(plaintext) }
        switch ctls_write(session, plaintext.baseAddress, plaintext.count) {
        case CTLS_OK: return .written(plaintext.count)
        case CTLS_CLOSED: return .failed(TLSError.afterTheEnd)
        default: return .failed(end())
        }
    }

    /// Says goodbye (close_notify). Reading goes on until the peer says so too; writing is over.
    public func shutdown() {
        if let records { return records.shutdown() }
        ctls_shutdown(session)
    }

    // MARK: Output

    /// Bytes of ciphertext that wait to be sent.
    public var pendingOutput: Int { session.pointee.output_tail - session.pointee.output_head }

    /// Lets `body` send from the output and takes off as many bytes as it returns. The session must not be used inside.
    ///
    /// A buffer that has become empty is kept for the next batch up to 320 KiB and given back at once above that.
    public func withOutput<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) {
        let pending = pendingOutput
        guard pending > 0, let output = session.pointee.output else { return }
        let sent = try body(
            UnsafeRawBufferPointer(start: output + session.pointee.output_head, count: pending))
        precondition(sent >= 0 && sent <= pending, "more was sent than there was")
        ctls_consume_output(session, sent)
    }

    /// Gives back what an idle session does not need: record buffers, and the output buffer if it is empty. They come
    /// back with the next byte. For sessions that have been quiet for a second or so: doing this per message costs 8 %
    /// (measured), so it is not done by itself.
    public func releaseIdleMemory() {
        records?.releaseIdleMemory()
        ctls_release_memory(session)
    }

    // MARK: Keys

    /// Plaintext bytes sealed under the present sending key.
    public var bytesSealedSinceKeyUpdate: UInt64 { session.pointee.bytes_sealed }

    /// Records sealed under the present sending key.
    public var recordsSealedSinceKeyUpdate: UInt64 { session.pointee.records_sealed }

    /// Records after which a sender should change its key: 2^22, which is 64 GiB in full records. AES-GCM allows 2^24.5
    /// (RFC 8446, section 5.5); the rest is margin for owners that look seldom, and a change costs microseconds.
    public static let recordsPerKey: UInt64 = 1 << 22

    /// It is time for ``requestKeyUpdate()``.
    public var isKeyUpdateDue: Bool { recordsSealedSinceKeyUpdate >= TLSSession.recordsPerKey }

    /// Changes our sending key (RFC 8446, section 4.6.3) without asking the peer to change its own; each sender counts
    /// for itself.
    ///
    /// Key updates of the peer are handled inside ``read(into:)``. OpenSSL sets no bound on them; here more than 32
    /// post-handshake messages in a row without data end the session (`messageFlood`).
    public func requestKeyUpdate() -> KeyUpdateStep {
        guard endingError == nil, records?.failure == nil, session.pointee.ending != CTLS_TRUNCATED else {
            return .failed(end())
        }
        if let records { return records.updateKey() }
        switch ctls_update_key(session) {
        case 1: return .updated
        case 0: return .notSupported
        default: return .failed(end())
        }
    }

    /// Key material that both ends derive from this session and nobody else can (RFC 5705; RFC 8446, section 7.5).
    ///
    /// - Throws: `notConnected` before the end of the handshake.
    public func exporter(label: String, context: [UInt8] = [], count: Int) throws(TLSError) -> [UInt8] {
        guard isConnected else { throw TLSError.notYetConnected }
        var good = false
        let label = Array(label.utf8CString)
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { output, made in
            ERR_clear_error()
            good =
                SSL_export_keying_material(
                    session.pointee.ssl, output.baseAddress, count, label, label.count - 1, context, context.count, 1)
                == 1
            made = good ? count : 0
        }
        guard good else {
            throw TLSError(
                .internalFailure, "OpenSSL could not export key material: \(TLSError.queued())",
                hint: "the label must not be one that TLS itself uses")
        }
        return bytes
    }

    // MARK: What was negotiated

    /// Who the peer proved to be; nil without a certificate, before it is verified, and after a refusal.
    public var peerIdentity: PeerIdentity? { verifier.identity }

    /// The verified chain, leaf first, root last; empty as long as there is none.
    public var peerChain: [Certificate] { verifier.chain }

    /// What the check of pins came to, once the peer is verified. An enforced pin that does not match is a refusal instead.
    public var pinOutcome: PinPolicy.Outcome { verifier.pins }

    /// What a client's look at the server's stapled OCSP response came to; nil before it, and on a server. A staple by which the
    /// server is refused is a refusal instead.
    public var staple: StapleReview.Outcome? { verifier.staple }

    /// What a client's look at its server's SCTs came to, where the policy demands one; also where the server is refused for them.
    public var transparency: TransparencyReview? { verifier.transparency }

    /// What became of the ticket that the client has shown, once the handshake is complete; nil without one, and on a client.
    public var ticket: TicketOutcome? { verifier.ticket }

    /// What our verification found wrong with the peer's certificate. Where certificates are demanded the handshake has
    /// failed with it; with ``TLSContext/PeerCertificate/none`` it is only noted here.
    public var certificateError: CertificateError? { verifier.refusal }

    /// The version in use; nil before it is settled.
    public var protocolVersion: TLSVersion? { TLSVersion(wire: SSL_version(session.pointee.ssl)) }

    /// The suite in use, as OpenSSL names it.
    public var cipherName: String? {
        SSL_get_current_cipher(session.pointee.ssl) == nil
            ? nil : ctls_cipher_name(session.pointee.ssl).map { String(cString: $0) }
    }

    /// The key exchange group in use ("X25519", "P-256").
    public var groupName: String? {
        guard isConnected else { return nil }
        let group = ctls_group(session.pointee.ssl)
        return SSL_group_to_name(session.pointee.ssl, group).map { String(cString: $0) }
    }

    /// The application protocol (ALPN); nil when none was negotiated.
    public var alpn: String? {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(session.pointee.ssl, &bytes, &count)
        guard let bytes, count > 0 else { return nil }
        return String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    /// The server name (SNI) that the client sent.
    public var serverName: String? { ctls_server_name(session.pointee.ssl).map { String(cString: $0) } }

    /// The last fatal alert that the peer sent.
    public var alertReceived: TLSAlert? { alert(session.pointee.alert_received) }

    /// The last fatal alert that we sent.
    public var alertSent: TLSAlert? { alert(session.pointee.alert_sent) }

    /// Heap bytes of the output buffer, for tests and gauges.
    public var outputCapacity: Int { session.pointee.output_capacity }

    // MARK: Ends

    private func alert(_ number: Int32) -> TLSAlert? {
        number >= 0 ? TLSAlert(rawValue: UInt8(truncatingIfNeeded: number)) : nil
    }

    private func end() -> TLSError {
        if let known = endingError ?? records?.failure { return known }
        let ending = Ending(
            session: session, server: isServer, handshaking: !isConnected, refusal: verifier.refusal,
            sentCertificate: SSL_get_certificate(session.pointee.ssl) != nil)
        let error = ending.error()
        endingError = error
        return error
    }
}
