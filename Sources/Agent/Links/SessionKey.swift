private import CSodium
import Link
import TLS

/// The key of a session, exported from the mutual TLS of its first link and never sent: whoever has it is one of the two
/// agents between which the session began.
struct SessionKey: Sendable {
    private let key: [UInt8]

    /// The key of the session that begins on this connection.
    init(exportedFrom tls: TLSSession) throws(TLSError) {
        key = try tls.exporter(label: ResumptionProof.sessionLabel, count: Int(crypto_auth_hmacsha256_KEYBYTES))
    }

    /// Proofs that the session may go on over the new link `tls`.
    func proof(on tls: TLSSession, dialler: BootID, acceptor: BootID) throws(TLSError) -> ResumptionProof {
        let exporter = try tls.exporter(label: ResumptionProof.linkLabel, count: ResumptionProof.size)
        let key = key
        return ResumptionProof(
            authenticate: { message in
                var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
                crypto_auth_hmacsha256(&code, message, UInt64(message.count), key)
                return code
            }, exporter: exporter, dialler: dialler, acceptor: acceptor)
    }
}
