/// Names one connection between two nodes while it lives; chosen by the caller, never reused.
public struct LinkID: Sendable, Hashable, CustomStringConvertible {
    /// The caller's number.
    public let rawValue: UInt64

    /// A link's name.
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// For logs, "link 7".
    public var description: String { "link \(rawValue)" }
}

/// Decides which link between two nodes stays. One arbiter per pair and lane; pure: each input returns the one action to take.
///
/// The rules (`docs/link-protocol.md`, "Which link wins"), in short. Once both ends have said HELLO on links of their own,
/// the link dialled by the smaller identity stays, and only that end refuses the other. The smaller end therefore holds a
/// newcomer while its own HELLO is unanswered, and takes it when its own link fails: a node that can be reached from one
/// side only is linked all the same. An agent with the same boot id replaces its own link; one with another boot id does so
/// only after the old link was probed and found silent, or, where it says that it has taken over from the old one, after the old
/// one has said that it goes away.
public struct LinkArbiter: Sendable {
    /// A link to close, and what to tell its peer.
    public struct Closing: Sendable, Hashable {
        /// The link. A dial that has not sent HELLO is simply given up.
        public var link: LinkID
        /// The reason for GOAWAY and the close code.
        public var reason: LinkReason

        /// A link to close.
        public init(_ link: LinkID, _ reason: LinkReason) {
            self.link = link
            self.reason = reason
        }
    }

    /// What the caller does now.
    public enum Action: Sendable, Hashable {
        /// Nothing.
        case none
        /// The link is the one in use (a newcomer's HELLO is to be answered first); the others are closed. `sameAgent`: the
        /// peer is the running agent of the session before, so that the session could go on.
        case establish(LinkID, closing: [Closing], sameAgent: Bool)
        /// These are closed; what is in use stays.
        case close([Closing])
        /// The newcomer's HELLO is left unanswered until this end's own dial is decided, or the run from which it has taken
        /// over says that it goes away (`retired`). A newcomer that waited before is closed.
        case hold(closing: [Closing])
        /// The session of the link in use may move to this one: both ends prove it, and `moved` follows when it does. What
        /// is in use stays in use; the others are closed.
        case move(LinkID, closing: [Closing])
        /// The link in use is probed (`Session.probe`); the newcomer waits for `probeEnded`. A newcomer that waited before
        /// is closed.
        case probe(LinkID, closing: [Closing])
        /// Two living agents speak for one identity: the newcomer is closed with `duplicate_identity`, and the operator is
        /// told.
        case duplicateIdentity(LinkID)
    }

    /// What becomes of a wish to dial.
    public enum DialDecision: Sendable, Hashable {
        /// Connect, and call `greet` when HELLO can be sent.
        case dial
        /// A link is in use or being made.
        case notNeeded
    }

    /// What the dialler sends once its connection stands.
    public enum Greeting: Sendable, Hashable {
        /// HELLO with this intent.
        case hello(LinkIntent)
        /// Nothing: another link was established meanwhile. Close the connection.
        case abandon
    }

    struct Dial: Sendable {
        var link: LinkID
        var greeted = false
        /// A newcomer was established while our HELLO was unanswered.
        var overtaken = false
    }

    struct Newcomer: Sendable {
        var link: LinkID
        var bootID: BootID
        var intent: LinkIntent
        /// The run that it says it has taken over from.
        var predecessor: BootID?
    }

    struct Current: Sendable {
        var link: LinkID
        var bootID: BootID
        var dialledHere: Bool
    }

    /// Whether this end has the smaller identity.
    public let isSmaller: Bool

    private var dialling: Dial?
    private var current: Current?
    private var held: Newcomer?
    private var probing: Newcomer?
    private var lastBoot: BootID?
    /// This end's dial of a link to which the session shall move.
    private var moving: Dial?
    /// A link dialled by the peer to which the session may move.
    private var arriving: LinkID?

    /// The arbiter of `local` for its links with `peer`; the two identities differ.
    public init(local: String, peer: String) {
        isSmaller = StreamParity(local: local, peer: peer) == .even
    }

    /// The link in use.
    public var established: LinkID? { current?.link }

