import EventLoop

/// Dials of a session that waits for its next link are in a hurry: one that the peer, or the path, does not answer is given up for
/// the next one.
extension LinkSetup {
    static let silenceTag = 1
    /// So many times the patience for the peer's HELLO and for its part of a resumption: it may hold the link until another one is
    /// decided, or ask somebody about our certificate.
    private static let moreForDecisions: UInt64 = 2

    /// Waits for the peer's next sign of life. What this end has to do itself does not count.
    func awaitPeer() {
        guard let patience = dial?.patience.map({ min($0, core.shared.links.handshakeTimeout) }) else { return }
        if let silence { core.loop.cancel(silence) }
        silence = nil
        guard registration != nil else { return }
        switch phase {
        case .tls, .clientUpgrade: expectPeer(within: patience)
        case .hello, .resuming: expectPeer(within: patience * Self.moreForDecisions)
        case .connecting, .serverUpgrade, .greeting, .deciding, .switching, .over: break
        }
    }

    private func expectPeer(within time: UInt64) {
        guard time < core.shared.links.handshakeTimeout else { return }
        silence = core.loop.schedule(after: time, self, tag: Self.silenceTag)
    }
}
