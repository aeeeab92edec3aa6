import Bytes
import COpenSSL
import Foundation
import PKI
import TLS
import TestLogs
import Testing

/// SCTs (RFC 6962) of servers that are dialled, in each of the three ways in which they come.
@Suite struct TransparencyTests {
    private let ca: CertificateAuthority
    private let log: TestLog
    private let logs: TransparencyLogs

    init() throws {
        ca = try CertificateAuthority.createRoot(name: "Logged CA", trustDomain: "mesh.test", now: unixTime())
        log = try TestLog()
        logs = try TransparencyLogs(json: Array(TestLog.list(log).utf8))
    }

    private static var present: Int64 { unixTime() * 1000 }

    /// A server's certificate, with SCTs in it where some are promised.
    private func credentials(
        _ promises: ((TestLog.Entry) throws -> [[UInt8]])? = nil
    ) throws -> Credentials {
        let key = try PrivateKey.generate()
        var builder = CertificateBuilder(
            subject: [.commonName("server")], publicKey: key.publicKey, notBefore: unixTime() - 60,
            notAfter: unixTime() + 86_400)
        builder.alternativeNames = [.dns("server.test")]
        let leaf =
            try promises.map { try TestLog.issue(builder, by: ca.signer, $0) } ?? builder.build(signedBy: ca.signer)
        return try Credentials(chain: [leaf], key: key)
    }

    private func client(
        _ mode: TransparencyPolicy.Mode = .require, version: TLSVersion = .tls13
    ) throws -> TLSSession {
        var dialling = TLSContext.Configuration.foreignServer(trust: try TrustBundle(roots: [ca.certificate]))
        dialling.maximumVersion = version
        dialling.transparency = TransparencyPolicy(logs: logs, mode: mode)
        return try TLSSession(context: try TLSContext(dialling), expecting: .foreignServer(host: "server.test"))
    }

