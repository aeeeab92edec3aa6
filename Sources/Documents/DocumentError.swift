/// Why a mesh document was not taken: a stable code, what happened, what to do next.
public struct DocumentError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a refusal, for logs, metrics and problem documents.
    public enum Code: String, Sendable, CaseIterable {
        /// Not an envelope that this version can read.
        case malformed = "malformed_document"
        /// More bytes than a document may have.
        case tooLarge = "document_too_large"
        /// Another kind than the place that it was given to.
        case wrongKind = "wrong_document_kind"
        /// It is for another trust domain.
        case otherMesh = "other_mesh"
        /// No list of operators is known here, so that nobody's signature can be checked.
        case noOperators = "no_operators"
        /// Its signer is not among the operators, or, for the list of operators, not a root of this mesh.
        case unknownOperator = "unknown_operator"
        /// The signature is not the signer's over this document.
        case badSignature = "bad_document_signature"
        /// A newer document is in force; versions only rise.
        case older = "older_document"
        /// Signed well, and what it says cannot be used.
        case badContent = "bad_document_content"
        /// Its version is so far above the one in force that it would use up the numbers of those that follow.
        case tooFarAhead = "version_too_far_ahead"
        /// It was made from another version than the one in force.
        case changed = "document_changed"
        /// It could not be written to the disk, and was therefore not put in force.
        case notStored = "document_not_stored"
        /// Its signer is a root for which no root that is trusted here vouches.
        case unvouchedRoot = "root_not_vouched"
        /// Its signer is a root that has ended, or whose time has not come.
        case rootNotInTime = "root_not_in_time"
        /// With it in force this node could not prove itself, or nobody could sign documents any more.
        case lockout = "trust_lockout"
        /// This node has no trust domain, so that no document can be meant for it.
        case noTrustDomain = "no_trust_domain"
    }

    /// The stable code.
    public let code: Code
    /// What happened, in one line.
    public let message: String
    /// What to do next, in one line.
    public let hint: String

    /// An error from its parts.
    public init(_ code: Code, _ message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// `message (code)`
    public var description: String { "\(message) (\(code.rawValue))" }
}
