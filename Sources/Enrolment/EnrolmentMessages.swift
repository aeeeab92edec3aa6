import Bytes
public import JSON
public import PKI

/// `POST /v1/join`: the request for the first certificate, signed with the token's key.
public struct JoinRequest: Sendable, Equatable {
    /// The public half of the token's key.
    public let token: [UInt8]
    /// The request for a certificate in DER.
    public let request: [UInt8]
    /// Signature over ``EnrolmentProof``'s message.
    public let signature: [UInt8]

    /// The path of the request.
    public static let path = "/v1/join"

    /// A request from its parts.
    public init(token: [UInt8], request: [UInt8], signature: [UInt8]) {
        self.token = token
        self.request = request
        self.signature = signature
    }

    /// Reads a request's body.
    public init(parsing body: [UInt8]) throws(EnrolmentError) {
        let object = try EnrolmentJSON.object(body, ["token", "csr", "signature"])
        token = try EnrolmentJSON.bytes(object, "token", length: 32...32)
        request = try EnrolmentJSON.bytes(object, "csr", length: 1...CertificateSigningRequest.sizeLimit)
        signature = try EnrolmentJSON.bytes(object, "signature", length: 64...64)
    }

    /// The body.
    public var body: [UInt8] {
        JSONValue.object([
            "token": .string(Base64URL.encode(token)), "csr": .string(Base64URL.encode(request)),
            "signature": .string(Base64URL.encode(signature)),
        ]).serialized()
    }
}

/// `POST /v1/renew`: the request for the next certificate; who asks is proven by the certificate of the TLS connection.
public struct RenewRequest: Sendable, Equatable {
    /// The request for a certificate in DER.
    public let request: [UInt8]

    /// The path of the request.
    public static let path = "/v1/renew"

    /// A request from its parts.
    public init(request: [UInt8]) { self.request = request }

    /// Reads a request's body.
    public init(parsing body: [UInt8]) throws(EnrolmentError) {
        let object = try EnrolmentJSON.object(body, ["csr"])
        request = try EnrolmentJSON.bytes(object, "csr", length: 1...CertificateSigningRequest.sizeLimit)
    }

    /// The body.
    public var body: [UInt8] {
        JSONValue.object(["csr": .string(Base64URL.encode(request))]).serialized()
    }
}

/// The answer to both: certificate, whom to trust, the names that were granted, and what the mesh goes by.
public struct IssuedIdentity: Sendable {
    /// The certificate, then its intermediates.
    public let chain: [Certificate]
    /// The roots of the mesh.
    public let trust: TrustBundle
    /// The names that were granted.
    public let grant: NodeGrant
    /// The trust domain.
    public let trustDomain: String
    /// The mesh documents in force at the CA, in their envelopes: who may sign, what is revoked, the policy. They are
    /// checked by their signatures, like those that come over a link.
    public let documents: [JSONValue]

    /// An answer from its parts.
    public init(
        chain: [Certificate], trust: TrustBundle, grant: NodeGrant, trustDomain: String, documents: [JSONValue] = []
    ) {
        self.documents = documents
        self.chain = chain
        self.trust = trust
        self.grant = grant
        self.trustDomain = trustDomain
    }

    /// Reads an answer's body.
    public init(parsing body: [UInt8]) throws(EnrolmentError) {
        let value: JSONValue
        do {
            value = try JSONReader.parse(body)
        } catch {
            throw Self.bad("\(error)")
        }
        func texts(_ name: String) -> [String] { value[name]?.array?.compactMap(\.string) ?? [] }
        guard let certificate = value["certificate"]?.string, let trust = value["trust"]?.string,
            let node = value["node"]?.string, let domain = value["trustDomain"]?.string,
            SPIFFEID.isTrustDomain(domain)
        else { throw Self.bad("a member is missing") }
        do throws(CertificateError) {
            chain = try Certificate.parsePEM(Array(certificate.utf8))
            self.trust = try TrustBundle(roots: Certificate.parsePEM(Array(trust.utf8)))
            grant = try NodeGrant(node: node, dnsNames: texts("dns"), ipAddresses: texts("ip"))
        } catch {
            throw Self.bad(error.description)
        }
        trustDomain = domain
        documents = value["documents"]?.array ?? []
    }

    /// The body.
    public var body: [UInt8] {
        JSONValue.object([
            "certificate": .string(chain.map(\.pem).joined()), "trust": .string(trust.roots.map(\.pem).joined()),
            "node": .string(grant.node), "dns": .init(grant.dnsNames), "ip": .init(grant.ipAddresses),
            "trustDomain": .string(trustDomain), "documents": .array(documents),
        ]).serialized()
    }

    /// Puts certificate and key together and checks everything that peers will check: match, chain, names, times.
    ///
    /// - Parameters:
    ///   - node: who asked.
    ///   - now: unix seconds.
    ///
    /// Errors: `bad_certificate`.
    public func credentials(for node: String, key: PrivateKey, now: Int64) throws(EnrolmentError) -> Credentials {
        guard grant.node == node, let leaf = chain.first, grant.isExactly(leaf, trustDomain: trustDomain) else {
            throw Self.wrong("the certificate has other names than were granted to \(node)")
        }
        do throws(CertificateError) {
            let credentials = try Credentials(chain: chain, key: key)
            _ = try credentials.validate(trust: trust, trustDomains: [trustDomain], now: now)
            return credentials
        } catch {
            throw Self.wrong(error.description)
        }
    }

    private static func bad(_ what: String) -> EnrolmentError {
        EnrolmentError(
            .badAnswer, "the answer is not a CA's: \(what)",
            hint: "does this address belong to the CA, and has it the same version? mesh version")
    }

    private static func wrong(_ what: String) -> EnrolmentError {
        EnrolmentError(
            .badCertificate, "the CA's certificate cannot be used: \(what)",
            hint: "compare the clocks of both hosts; look at the CA's log")
    }
}

/// Reading the bodies of requests.
enum EnrolmentJSON {
    /// An object with exactly these members.
    static func object(_ body: [UInt8], _ names: Set<String>) throws(EnrolmentError) -> JSONObject {
        let value: JSONValue
        do {
            value = try JSONReader.parse(body)
        } catch {
            throw bad("\(error)")
        }
        guard let object = value.object, Set(object.keys) == names else {
            throw bad("it has to have \(names.sorted().joined(separator: ", ")), and nothing else")
        }
        return object
    }

    /// Bytes in base64url.
    static func bytes(
        _ object: JSONObject, _ name: String, length: ClosedRange<Int>
    ) throws(EnrolmentError) -> [UInt8] {
        guard let text = object[name]?.string, let bytes = Base64URL.decode(text), length.contains(bytes.count) else {
            throw bad("\(name) is not base64url of the right length")
        }
        return bytes
    }

    private static func bad(_ what: String) -> EnrolmentError {
        EnrolmentError(
            .badRequest, "the request cannot be read: \(what)", hint: "ask with mesh join, of the same version")
    }
}
