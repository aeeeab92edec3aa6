import Bytes
import Documents
import EventLoop
import Gateway
import PKI
import TLS

/// The certificate by which a client proves who it is.
///
/// Its own, of the TLS connection; or, where a trusted proxy writes the requests, the one that the proxy passed on in
/// Client-Cert (RFC 9440). What the connection itself proves is then the proxy's, and says nothing about its clients.
struct ClientCertificate: Sendable {
    /// The common name.
    let commonName: String?
    /// The SPIFFE ID, as text.
    let spiffe: String?
    /// SHA-256 of the certificate in DER.
    let thumbprint: [UInt8]
    /// Another CA than the mesh's vouches for it. What a proxy has verified counts as the proxy's own word.
    let isForeign: Bool
    /// When it ends, unix seconds.
    let notAfter: Int64

    /// The certificate of whoever sent a request on `connection`; nil where there is none.
    ///
    /// Throws 400 `bad_forwarded_field` where Client-Cert holds something else, 401 where it is out of its time: the proxy has looked
    /// at it when the connection began, which may be long ago. 403 where it is revoked.
    static func of(_ client: ClientInfo, on connection: EdgeConnection) throws(EdgeRefusal) -> ClientCertificate? {
        guard connection.listener.trust.speaksForOthers(connection.facts) else {
            guard let session = connection.channel.session, let identity = session.peerIdentity else { return nil }
            let isForeign = connection.core.runtime.mesh?.isForeign(session.peerChain) ?? false
            return ClientCertificate(identity, isForeign: isForeign)
        }
        return try client.certificate.map { der throws(EdgeRefusal) in
            try ClientCertificate(forwarded: der, connection.core.revoked())
        }
    }

    /// The one that TLS has verified.
    private init?(_ identity: PeerIdentity, isForeign: Bool) {
        guard let thumbprint = Hex.decode(identity.fingerprint) else { return nil }
        commonName = identity.commonName
        spiffe = identity.spiffe?.description
        self.isForeign = isForeign
        notAfter = identity.notAfter
        self.thumbprint = thumbprint
    }

    /// One that a proxy has verified.
    private init(forwarded der: [UInt8], _ revoked: RevocationCheck) throws(EdgeRefusal) {
        do throws(CertificateError) {
            let leaf = try Certificate(der: der)
            if revoked.entry(for: [leaf]) != nil { throw Self.revoked }
            try leaf.checkTime(at: Clock.unixSeconds())
            isForeign = false
            notAfter = leaf.notAfter
            let uris = leaf.spiffeURIs
            guard uris.count <= 1, let thumbprint = Hex.decode(leaf.fingerprintSHA256) else { throw Self.several }
            commonName = leaf.commonName
            spiffe = try uris.first.map { uri throws(CertificateError) in try SPIFFEID(parsing: uri).description }
            self.thumbprint = thumbprint
        } catch {
            throw Self.refusal(of: error)
        }
    }

    private static func refusal(of error: CertificateError) -> EdgeRefusal {
        switch error.reason {
        case .revoked:
            EdgeRefusal(reason: "certificate_revoked", status: 403, detail: "the client's certificate is revoked")
        // The proxy's connection stays: other clients come by it.
        case .expired:
            EdgeRefusal(
                reason: "certificate_expired", status: 401, detail: "the client's certificate has expired",
                hint: "connect to the proxy again with a new certificate")
        case .notYetValid:
            EdgeRefusal(
                reason: "certificate_not_yet_valid", status: 401, detail: "the client's certificate is not valid yet",
                hint: "see that the clocks of the issuer and of this host are right")
        default:
            EdgeRefusal(.badForwardedField, status: 400, "Client-Cert holds no certificate that can be used")
        }
    }

    private static var revoked: CertificateError {
        CertificateError(.revoked, "the certificate is revoked", hint: "use a new certificate with a new key")
    }

    private static var several: CertificateError {
        CertificateError(.badSPIFFEID, "more than one SPIFFE ID", hint: "issue the certificate with one")
    }
}
