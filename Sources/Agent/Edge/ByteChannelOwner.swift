/// Who uses a byte channel. Calls come from the loop, never from inside a call of the owner.
protocol ByteChannelOwner: AnyObject {
    /// The TLS handshake is complete; bytes flow from now on.
    func channelSecured(_ channel: ByteChannel)
    /// There are new bytes in `channel.input`, or its end was reached (`channel.inputEnd`).
    func channelReceived(_ channel: ByteChannel)
    /// What waited to be sent has shrunk below the low mark after it was above the high one.
    func channelDrained(_ channel: ByteChannel)
    /// Everything was sent, the end of our direction included (after `finishWriting`).
    func channelFinished(_ channel: ByteChannel)
    /// The channel is over, not by the owner's will. Nothing can be read or written any more.
    func channelFailed(_ channel: ByteChannel, _ error: ChannelError)
}

extension ByteChannelOwner {
    func channelFinished(_ channel: ByteChannel) {}
}
