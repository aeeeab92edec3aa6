import EventLoop
import JSON
import Link

/// What arbiters want.
extension LinkSupervisor {
    /// Time for an old link to show life when another agent claims its identity, in nanoseconds.
    private nonisolated static let probeTimeout: UInt64 = 1_000_000_000

    func perform(_ action: LinkArbiter.Action, _ peer: Peer) {
        switch action {
        case .none: break
        case .establish(let link, let closing, _):
            if peer.attempt == link.rawValue { peer.attempt = nil }
            if let worker = workerOfSetup[link.rawValue] {
                shared.workers[worker].submit { $0.decide(link.rawValue, .accept) }
            }
            close(closing, peer)
        case .move(let link, let closing):
            close(closing, peer)
            if let worker = workerOfSetup[link.rawValue] {
                shared.workers[worker].submit { $0.decide(link.rawValue, .accept) }
            }
        case .close(let closing), .hold(let closing): close(closing, peer)
        case .probe(let link, let closing):
            close(closing, peer)
            guard let current = peer.link, current.link == link.rawValue else {
                return probeEnded(peer.lane, answered: false)
            }
            shared.workers[current.worker].submit { $0.probe(link.rawValue, timeout: Self.probeTimeout) }
        case .duplicateIdentity(let link):
            let remote = incoming[link.rawValue]?.remote ?? ""
            shared.log.error(
                "duplicate_identity", "two living agents use the identity of node \(peer.node)",
                [
                    ("node", .string(peer.node)), ("newcomer", .string(remote)),
                    ("in_use", .string(peer.link?.remote ?? "")),
                ])
            end(link.rawValue, .duplicateIdentity, "another living agent speaks for node \(peer.node)")
        }
    }

    private func close(_ closing: [LinkArbiter.Closing], _ peer: Peer) {
        for item in closing {
            if peer.attempt == item.link.rawValue { peer.attempt = nil }
            end(item.link.rawValue, item.reason, item.reason.name)
        }
    }

    func end(_ link: UInt64, _ reason: LinkReason, _ text: String) {
        guard let worker = workerOfSetup[link] else { return }
        shared.workers[worker].submit { $0.end(link, reason, text) }
    }
}
