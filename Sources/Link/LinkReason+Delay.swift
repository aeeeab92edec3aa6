extension LinkReason {
    /// The retry delay that an agent names with the reason, in milliseconds; zero: none, and the receiver goes by its own
    /// backoff. Those of `goingAway` and of a GOAWAY `stopping` depend on how many peers are told (`docs/link-protocol.md`, "Taking over").
    ///
    /// - `overloaded`, of links: places get free as nodes leave, which is seldom, and each attempt costs a handshake.
    /// - `stopping`, of links that are dialled while it ends: in a second it is gone, or is another run.
    /// - `tooManyStreams`: streams end all the time, and a refusal is cheap.
    /// - `streamOverloaded`: the budget comes back as applications read; sooner still.
    public var retryDelay: UInt32 {
        switch self {
        case .overloaded: 5_000
        case .stopping, .tooManyStreams: 1_000
        case .streamOverloaded: 500
        default: 0
        }
    }
}