    /// The boot id of the agent that was linked last.
    public var peerBoot: BootID? { lastBoot }

    /// Whether a dial is under way.
    public var isDialling: Bool { dialling != nil }

    /// Whether a link is on its way to which the session may move.
    public var isMoving: Bool { moving != nil || arriving != nil }

    /// Whether nothing is in use or under way that could take its place; a link to move to cannot.
    public var isIdle: Bool { dialling == nil && current == nil && held == nil && probing == nil }

    // MARK: Dialling

    /// This end wants a link and would dial it as `link`. `replacing`: the one in use is believed dead.
    public mutating func dial(_ link: LinkID, replacing: Bool = false) -> DialDecision {
        guard dialling == nil, held == nil, probing == nil, current == nil || replacing else { return .notNeeded }
        dialling = Dial(link: link)
        return .dial
    }

    /// This end wants its session to move to a link that it would dial as `link`; the one in use stays in use meanwhile.
    public mutating func dialMove(_ link: LinkID) -> DialDecision {
        guard current != nil, dialling == nil, held == nil, probing == nil, moving == nil, arriving == nil else {
            return .notNeeded
        }
        moving = Dial(link: link)
        return .dial
    }

    /// The connection of a dial stands and HELLO could be sent.
    public mutating func greet(_ link: LinkID) -> Greeting {
        if moving?.link == link {
            // The peer was quicker, or there is nothing left that could move.
            guard current != nil, arriving == nil else { return .abandon }
            moving?.greeted = true
            return .hello(.move)
        }
        guard dialling?.link == link else { return .abandon }
        dialling?.greeted = true
        return .hello(lastBoot == nil ? .initial : .replace)
    }

    /// The peer answered the HELLO of a dial.
    public mutating func answered(_ link: LinkID, bootID: BootID) -> Action {
        if moving?.link == link {
            guard current?.bootID == bootID else { return .close([Closing(link, .resumeRefused)]) }
            return .move(link, closing: [])
        }
        guard let dial = dialling, dial.link == link else { return .close([Closing(link, .superseded)]) }
        dialling = nil
        if dial.overtaken, let current, current.bootID != bootID { return .duplicateIdentity(link) }
        var closing: [Closing] = []
        if let current { closing.append(Closing(current.link, .replaced)) }
        if let held { closing.append(Closing(held.link, .superseded)) }
        if let probing { closing.append(Closing(probing.link, .superseded)) }
        return establish(link, bootID, dialledHere: true, closing: closing)
    }

    /// A dial came to nothing: not reachable, refused, or broken before it was answered.
    public mutating func dialFailed(_ link: LinkID) -> Action {
        guard dialling?.link == link else { return .none }
        dialling = nil
        guard let newcomer = held else { return .none }
        held = nil
        return judge(newcomer)
    }

    // MARK: Being dialled

    /// HELLO came on a link that the peer dialled; `predecessor` is the run of the peer's agent from which it says that it
    /// has taken over.
    public mutating func received(
        _ link: LinkID, bootID: BootID, intent: LinkIntent, predecessor: BootID? = nil
    ) -> Action {
        switch intent {
        case .initial, .replace: break
        case .move: return receivedMove(link, bootID: bootID)
        }
        let newcomer = Newcomer(link: link, bootID: bootID, intent: intent, predecessor: predecessor)
        if let dial = dialling, dial.greeted, isSmaller {
            // The peer has one dial at a time: whoever waited before is dead, or another agent.
            let closing = held.map { [Closing($0.link, .superseded)] } ?? []
            held = newcomer
            return .hold(closing: closing)
        }
        return judge(newcomer)
    }

    private mutating func receivedMove(_ link: LinkID, bootID: BootID) -> Action {
        guard let current, current.bootID == bootID, probing == nil else {
            return .close([Closing(link, .resumeRefused)])
        }
        var closing: [Closing] = []
        if let moving {
            // Both dialled: the link of the smaller end is the one to move to.
            if isSmaller, moving.greeted { return .close([Closing(link, .superseded)]) }
            // The smaller end refuses a dial that has said HELLO.
            if !moving.greeted {
                closing.append(Closing(moving.link, .superseded))
                self.moving = nil
            }
        }
        // The peer has one dial at a time: its last one is dead.
        if let arriving { closing.append(Closing(arriving, .superseded)) }
        arriving = link
        return .move(link, closing: closing)
    }