    private func handshake(
        _ credentials: Credentials, _ mode: TransparencyPolicy.Mode = .require, staple: [UInt8]? = nil,
        version: TLSVersion = .tls13
    ) throws -> (client: TLSSession, error: TLSError?, server: TLSError?) {
        let context = try TLSContext(.edge(credentials))
        context.staple.bytes = staple
        let pair = Pair(
            try client(mode, version: version), try TLSSession(contexts: try TLSServerContexts(context)))
        let (client, server) = pair.connect()
        return (pair.client, client.error, server.error)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func embedded(_ version: TLSVersion) throws {
        let good = try credentials { [try log.timestamp($0, at: Self.present)] }
        let (client, error, _) = try handshake(good, version: version)
        #expect(error == nil && client.protocolVersion == version)
        #expect(client.transparency?.result == .enough && client.transparency?.action == "passed")
    }

    /// What is refused, and what the server is told.
    @Test(arguments: [TLSVersion.tls12, .tls13])
    func refused(_ version: TLSVersion) throws {
        let unknown = try TestLog("Unknown")
        let cases: [(Credentials, CertificateReason, TransparencyReview.Result)] = [
            (try credentials(), .transparencyMissing, .absent),
            (
                try credentials { [try unknown.timestamp($0, at: Self.present)] }, .transparencyUnproven, .unknownLog
            ),
            (
                try credentials { [try log.timestamp($0, at: Self.present + 3_600_000)] }, .transparencyUnproven,
                .future
            ),
            (
                try credentials { _ in [try log.timestamp(.certificate([1, 2, 3]), at: Self.present)] },
                .transparencyUnproven, .badSignature
            ),
        ]
        for (credentials, reason, result) in cases {
            let (client, error, server) = try handshake(credentials, version: version)
            #expect(error?.certificate?.reason == reason)
            #expect(client.transparency?.result == result && client.transparency?.action == "refused")
            #expect(client.peerIdentity == nil && client.peerChain.isEmpty)
            #expect(server?.alert == .badCertificateStatusResponse)
            // Only reported, and not looked at.
            let (reporting, passed, _) = try handshake(credentials, .report, version: version)
            #expect(passed == nil && reporting.transparency?.action == "reported")
            #expect(reporting.transparency?.error?.reason == reason)
            let (silent, ignored, _) = try handshake(credentials, .off, version: version)
            #expect(ignored == nil && silent.transparency == nil)
        }
    }

    /// In the stapled OCSP response.
    @Test(arguments: [TLSVersion.tls12, .tls13])
    func inTheStaple(_ version: TLSVersion) throws {
        let credentials = try credentials()
        let good = try log.timestamp(.certificate(credentials.leaf.der), at: Self.present)
        let (client, error, _) = try handshake(
            credentials, staple: try response(about: credentials.leaf, [good]), version: version)
        #expect(error == nil && client.staple?.code == "good" && client.transparency?.result == .enough)
        let other = try log.timestamp(.certificate(ca.certificate.der), at: Self.present)
        let (refused, why, _) = try handshake(
            credentials, staple: try response(about: credentials.leaf, [other]), version: version)
        #expect(why?.certificate?.reason == .transparencyUnproven)
        #expect(refused.transparency?.result == .badSignature)
    }

    /// In the TLS extension, of a server of somebody else's.
    @Test(arguments: [TLSVersion.tls12, .tls13])
    func inTheTLSExtension(_ version: TLSVersion) throws {
        let credentials = try credentials()
        let (certificate, key) = (Authority.file(".crt"), Authority.file(".key"))
        try credentials.write(certificateFile: certificate, keyFile: key)
        let good = try log.timestamp(.certificate(credentials.leaf.der), at: Self.present)
        var spoilt = good
        spoilt[spoilt.count - 1] ^= 1
        for (timestamp, result) in [(good, TransparencyReview.Result.enough), (spoilt, .badSignature)] {
            let program = try OpenSSLProgram([
                "s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert", certificate, "-key", key,
                "-serverinfo", try serverInformation([timestamp]),
            ])
            let line = program.said(until: "ACCEPT 127.0.0.1:")
            let rest = line.contains("\n") ? line : line + program.said(until: "\n")
            let digits = rest.split(separator: "ACCEPT 127.0.0.1:").last?.prefix { $0.isNumber } ?? ""
            let link = Loopback(
                try client(version: version), socket: try dial(try #require(UInt16(digits), "\(line)")))
            let error = link.connect()
            #expect((error == nil) == (result == .enough))
            #expect(link.session.transparency?.result == result)
            withExtendedLifetime(program) {}
        }
    }

    /// A file of `openssl s_server`: the extension for both versions of TLS.
    private func serverInformation(_ timestamps: [[UInt8]]) throws -> String {
        let list = TestLog.list(of: timestamps)
        let places = UInt32(SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO | SSL_EXT_TLS1_3_CERTIFICATE)
        var bytes = withUnsafeBytes(of: places.bigEndian) { Array($0) }
        bytes += [0, UInt8(TLSEXT_TYPE_signed_certificate_timestamp), UInt8(list.count >> 8), UInt8(list.count & 0xFF)]
        bytes += list
        let path = Authority.file(".pem")
        let body = Data(bytes).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        let label = "SERVERINFOV2 FOR SCTS"
        try "-----BEGIN \(label)-----\n\(body)\n-----END \(label)-----\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// A response that says "good" and carries SCTs.
    private func response(about leaf: Certificate, _ timestamps: [[UInt8]]) throws -> [UInt8] {
        guard case .issuer(let issuer, let key) = ca.signer, let basic = OCSP_BASICRESP_new(),
            let id = leaf.withX509({ own in issuer.withX509 { OCSP_cert_to_id(EVP_sha1(), own, $0) } })
        else { throw PreparationFailed(description: "no memory") }
        let list = TestLog.list(of: timestamps)
        let value: [UInt8] = [0x04, 0x82, UInt8(list.count >> 8), UInt8(list.count & 0xFF)] + list
        let octets = ASN1_OCTET_STRING_new()
        ASN1_OCTET_STRING_set(octets, value, Int32(value.count))
        let now = Int(unixTime())
        let (start, end) = (ASN1_GENERALIZEDTIME_set(nil, now), ASN1_GENERALIZEDTIME_set(nil, now + 600))
        let single = OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, nil, start, end)
        let item = X509_EXTENSION_create_by_NID(nil, NID_ct_cert_scts, 0, octets)
        OCSP_SINGLERESP_add_ext(single, item, -1)
        defer {
            OCSP_BASICRESP_free(basic)
            OCSP_CERTID_free(id)
            ASN1_GENERALIZEDTIME_free(start)
            ASN1_GENERALIZEDTIME_free(end)
            ASN1_OCTET_STRING_free(octets)
            X509_EXTENSION_free(item)
        }
        let isSigned = issuer.withX509 { signer in
            key.withKey { OCSP_basic_sign(basic, signer, $0, EVP_sha256(), nil, UInt(OCSP_NOCERTS)) }
        }
        guard isSigned == 1, let response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic) else {
            throw PreparationFailed(description: "the response could not be made")
        }
        defer { OCSP_RESPONSE_free(response) }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = i2d_OCSP_RESPONSE(response, &bytes)
        guard count > 0, let bytes else { throw PreparationFailed(description: "the response could not be written") }
        defer { CRYPTO_free(bytes, nil, 0) }
        return Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }
}
