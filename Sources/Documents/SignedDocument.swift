internal import Bytes
internal import CSodium
public import JSON
public import PKI

/// A mesh document in its envelope: what is said, by whom, in which version, and the signature over all of it.
///
/// What is signed is not the envelope's JSON but a canonical string of bytes made of its parts (`signedBytes`), which
/// begins with words that nothing else in the mesh signs.
public struct SignedDocument: Sendable, Equatable {
    /// What it says.
    public let kind: DocumentKind
    /// The mesh that it is for.
    public let trustDomain: String
    /// Counts up from 1; a lower one never replaces a higher.
    public let version: UInt64
    /// When it was signed, unix seconds, by the signer's clock. For people: only `version` decides.
    public let issued: Int64
    /// SHA-256 of the signer's SubjectPublicKeyInfo, base64: an operator's, or for the list of operators a root's.
    public let signer: String
    /// The exact bytes of the content.
    public let payload: [UInt8]
    /// The signature over `signedBytes`.
    public let signature: [UInt8]

    /// The envelope's layout.
    static let format: Int64 = 1
    /// The largest content, in bytes: a policy of tens of thousands of rules.
    public static let largestPayload = 4 << 20
    /// The largest envelope, in bytes: the content in base64 and the rest.
    public static let largestEnvelope = 6 << 20
    /// Exact in every JSON reader (RFC 8259, section 6).
    public static let largestVersion: Int64 = (1 << 53) - 1

    private static let members: Set<String> = [
        "format", "kind", "trustDomain", "version", "issued", "signer", "payload", "signature",
    ]

    // MARK: - Signing

    /// Signs a document with an operator's key.
    ///
    /// Errors: those of `PrivateKey.sign`.
    public init(
        _ kind: DocumentKind, trustDomain: String, version: UInt64, issued: Int64, payload: [UInt8],
        signedBy key: PrivateKey
    ) throws(CertificateError) {
        guard let scheme = Self.scheme(of: key.kind) else {
            throw CertificateError(
                .unsupportedKey, "a key of the kind \(key.kind) does not sign documents",
                hint: "use an operator's key, as mesh ca init and mesh operator add make it")
        }
        self.kind = kind
        self.trustDomain = trustDomain
        self.version = version
        self.issued = issued
        self.payload = payload
        signer = key.publicKey.spkiSHA256
        signature = try key.sign(
            Self.signedBytes(kind, trustDomain, version, issued, key.publicKey.spkiSHA256, payload), scheme: scheme)
    }

    /// What the signature is over: a line that names the purpose, then kind, trust domain and signer (each with its
    /// length, 2 bytes), version (8), time (8), and the content with its length (8). Big endian.
    public var signedBytes: [UInt8] { Self.signedBytes(kind, trustDomain, version, issued, signer, payload) }

