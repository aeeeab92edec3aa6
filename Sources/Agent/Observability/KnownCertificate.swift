import Documents
import EventLoop
import JSON
import PKI

/// A certificate that this agent uses or has seen at a peer.
struct KnownCertificate: Sendable {
    /// What it is for.
    enum Use: String, Sendable {
        /// The node's own chain.
        case identity
        /// A CA that nodes' certificates lead to.
        case trust
        /// Of an edge listener, and those above it.
        case edge
        /// A CA that an edge listener's clients' certificates lead to.
        case edgeClients = "edge_clients"
        /// That we show to a service's target, and those above it.
        case target
        /// A CA that a target's certificate leads to.
        case targetTrust = "target_trust"
        /// A CA for the server that an issuer's keys are fetched from.
        case keysTrust = "jwks_trust"
        /// Of the CA that this node serves, and those above it.
        case ca
        /// Of a node that is linked, and those above it but the root.
        case peer
    }

    let use: Use
    /// The node, listener, service, issuer or CA.
    let name: String
    let subject: String
    let issuer: String
    let serial: String
    let fingerprint: String
    /// SHA-256 of SubjectPublicKeyInfo, base64.
    let publicKey: String
    let expiry: CertificateExpiry
    /// What is stapled to it, where responses are fetched for it.
    var staple: StapleKeeper.Status?
    /// The root that it is below, and where that stands in the mesh's list of roots.
    var root: (subject: String, state: RootList.State?)?
    /// Begin of validity, unix seconds.
    let notBefore: Int64

    init(_ use: Use, _ name: String, _ certificate: Certificate) {
        self.use = use
        self.name = name
        subject = certificate.subject
        issuer = certificate.issuer
        serial = certificate.serialHex
        fingerprint = certificate.fingerprintSHA256
        publicKey = certificate.spkiSHA256
        expiry = CertificateExpiry(certificate)
        notBefore = certificate.notBefore
    }

    /// As the control API has it.
    func json(now: Int64) -> JSONValue {
        var object: JSONObject = [
            "use": .string(use.rawValue), "name": .string(name), "subject": .string(subject),
            "issuer": .string(issuer), "serial": .string(serial),
            "fingerprint": .string(fingerprint), "spkiSHA256": .string(publicKey), "begins": .integer(notBefore),
            "expires": .string(Timestamp.rfc3339(milliseconds: expiry.notAfter * 1000)),
            "secondsRemaining": .integer(expiry.notAfter - now), "valid": .bool(now < expiry.notAfter),
            "expiringSoon": .bool(expiry.isSoon(at: now)),
        ]
        if let root {
            object["root"] = .string(root.subject)
            if let state = root.state { object["rootState"] = .string(state.rawValue) }
        }
        if let staple { object["staple"] = staple.json }
        return .object(object)
    }
}
