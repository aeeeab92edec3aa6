internal import Bytes

/// Makes and checks the proofs of AUTH for one new link: that an end holds the key of the session, on this very TLS
/// connection, in this role and with these counts (`docs/link-protocol.md`, "Resumption").
///
/// The room does no cryptography: the code is computed by a function that has the session's key in it.
public struct ResumptionProof: Sendable {
    /// Computes the message authentication code (HMAC-SHA256) of a message with the session's key: 32 bytes.
    public typealias Authenticate = @Sendable (_ message: [UInt8]) -> [UInt8]

    /// Size of a proof, and of the new link's exporter, in bytes.
    public static let size = 32
    /// The label under which the key of a session is exported from the TLS of its first link (RFC 5705): 32 bytes, no
    /// context.
    public static let sessionLabel = "EXPORTER-conduit-link-session"
    /// The label under which a new link is bound to its TLS: 32 bytes, no context.
    public static let linkLabel = "EXPORTER-conduit-link-resume"

    private let authenticate: Authenticate
    private let exporter: [UInt8]
    private let dialler: BootID
    private let acceptor: BootID

    /// - Parameters:
    ///   - authenticate: has the session's key.
    ///   - exporter: of the new link's TLS, under `linkLabel`.
    ///   - dialler: the boot id of the end that dialled the new link.
    ///   - acceptor: the boot id of the other.
    public init(authenticate: @escaping Authenticate, exporter: [UInt8], dialler: BootID, acceptor: BootID) {
        self.authenticate = authenticate
        self.exporter = exporter
        self.dialler = dialler
        self.acceptor = acceptor
    }

    /// The acceptor's proof for its own claim.
    func acceptorProof(_ offer: ResumeClaim) -> [UInt8] { code(.acceptor, [offer]) }

    /// The dialler's proof for both claims.
    func diallerProof(_ offer: ResumeClaim, _ answer: ResumeClaim) -> [UInt8] { code(.dialler, [offer, answer]) }

    private func code(_ role: LinkRole, _ claims: [ResumeClaim]) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: 160)
        writer.writeString("conduit.link.v1 resume")
        writer.writeUInt8(0)
        writer.writeUInt8(role == .dialler ? 0 : 1)
        writer.writeBytes(exporter)
        for bootID in [dialler, acceptor] {
            writer.writeUInt64(bootID.high)
            writer.writeUInt64(bootID.low)
        }
        for claim in claims { writer.writeBytes(claim.payload) }
        return authenticate(writer.bytes)
    }

    /// Whether two proofs are equal, in a time that does not depend on where they differ.
    static func equal(_ proof: [UInt8], _ received: UnsafeRawBufferPointer) -> Bool {
        proof.count == size && proof.withUnsafeBytes { ConstantTime.equal($0, received) }
    }
}