    /// The session moved to `link`, which is the one in use now. False for a link that was given up meanwhile: it is to be
    /// closed.
    public mutating func moved(_ link: LinkID) -> Bool {
        guard let current, moving?.link == link || arriving == link else { return false }
        let dialledHere = moving?.link == link
        if dialledHere { moving = nil } else { arriving = nil }
        self.current = Current(link: link, bootID: current.bootID, dialledHere: dialledHere)
        return true
    }

    /// The probe of the link in use ended: a sign of life came, or time ran out.
    public mutating func probeEnded(answered: Bool) -> Action {
        guard let newcomer = probing else { return .none }
        // A life sign says nothing against a successor, which waits for the old run's own word.
        if answered, let current, newcomer.predecessor == current.bootID { return .none }
        probing = nil
        if answered { return .duplicateIdentity(newcomer.link) }
        let closing = current.map { [Closing($0.link, .peerSilent)] } ?? []
        return take(newcomer, closing: closing)
    }

    /// The peer's agent goes away from the link in use and says that another run of it follows: whoever comes next is taken,
    /// at once where it waits already. The link goes on carrying its streams.
    public mutating func retired(_ link: LinkID) -> Action {
        guard current?.link == link else { return .none }
        current = nil
        // With the next run there is no session that a link could replace: of two links that cross, one is refused.
        lastBoot = nil
        guard let newcomer = probing else { return .none }
        probing = nil
        return take(newcomer, closing: [])
    }

    /// A link broke or was closed, by either end and in whatever state. Calling it for a link that is not known is harmless.
    public mutating func lost(_ link: LinkID) -> Action {
        if dialling?.link == link { return dialFailed(link) }
        if moving?.link == link { moving = nil }
        if arriving == link { arriving = nil }
        if held?.link == link { held = nil }
        if probing?.link == link { probing = nil }
        guard current?.link == link else { return .none }
        current = nil
        guard let newcomer = probing else { return .none }
        probing = nil
        return take(newcomer, closing: [])
    }

    // MARK: Deciding

    /// A newcomer against the link in use; this end's own dial does not stand against it.
    private mutating func judge(_ newcomer: Newcomer) -> Action {
        guard let current else { return take(newcomer, closing: []) }
        guard current.bootID == newcomer.bootID else {
            let closing = probing.map { [Closing($0.link, .superseded)] } ?? []
            probing = newcomer
            // The old run has to say itself that it goes away: `retired`, or `lost`.
            if newcomer.predecessor == current.bootID { return .hold(closing: closing) }
            return .probe(current.link, closing: closing)
        }
        // The late half of a crossing: both dialled, ours is in use, and ours is the one that stays.
        if newcomer.intent == .initial, current.dialledHere, isSmaller {
            return .close([Closing(newcomer.link, .superseded)])
        }
        return take(newcomer, closing: [Closing(current.link, .replaced)])
    }

    private mutating func take(_ newcomer: Newcomer, closing: [Closing]) -> Action {
        var closing = closing
        if let dial = dialling {
            if dial.greeted {
                // We are the larger end: the smaller one closes our link when it has ours to close.
                dialling?.overtaken = true
            } else {
                closing.append(Closing(dial.link, .superseded))
                dialling = nil
            }
        }
        if let probing { closing.append(Closing(probing.link, .superseded)) }
        return establish(newcomer.link, newcomer.bootID, dialledHere: false, closing: closing)
    }

    private mutating func establish(
        _ link: LinkID, _ bootID: BootID, dialledHere: Bool, closing: [Closing]
    ) -> Action {
        let sameAgent = lastBoot == bootID
        var closing = closing
        if let moving { closing.append(Closing(moving.link, .superseded)) }
        if let arriving { closing.append(Closing(arriving, .superseded)) }
        moving = nil
        arriving = nil
        held = nil
        probing = nil
        lastBoot = bootID
        current = Current(link: link, bootID: bootID, dialledHere: dialledHere)
        return .establish(link, closing: closing, sameAgent: sameAgent)
    }
}
