private import Bytes
private import CSodium
import Link
import TLS

/// The key of a session, exported from the mutual TLS of its first link and never sent: whoever has it is one of the two
/// agents between which the session began. Wiped after use, and not in locked memory: there is one for each session, and locked
/// memory takes four of the kernel's mappings a piece, of which a process has 65,530 (docs/adr/0025).
final class SessionKey: Sendable {
    /// Written by `init` and wiped by `deinit` only.
    private nonisolated(unsafe) let key: UnsafeMutableRawBufferPointer

    /// The key of the session that begins on this connection.
    init(exportedFrom tls: TLSSession) throws(TLSError) {
        var exported = try tls.exporter(
            label: ResumptionProof.sessionLabel, count: Int(crypto_auth_hmacsha256_KEYBYTES))
        key = .allocate(byteCount: exported.count, alignment: 16)
        key.copyBytes(from: exported)
        exported.withUnsafeMutableBytes { sodium_memzero($0.baseAddress, $0.count) }
    }

    deinit {
        sodium_memzero(key.baseAddress, key.count)
        key.deallocate()
    }

    /// Tells the session from all others between the two agents, for both ends alike (`Session.name`).
    var name: UInt64 {
        let code = authenticate(Array("conduit.link.v1 transfer\0".utf8))
        return max(code.withUnsafeBytes { $0.loadBE64() }, 1)
    }

    /// Proofs that the session may go on over the new link `tls`.
    func proof(on tls: TLSSession, dialler: BootID, acceptor: BootID) throws(TLSError) -> ResumptionProof {
        let exporter = try tls.exporter(label: ResumptionProof.linkLabel, count: ResumptionProof.size)
        return ResumptionProof(
            authenticate: { [self] in authenticate($0) }, exporter: exporter, dialler: dialler, acceptor: acceptor)
    }

    private func authenticate(_ message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
        guard let start = key.bindMemory(to: UInt8.self).baseAddress else { return code }
        _ = crypto_auth_hmacsha256(&code, message, UInt64(message.count), start)
        return code
    }
}
