import FuzzSupport
import PKI

/// Any bytes as DER, PEM, a key, a CRL, a list of CT logs or a SPIFFE ID: refused with words, or read in a way that holds together. Then our own
/// checks run over whatever was accepted, in both roles: they must answer, never crash.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: start, count: count))
    if let certificate = checked({ try Certificate(der: input) }) { check([certificate]) }
    if let chain = checked({ try Certificate.parsePEM(input) }) {
        require(!chain.isEmpty, "PEM without a certificate was accepted")
        check(chain)
    }
    _ = checked { try PrivateKey(pem: input, passphrase: nil) }
    if let list = checked({ try CertificateRevocationList.single(input) }) {
        require(checked { try CertificateRevocationList(der: list.der) } != nil, "a CRL's own DER is refused")
    }
    if let logs = checked({ try TransparencyLogs(json: input) }) {
        require(logs.logs.allSatisfy { $0.id.count == 32 }, "the ID of a log is a SHA-256")
    }
    if let text = String(validating: input, as: UTF8.self), let identity = checked({ try SPIFFEID(parsing: text) }) {
        require(identity.description == text, "a SPIFFE ID is written as it was read")
    }
    return 0
}

/// The result, or nil after an error that says something.
private func checked<Result>(_ body: () throws -> Result) -> Result? {
    do {
        return try body()
    } catch {
        guard let error = error as? CertificateError else { return nil }
        require(!error.message.isEmpty && !error.hint.isEmpty, "an error without words")
        return nil
    }
}

private func check(_ chain: [Certificate]) {
    guard let leaf = chain.first else { return }
    if let again = checked({ try Certificate(der: leaf.der) }) {
        require(again.fingerprintSHA256 == leaf.fingerprintSHA256, "the same bytes, another fingerprint")
    } else {
        require(false, "a certificate's own DER is refused")
    }
    _ = leaf.summary(now: 1_800_000_000).lines
    for timestamp in leaf.embeddedTimestamps {
        require(timestamp.source == .certificate, "an embedded SCT comes from the certificate")
        require([0, 32].contains(timestamp.logID.count), "the ID of a log is a SHA-256")
    }
    for role in [PeerVerification.Role.serverOfLink, .clientOfLink] {
        for legacy in [false, true] {
            let expected = PeerVerification.Expectation(
                role: role, trustDomains: nil, legacyCertificates: legacy, now: 1_800_000_000)
            guard let identity = checked({ try PeerVerification.check(chain: chain, expecting: expected) }) else {
                continue
            }
            require(leaf.spiffeURIs.count <= 1, "two SPIFFE URIs were accepted")
            require(!leaf.isCA, "a CA certificate was accepted as a leaf")
            require(leaf.isSerialPositive, "a serial that is not positive was accepted")
            require(identity.fingerprint == leaf.fingerprintSHA256, "the identity is another certificate's")
        }
    }
}
