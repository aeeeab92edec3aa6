extension LinkReason {
    /// The retry delay that an agent names with the reason, in milliseconds; zero: none, and the receiver goes by its own
    /// backoff. Delays of `goingAway` depend on how many peers are told (`docs/link-protocol.md`, "Taking over").
    ///
    /// - `overloaded`, of links: places get free as nodes leave, which is seldom, and each attempt costs a handshake.
    /// - `tooManyStreams`: streams end all the time, and a refusal is cheap.
    /// - `streamOverloaded`: the budget comes back as applications read; sooner still.
    public var retryDelay: UInt32 {
        switch self {
        case .overloaded: 5_000
        case .tooManyStreams: 1_000
        case .streamOverloaded: 500
        default: 0
        }
    }
}
