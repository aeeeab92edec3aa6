/// How DPoP proofs are checked (RFC 9449).
public struct DPoPSettings: Sendable {
    /// Nonces that proofs must carry; nil where none are asked for.
    ///
    /// Without nonces a proof is good once until it is too old, and after a restart only proofs count that were made
    /// after the start.
    public var nonces: DPoPNonces?
    /// How old a proof may be, in seconds.
    public var maximumAge: Int64
    /// How far a client's clock may go ahead, in seconds.
    public var leeway: Int64
    /// When this process started, unix seconds: its replay cache knows nothing of what was before.
    public var startedAt: Int64
    /// The algorithms of proofs.
    public var algorithms: Set<JWSAlgorithm>

    /// Settings.
    public init(
        nonces: DPoPNonces?, startedAt: Int64, maximumAge: Int64 = 60, leeway: Int64 = 15,
        algorithms: Set<JWSAlgorithm> = [.es256, .es384, .es512, .edDSA, .ed25519, .ps256, .rs256]
    ) {
        self.nonces = nonces
        self.startedAt = startedAt
        self.maximumAge = maximumAge
        self.leeway = leeway
        self.algorithms = algorithms.intersection(JWSAlgorithm.asymmetric)
    }

    /// How long the use of a proof has to be remembered, in seconds.
    public var replayWindow: Int64 { maximumAge + leeway + 1 }
}
