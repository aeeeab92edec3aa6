import COpenSSL
import Foundation
import PKI
import TestPrograms

/// An OCSP responder on loopback. What it answers is `openssl ocsp`'s, from the index of the mesh's CA, or made by a test that wants
/// times of its own.
final class TestResponder: @unchecked Sendable {
    /// What becomes of a request; nil hangs up.
    typealias Answer = @Sendable (_ request: [UInt8]) throws -> [UInt8]?

    private let lock = NSLock()
    private var answer: Answer = { _ in nil }
    private var served = 0
    private var service: ThreadedService!

    init(_ mesh: TestMesh) throws {
        service = try mesh.service { [weak self] wire in
            guard let self else { return }
            var reader = WireReader(wire)
            while let head = try reader.head() {
                let count = Int(WireReader.field("Content-Length", head) ?? "") ?? 0
                let body = try reader.bytes(count)
                guard head.hasPrefix("POST "), WireReader.field("Content-Type", head) == "application/ocsp-request",
                    let bytes = try self.lock.withLock({
                        self.served += 1
                        return self.answer
                    })(body)
                else { return wire.close() }
                let fields = "Content-Type: application/ocsp-response\r\nContent-Length: \(bytes.count)\r\n\r\n"
                try wire.send(Array("HTTP/1.1 200 OK\r\n\(fields)".utf8) + bytes)
            }
        }
    }

    var url: String { "http://\(service.address)/ocsp" }
    /// Requests so far.
    var count: Int { lock.withLock { served } }

    /// Answers so from now on.
    func answers(_ next: @escaping Answer) { lock.withLock { answer = next } }

    /// Does not answer any more.
    func goDown() { answers { _ in nil } }
}

/// Who says what becomes of the mesh's certificates.
struct ResponderKey: Sendable {
    let register: OCSPRegister
    /// The mesh's CA.
    let issuer: Certificate
    private let signer: Certificate
    private let key: PrivateKey

    init(_ mesh: TestMesh, signedBy other: CertificateAuthority? = nil) throws {
        let directory = mesh.directory + "/ocsp-\(UUID().uuidString.prefix(8))"
        let files = OCSPRegister.Issued(certificate: directory + ".crt", key: directory + ".key")
        try (other ?? mesh.authority).write(certificateFile: files.certificate, keyFile: files.key, passphrase: nil)
        register = try OCSPRegister(in: directory, authority: files)
        issuer = mesh.authority.certificate
        signer = (other ?? mesh.authority).certificate
        key = try PrivateKey(pem: [UInt8](Data(contentsOf: URL(fileURLWithPath: files.key))))
    }

    /// What `openssl ocsp` answers from the index.
    var byProgram: TestResponder.Answer {
        { [register] request in try register.respond(to: request) }
    }

    func subject(_ file: String) throws -> OCSPSubject {
        let text = try Data(contentsOf: URL(fileURLWithPath: file))
        return OCSPSubject(try Certificate.parsePEM([UInt8](text))[0], issuer: issuer)
    }

    /// An answer about one certificate with times of the test's own, in seconds from now: `openssl ocsp` knows minutes only.
    func response(_ subject: OCSPSubject, isRevoked: Bool = false, from: Int = 0, until: Int) throws -> [UInt8] {
        guard let basic = OCSP_BASICRESP_new(),
            let id = subject.certificate.withX509({ own in
                subject.issuer.withX509 { OCSP_cert_to_id(EVP_sha1(), own, $0) }
            })
        else { throw Failure("no memory") }
        let now = time(nil)
        let start = ASN1_GENERALIZEDTIME_set(nil, now + from)
        let end = ASN1_GENERALIZEDTIME_set(nil, now + until)
        defer {
            OCSP_BASICRESP_free(basic)
            OCSP_CERTID_free(id)
            ASN1_GENERALIZEDTIME_free(start)
            ASN1_GENERALIZEDTIME_free(end)
        }
        OCSP_basic_add1_status(
            basic, id, isRevoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
            OCSP_REVOKED_STATUS_KEYCOMPROMISE, isRevoked ? start : nil, start, end)
        let isSigned = signer.withX509 { signer in
            key.withKey { OCSP_basic_sign(basic, signer, $0, EVP_sha256(), nil, UInt(OCSP_NOCERTS)) }
        }
        guard isSigned == 1, let response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic) else {
            throw Failure("the response could not be made")
        }
        defer { OCSP_RESPONSE_free(response) }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = i2d_OCSP_RESPONSE(response, &bytes)
        guard count > 0, let bytes else { throw Failure("the response could not be written") }
        defer { CRYPTO_free(bytes, nil, 0) }
        return Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }
}