    private static func signedBytes(
        _ kind: DocumentKind, _ trustDomain: String, _ version: UInt64, _ issued: Int64, _ signer: String,
        _ payload: [UInt8]
    ) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: payload.count + 512)
        writer.writeString("conduit-mesh document v1\0")
        for text in [kind.rawValue, trustDomain, signer] {
            writer.writeUInt16(UInt16(clamping: text.utf8.count))
            writer.writeString(text)
        }
        writer.writeUInt64(version)
        writer.writeUInt64(UInt64(bitPattern: issued))
        writer.writeUInt64(UInt64(payload.count))
        writer.writeBytes(payload)
        return writer.bytes
    }

    /// Whether `key` made the signature.
    public func isSigned(by key: PublicKey) -> Bool {
        guard key.spkiSHA256 == signer, let scheme = Self.scheme(of: key.kind) else { return false }
        return key.verify(signature, over: signedBytes, scheme: scheme)
    }

    /// How keys of each kind sign documents. Operators have Ed25519 keys; roots have whatever they were made with.
    private static func scheme(of key: KeyDescription) -> SignatureScheme? {
        switch key.family {
        case .ed25519: .ed25519
        case .rsa: .rsaPSS(.sha256)
        case .ec:
            switch EllipticCurve(key) {
            case .p256: .ecdsa(.sha256)
            case .p384: .ecdsa(.sha384)
            case .p521: .ecdsa(.sha512)
            case nil: nil
            }
        case .unsupported: nil
        }
    }

    /// Where the document stands among those of its kind.
    public var stamp: DocumentStamp {
        let bytes = signedBytes
        var hash = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256(&hash, bytes, UInt64(bytes.count))
        return DocumentStamp(version: version, digest: hash.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    // MARK: - The envelope

    /// Reads an envelope. The signature is not looked at.
    ///
    /// Errors: `document_too_large`, `malformed_document`.
    public init(envelope: [UInt8]) throws(DocumentError) {
        guard envelope.count <= Self.largestEnvelope else {
            throw DocumentError(
                .tooLarge, "a document has at most \(Self.largestEnvelope) bytes", hint: "make its content smaller")
        }
        do {
            // A few members and nothing nested: whoever sends something else is not to cost more than its bytes.
            let limits = JSONLimits(maximumBytes: Self.largestEnvelope, maximumDepth: 2, maximumValues: 32)
            self = try Self.read(JSONReader.parse(envelope, limits: limits).requireObject())
        } catch let error as JSONError {
            throw Self.malformed("\(error)")
        } catch let error as JSONAccessError {
            throw Self.malformed(error.description)
        } catch {
            throw Self.malformed("\(error)")
        }
    }

    private static func malformed(_ detail: String) -> DocumentError {
        DocumentError(
            .malformed, "not a mesh document: \(detail)",
            hint: "give a file that mesh ca init or an agent wrote, and use the same version of mesh everywhere")
    }

    private static func read(_ object: JSONObject) throws -> SignedDocument {
        try object.requireOnly(members)
        _ = try object.integer("format", in: format...format)
        guard let kind = DocumentKind(rawValue: try object.string("kind")) else {
            throw JSONAccessError(code: .badValue, path: "kind", message: "is none that this version knows")
        }
        let domain = try object.string("trustDomain")
        guard SPIFFEID.isTrustDomain(domain) else {
            throw JSONAccessError(code: .badValue, path: "trustDomain", message: "is no trust domain")
        }
        let signer = try object.string("signer")
        guard Base64.decode(signer)?.count == Int(crypto_hash_sha256_BYTES) else {
            throw JSONAccessError(code: .badValue, path: "signer", message: "is no SHA-256 in base64")
        }
        let payload = try bytes(object, "payload")
        guard payload.count <= largestPayload else {
            throw JSONAccessError(
                code: .outOfRange, path: "payload", message: "has more than \(largestPayload) bytes")
        }
        return SignedDocument(
            kind: kind, trustDomain: domain,
            version: UInt64(try object.integer("version", in: 1...largestVersion)),
            issued: try object.integer("issued", in: 0...largestVersion), signer: signer, payload: payload,
            signature: try bytes(object, "signature"))
    }

    private static func bytes(_ object: JSONObject, _ key: String) throws(JSONAccessError) -> [UInt8] {
        guard let bytes = Base64URL.decode(try object.string(key)) else {
            throw JSONAccessError(code: .badValue, path: key, message: "is no base64url")
        }
        return bytes
    }

    private init(
        kind: DocumentKind, trustDomain: String, version: UInt64, issued: Int64, signer: String, payload: [UInt8],
        signature: [UInt8]
    ) {
        self.kind = kind
        self.trustDomain = trustDomain
        self.version = version
        self.issued = issued
        self.signer = signer
        self.payload = payload
        self.signature = signature
    }

    /// The envelope as JSON.
    public var json: JSONValue {
        [
            "format": .integer(Self.format), "kind": .string(kind.rawValue), "trustDomain": .string(trustDomain),
            "version": JSONValue(version), "issued": .integer(issued), "signer": .string(signer),
            "payload": .string(Base64URL.encode(payload)), "signature": .string(Base64URL.encode(signature)),
        ]
    }

    /// The envelope as bytes.
    public var envelope: [UInt8] { json.serialized() }
}
