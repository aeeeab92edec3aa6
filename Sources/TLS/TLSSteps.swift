/// What a call of ``TLSSession/handshake()`` came to.
public enum HandshakeStep: Sendable {
    /// The peer is verified (as far as the configuration demands) and bytes can flow.
    case complete
    /// The input window is used up; send the pending output and bring more.
    case wantsInput
    /// It is over. The pending output holds the alert for the peer: send it, then close.
    case failed(TLSError)
}

/// What a call of ``TLSSession/read(into:)`` came to.
public enum ReadStep: Sendable {
    /// So many bytes of plaintext stand at the start of the buffer; at least one.
    case bytes(Int)
    /// The input window is used up; bring more.
    case wantsInput
    /// The peer sends nothing more. `clean`: it said so (close_notify); otherwise the input just ended, and what was
    /// sent last may be missing (RFC 8446, section 6.1).
    case closed(clean: Bool)
    /// It is over. The pending output may hold an alert for the peer.
    case failed(TLSError)
}

/// What a call of ``TLSSession/write(_:)`` came to.
public enum WriteStep: Sendable {
    /// So many bytes were sealed: always all of them.
    case written(Int)
    /// It is over.
    case failed(TLSError)
}

/// What a call of ``TLSSession/requestKeyUpdate()`` came to.
public enum KeyUpdateStep: Sendable {
    /// The message is in the output; everything after it is sealed under the next key.
    case updated
    /// TLS 1.2 has no key update, or the handshake is not complete: replace the link before its limit.
    case notSupported
    /// It is over.
    case failed(TLSError)
}
