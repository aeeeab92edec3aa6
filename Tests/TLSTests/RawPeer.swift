import CAcceleration
import COpenSSL
import TLS

/// A client that has shaken hands like any other and can then send whatever record it likes.
final class RawPeer {
    /// The server that it has shaken hands with.
    let server: TLSSession
    private let context: OpaquePointer
    private let session: UnsafeMutablePointer<ctls_session>
    private var sendingSecret = [UInt8](repeating: 0, count: Int(CTLS_SECRET_BYTES))
    private var receivingSecret = [UInt8](repeating: 0, count: Int(CTLS_SECRET_BYTES))
    private var secretBytes = 0
    private var sending: OpaquePointer
    private var receiving: OpaquePointer
    /// Numbers of the next record sent and received.
    var sent: UInt64 = 0
    private var received: UInt64 = 0

    struct Failed: Error {}

    init() throws {
        var configuration = try Fixture.configuration(.server)
        configuration.peerCertificate = .none
        configuration.trust = nil
        server = try TLSSession(context: TLSContext(configuration), expecting: .anyIdentity)
        var settings = ctls_settings()
        settings.minimum_version = TLS1_3_VERSION
        settings.maximum_version = TLS1_3_VERSION
        settings.security_level = 2
        settings.verify_mode = SSL_VERIFY_NONE
        settings.max_certificate_list = 100_000
        settings.keep_secrets = true
        let made = "TLS_AES_128_GCM_SHA256".withCString { suites in
            "DEFAULT".withCString { list in
                settings.cipher_suites = suites
                settings.cipher_list = list
                return ctls_context_new(&settings, nil)
            }
        }
        guard let made, let client = ctls_session_new(made, false, nil, { _, _ in X509_V_OK }, nil) else {
            throw Failed()
        }
        context = made
        session = client
        for _ in 0..<3 {
            _ = ctls_handshake(client)
            let bytes = Array(
                UnsafeBufferPointer(
                    start: client.pointee.output + client.pointee.output_head,
                    count: client.pointee.output_tail - client.pointee.output_head))
            ctls_consume_output(client, bytes.count)
            if !bytes.isEmpty { feed(bytes, to: server) { _ = $0.handshake() } }
            let answer = take(server)
            answer.withUnsafeBytes {
                ctls_set_input(client, $0.baseAddress, $0.count)
                _ = ctls_handshake(client)
            }
        }
        guard server.isConnected else { throw Failed() }
        secretBytes = ctls_take_secrets(client, &sendingSecret, &receivingSecret)
        guard let out = Self.key(client, sendingSecret, secretBytes),
            let back = Self.key(client, receivingSecret, secretBytes)
        else { throw Failed() }
        sending = out
        receiving = back
    }

    deinit {
        caccel_records_free(sending)
        caccel_records_free(receiving)
        ctls_session_free(session)
        SSL_CTX_free(context)
    }

    private static func key(_ session: UnsafeMutablePointer<ctls_session>, _ secret: [UInt8], _ count: Int)
        -> OpaquePointer?
    {
        var key = [UInt8](repeating: 0, count: 32)
        var iv = [UInt8](repeating: 0, count: 12)
        let bytes = ctls_traffic_key(session.pointee.ssl, secret, count, &key, &iv)
        return bytes > 0 ? caccel_records_new(key, bytes, iv) : nil
    }

    /// The key after an update, in the direction to the server.
    func updateSending() {
        _ = ctls_next_secret(session.pointee.ssl, &sendingSecret, secretBytes)
        caccel_records_free(sending)
        if let next = Self.key(session, sendingSecret, secretBytes) { sending = next }
        sent = 0
    }

    /// The key after an update, in the direction from the server.
    func updateReceiving() {
        _ = ctls_next_secret(session.pointee.ssl, &receivingSecret, secretBytes)
        caccel_records_free(receiving)
        if let next = Self.key(session, receivingSecret, secretBytes) { receiving = next }
        received = 0
    }

    /// A record of what stands before its type: content, and behind the type as many zeros.
    func record(_ type: UInt8, _ content: [UInt8], padding: Int = 0) -> [UInt8] {
        // What is sealed is content ‖ type ‖ zeros, of which the last byte goes where sealing puts the type.
        let inner = content + [type] + [UInt8](repeating: 0, count: padding)
        var out = [UInt8](repeating: 0, count: inner.count + Int(CACCEL_RECORD_OVERHEAD))
        let made = caccel_records_seal(sending, sent, inner[inner.count - 1], inner, inner.count - 1, &out)
        sent += 1
        return Array(out[..<made])
    }

    /// What the server sent, opened: type and content of each record; nil for one that does not open.
    func open(_ wire: [UInt8]) -> [(type: UInt8, content: [UInt8])?] {
        var records: [(type: UInt8, content: [UInt8])?] = []
        var at = 0
        while at + 5 <= wire.count {
            let count = Int(wire[at + 3]) << 8 | Int(wire[at + 4])
            var inner = [UInt8](repeating: 0, count: max(count - 16, 1))
            let body = Array(wire[(at + 5)..<(at + 5 + count)])
            let good = caccel_records_open(receiving, received, Array(wire[at..<at + 5]), body, count, &inner)
            received += 1
            records.append(good ? (inner[count - 17], Array(inner[..<(count - 17)])) : nil)
            at += 5 + count
        }
        return records
    }
}
