public import Enrolment
import EventLoop
public import PKI
public import TLS

/// A node's side of enrolment: asks the CA, checks what it answers.
@ControlPlane
public enum EnrolmentClient {
    private static var parts: ChannelLoop?

    /// The first certificate, by a token. The key is made by the caller and stays with him.
    ///
    /// - Parameters:
    ///   - terms: what may be negotiated, see `TLSProfile.enrolmentTerms`.
    ///   - place: where the answer goes, which must not be another mesh's. Looked at before the token is shown to the CA.
    /// - Returns: certificate and key, checked as peers will check them, and what the CA said besides.
    public static func join(
        _ token: JoinToken, key: PrivateKey, under terms: TLSTerms, into place: JoinPlace? = nil
    ) async throws(EnrolmentError) -> (credentials: Credentials, issued: IssuedIdentity) {
        let request = try made { () throws(CertificateError) in
            try CertificateSigningRequest.make(node: token.node, key: key)
        }
        return try await join(token, key: key, request: request.der, under: terms, into: place)
    }

    /// The same with a request that somebody else made for `key`.
    public static func join(
        _ token: JoinToken, key: PrivateKey, request: [UInt8], under terms: TLSTerms, into place: JoinPlace? = nil
    ) async throws(EnrolmentError) -> (credentials: Credentials, issued: IssuedIdentity) {
        var configuration = TLSContext.Configuration(role: .client, alpn: ["http/1.1"])
        configuration.rootFingerprint = token.fingerprint
        configuration.terms = terms
        let issued = try await ask(token.address, configuration, JoinRequest.path) { session in
            try place?.check(token, trustDomain: session.peerIdentity?.spiffe?.trustDomain)
            let exporter = try session.exporter(
                label: EnrolmentProof.exporterLabel, count: EnrolmentProof.exporterBytes)
            let message = EnrolmentProof.message(exporter: exporter, request: request)
            return JoinRequest(token: token.key.publicKey, request: request, signature: token.key.sign(message)).body
        }
        guard issued.trust.roots.contains(where: { $0.fingerprintSHA256 == token.fingerprint }) else {
            throw EnrolmentError(
                .badAnswer, "the root that the token names is not among those that the node shall trust",
                hint:
                    "where the mesh's root was replaced since the token was made, make a new one: mesh ca token create --node "
                    + token.node)
        }
        let credentials = try issued.credentials(for: token.node, key: key, now: Clock.unixSeconds())
        return (credentials, issued)
    }

    /// The next certificate, by the present one, and what the CA said besides.
    ///
    /// - Parameters:
    ///   - address: where the CA listens.
    ///   - trust: the roots that vouch for the CA.
    ///   - terms: what may be negotiated.
    public static func renew(
        _ present: Credentials, node: String, trustDomain: String, address: String, trust: TrustBundle, key: PrivateKey,
        under terms: TLSTerms
    ) async throws(EnrolmentError) -> (credentials: Credentials, issued: IssuedIdentity) {
        let request = try made { () throws(CertificateError) in
            try CertificateSigningRequest.make(node: node, key: key)
        }
        var configuration = TLSContext.Configuration(
            role: .client, credentials: present, trust: trust, alpn: ["http/1.1"], trustDomains: [trustDomain])
        configuration.terms = terms
        let issued = try await ask(address, configuration, RenewRequest.path) { _ in
            RenewRequest(request: request.der).body
        }
        return (try issued.credentials(for: node, key: key, now: Clock.unixSeconds()), issued)
    }

    private static func ask(
        _ address: String, _ configuration: TLSContext.Configuration, _ path: String,
        body: @escaping (TLSSession) throws -> [UInt8]
    ) async throws(EnrolmentError) -> IssuedIdentity {
        let endpoint: Endpoint
        let context: TLSContext
        do {
            endpoint = try Endpoint(parsing: address)
            context = try TLSContext(configuration)
        } catch {
            throw EnrolmentError(.unreachable, "\(address): \(error)", hint: "check the CA's address")
        }
        let parts = parts ?? ChannelLoop(ControlPlane.loop)
        self.parts = parts
        let result = await withCheckedContinuation { continuation in
            _ = CAExchange(endpoint, context: context, path: path, parts: parts, body: body) { result in
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }

    private static func made<Value>(_ body: () throws(CertificateError) -> Value) throws(EnrolmentError) -> Value {
        do throws(CertificateError) {
            return try body()
        } catch {
            throw EnrolmentError(.badCertificate, error.description, hint: error.hint)
        }
    }
}
