import Bytes
import EventLoop
import PKI

/// Makes certificates that a node must refuse. Each is the good one but for a single fault, so that a refusal shows that
/// this very check works.
struct BadCertificates {
    /// The names of the good certificate.
    struct Template {
        let name: String
        /// Nil for certificates that identify by CN alone.
        let spiffe: String?
        /// The trust domain of the mesh; nil where nothing names it.
        let trustDomain: String?
    }

    let template: Template
    /// The CA whose name is copied.
    let ca: Certificate
    /// That CA and those above it, as far as they have to be sent.
    let caChain: [Certificate]
    /// The CA with its key, where we have it.
    let authority: OwnIdentity.Authority?
    /// Unix seconds.
    let now: Int64

    private static let hour: Int64 = 3600
    private static let day: Int64 = 86_400

    /// The name that certificates get where there is no good one to copy.
    static let defaultName = "mtls-tester"

    init(_ identity: OwnIdentity, server: PeerIdentity?, now: Int64) {
        let leaf = identity.credentials?.leaf
        let own = (leaf?.spiffeURIs.first).flatMap { try? SPIFFEID(parsing: $0) }
        let ofCA = identity.trust.roots.lazy.flatMap(\.spiffeURIs).compactMap { try? SPIFFEID(parsing: $0) }.first
        let domain = own?.trustDomain ?? ofCA?.trustDomain ?? server?.spiffe?.trustDomain
        let name = leaf?.commonName ?? own?.nodeName ?? Self.defaultName
        let made = domain.flatMap { try? SPIFFEID.node(name, in: $0).description }
        let sent = identity.credentials?.chain ?? []
        let copied = identity.copiedCA
        caChain = sent.firstIndex(of: copied).map { sent[$0...].filter { !$0.isSelfSigned } } ?? []
        template = Template(name: name, spiffe: leaf == nil ? made : leaf?.spiffeURIs.first, trustDomain: domain)
        ca = copied
        authority = identity.authority
        self.now = now
    }

    // MARK: - Without the CA's key

    /// Issued by somebody else under the name and key identifier of our CA.
    func foreign(sendsCA: Bool) throws(CertificateError) -> Credentials {
        let foreignKey = try PrivateKey.generate()
        let key = try PrivateKey.generate()
        let leaf = try good(key.publicKey).build(signedBy: .issuer(ca, foreignKey))
        // An intermediate CA must be sent along, or the node could not even look for our CA's key.
        guard sendsCA else { return try Credentials(chain: [leaf] + caChain, key: key) }
        var forged = CertificateBuilder(
            subject: [], publicKey: foreignKey.publicKey, notBefore: ca.notBefore, notAfter: ca.notAfter)
        forged.subjectCopiedFrom = ca
        forged.basicConstraints = BasicConstraints(isCA: true)
        forged.keyUsage = [.keyCertSign, .cRLSign]
        forged.extendedKeyUsage = nil
        forged.hasKeyIdentifiers = false
        if let id = ca.constraints.subjectKeyID.flatMap({ Hex.decode($0) }), id.count < 0x80 {
            // subjectKeyIdentifier: an OCTET STRING (RFC 5280, section 4.2.1.2).
            let value: [UInt8] = [0x04, UInt8(id.count)] + id
            forged.extraExtensions = [RawExtension(oid: "2.5.29.14", isCritical: false, value: value)]
        }
        return try Credentials(chain: [leaf, forged.build(signedBy: .own(foreignKey))], key: key)
    }

    func selfSigned() throws(CertificateError) -> Credentials {
        let key = try PrivateKey.generate()
        return try Credentials(chain: [good(key.publicKey).build(signedBy: .own(key))], key: key)
    }

    /// A certificate for somebody else that only claims to be from our CA: bait for whoever reads names from the wrong
    /// certificate of a chain.
    func forgedCompanion(for name: String) throws(CertificateError) -> Certificate {
        let key = try PrivateKey.generate()
        var builder = good(key.publicKey)
        builder.subject = [.commonName(name)]
        if let domain = template.trustDomain {
            builder.alternativeNames = [.uri(try SPIFFEID.node(name, in: domain).description)]
        }
        return try builder.build(signedBy: .issuer(ca, PrivateKey.generate()))
    }

    // MARK: - With it

    /// Issued by the CA with what `change` spoils; nil without the CA's key.
    func issued(
        _ key: PrivateKey? = nil, _ change: (inout CertificateBuilder) -> Void
    ) throws(CertificateError) -> Credentials? {
        guard let authority else { return nil }
        let generated = try PrivateKey.generate()
        let key = key ?? generated
        var builder = good(key.publicKey)
        change(&builder)
        let leaf = try builder.build(signedBy: .issuer(authority.certificate, authority.key))
        return try Credentials(chain: [leaf] + authority.intermediates, key: key)
    }

    /// The one with that fault; nil without the CA's key, or where it needs a trust domain and none is known.
    func make(_ fault: CheckID) throws(CertificateError) -> Credentials? {
        let domain = template.trustDomain
        switch fault {
        case .expired:
            return try issued {
                $0.notBefore = now - 2 * Self.day
                $0.notAfter = now - Self.hour
            }
        case .notYetValid:
            return try issued {
                $0.notBefore = now + Self.day
                $0.notAfter = now + 2 * Self.day
            }
        case .wrongUsage: return try issued { $0.extendedKeyUsage = [.serverAuth] }
        case .noUsage: return try issued { $0.extendedKeyUsage = nil }
        case .twoSPIFFE:
            guard let domain else { return nil }
            let other = try SPIFFEID.node("\(template.name)-2", in: domain).description
            return try issued { $0.alternativeNames = [.uri(template.spiffe ?? other), .uri("\(other)-3")] }
        case .malformedSPIFFE:
            guard let domain else { return nil }
            return try issued { $0.alternativeNames = [.uri("spiffe://\(domain)/node//\(template.name)")] }
        case .cnContradictsURI:
            guard let domain else { return nil }
            let other = try SPIFFEID.node("\(template.name)-2", in: domain).description
            return try issued { $0.alternativeNames = [.uri(other)] }
        case .ambiguousName:
            return try issued { $0.subject = [.commonName(template.name), .commonName("\(template.name)-2")] }
        case .foreignDomain:
            let foreign = try SPIFFEID.node(template.name, in: "foreign.example").description
            return try issued { $0.alternativeNames = [.uri(foreign)] }
        case .caAsLeaf:
            return try issued {
                $0.basicConstraints = BasicConstraints(isCA: true)
                $0.keyUsage = [.digitalSignature, .keyCertSign]
            }
        case .negativeSerial: return try issued { $0.serial = .number(-42) }
        case .weakKey: return try issued(PrivateKey.generateRSA(bits: 1024)) { _ in }
        default: return nil
        }
    }

    /// A certificate without fault, for an hour.
    private func good(_ key: PublicKey) -> CertificateBuilder {
        var builder = CertificateBuilder(
            subject: [.commonName(template.name)], publicKey: key, notBefore: now - 300, notAfter: now + Self.hour)
        if let spiffe = template.spiffe { builder.alternativeNames = [.uri(spiffe)] }
        return builder
    }
}
