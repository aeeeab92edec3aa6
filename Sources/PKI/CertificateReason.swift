/// Why a key, certificate, chain or peer was refused: a stable code for logs, metrics, tests and JSON.
public enum CertificateReason: String, Sendable, CaseIterable, CustomStringConvertible {
    // Time.
    /// The time of the check is at or after notAfter.
    case expired
    /// The time of the check is before notBefore.
    case notYetValid = "not_yet_valid"

    // Trust.
    /// No trusted root vouches for the chain.
    case unknownCA = "unknown_ca"
    /// A certificate file ends with a certificate whose issuer is neither trusted nor in the file: the trusted CA is another one, or an
    /// intermediate is absent.
    case untrustedIssuer = "untrusted_issuer"
    /// The certificate is its own issuer and is not trusted.
    case selfSigned = "self_signed"
    /// A signature in the chain does not fit the key of its issuer.
    case badSignature = "bad_signature"
    /// A certificate between the leaf and a root is absent from the file.
    case missingIntermediate = "missing_intermediate"
    /// More certificates lie between leaf and root than are allowed.
    case chainTooLong = "chain_too_long"
    /// The presented chain holds a certificate that has nothing to do with the leaf.
    case unrelatedCertificate = "unrelated_certificate"
    /// A certificate that signed another one is not a CA.
    case notACA = "not_a_ca"
    /// A name lies outside what a CA above is permitted to vouch for.
    case nameConstraint = "name_constraint"
    /// A wildcard covers names that a CA above is not permitted to vouch for.
    case wildcardConstraint = "wildcard_constraint"
    /// The issuer has withdrawn the certificate.
    case revoked
    /// Whether the issuer has withdrawn the certificate cannot be found out, and must be.
    case revocationUnknown = "revocation_unknown"
    /// A CRL is not complete for its issuer: a delta, an indirect one, or one with a part of what was revoked.
    case partialList = "partial_crl"
    /// The certificate demands a stapled OCSP response (RFC 7633), and there is none.
    case stapleMissing = "staple_missing"
    /// The certificate demands a stapled OCSP response, and what is stapled says nothing of it.
    case badStaple = "bad_staple"
    /// The certificate matches none of the pins of its holder.
    case pinMismatch = "pin_mismatch"
    /// No log of certificates has promised to publish the certificate (RFC 6962), and one must have.
    case transparencyMissing = "ct_missing"
    /// What came as such promises is not good enough.
    case transparencyUnproven = "ct_unproven"
    /// Chain verification failed for a cause without a code of its own; the message names it.
    case badChain = "bad_chain"

    // Use and names.
    /// The peer sent no certificate where one is required.
    case missingClientCertificate = "missing_client_certificate"
    /// Key usage or extended key usage is absent or does not permit the role.
    case wrongUsage = "wrong_usage"
    /// A CA certificate is used as a leaf.
    case caAsLeaf = "ca_as_leaf"
    /// The peer is somebody else than the dialler meant.
    case wrongName = "wrong_name"
    /// The certificate names nobody.
    case noIdentity = "no_identity"
    /// A name can be read in two ways (embedded NUL, several CNs, undecodable text).
    case ambiguousName = "ambiguous_name"
    /// More than one SPIFFE URI.
    case multipleSPIFFEURIs = "multiple_spiffe_uris"
    /// A SPIFFE URI breaks the syntax of the SPIFFE ID specification.
    case badSPIFFEID = "bad_spiffe_id"
    /// The CN says something else than the SPIFFE URI.
    case cnContradictsURI = "cn_contradicts_uri"
    /// The SPIFFE trust domain is not allowed here, or not the one that the root vouches for.
    case untrustedDomain = "untrusted_domain"
    /// The serial number is zero, negative or longer than 20 octets.
    case badSerial = "bad_serial"
    /// A key or signature algorithm below 112 bits of security.
    case weakKey = "weak_key"
    /// An unknown critical extension, or an extension that is malformed or doubled.
    case badExtension = "bad_extension"
    /// A key of a kind that the mesh does not use.
    case unsupportedKey = "unsupported_key"

    // Files.
    /// The file cannot be opened or read.
    case unreadableFile = "unreadable_file"
    /// The file cannot be written.
    case unwritableFile = "unwritable_file"
    /// Group or others may read the private key.
    case keyReadableByOthers = "key_readable_by_others"
    /// Somebody else than root and the user can change the file.
    case writableByOthers = "writable_by_others"
    /// The file has no content.
    case emptyFile = "empty_file"
    /// The file is larger or holds more certificates than is sensible.
    case tooLarge = "too_large"
    /// The file is not PEM.
    case notPEM = "not_pem"
    /// The file is DER where PEM was expected.
    case derInsteadOfPEM = "der_instead_of_pem"
    /// The bytes are not what their label says.
    case malformed
    /// No certificate in the file.
    case missingCertificate = "missing_certificate"
    /// No private key in the file.
    case missingKey = "missing_key"
    /// The certificates are not in the order leaf, intermediates.
    case wrongOrder = "wrong_order"
    /// Key and certificate do not belong together.
    case keyMismatch = "key_mismatch"
    /// The passphrase is wrong, or absent where one is needed.
    case badPassphrase = "bad_passphrase"
    /// Encrypted with an algorithm that this OpenSSL does not offer (often: its legacy provider).
    case unsupportedEncryption = "unsupported_encryption"

    // Issuing.
    /// A name that cannot stand in a certificate of the mesh.
    case badName = "bad_name"
    /// A text that is not a pin.
    case badPin = "bad_pin"
    /// A request that the CA cannot fulfil as asked.
    case badRequest = "bad_request"
    /// The cryptographic library failed (out of memory, broken installation).
    case libraryFailure = "library_failure"

    /// The stable code.
    public var description: String { rawValue }
}
