internal import CLinux

/// What a registered descriptor is watched for.
///
/// Errors and hang-ups are reported whatever the interest is: a level-triggered handler that cannot act on them must
/// deregister, or the loop turns without rest.
public struct Interest: OptionSet, Hashable, Sendable {
    /// The bits of the set.
    public let rawValue: UInt8

    /// The set with these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Bytes, the end of the file or a connection can be read. Includes `readHangup`.
    public static let readable = Interest(rawValue: 1)
    /// Bytes can be written.
    public static let writable = Interest(rawValue: 2)
    /// Tell once for each change instead of as long as it lasts: the handler must go on until `wouldBlock`. `modify`
    /// re-arms: what lasts is told again.
    public static let edgeTriggered = Interest(rawValue: 4)
    /// The peer ended its sending direction; alone, it notices a half-closed peer while not reading.
    public static let readHangup = Interest(rawValue: 8)

    /// The kernel's bits.
    var events: UInt32 {
        var events: UInt32 = 0
        if contains(.readable) { events |= clinux_EPOLLIN | clinux_EPOLLRDHUP }
        if contains(.readHangup) { events |= clinux_EPOLLRDHUP }
        if contains(.writable) { events |= clinux_EPOLLOUT }
        if contains(.edgeTriggered) { events |= clinux_EPOLLET }
        return events
    }
}

/// What a descriptor is ready for.
public struct Readiness: OptionSet, Hashable, Sendable {
    /// The bits of the set.
    public let rawValue: UInt8

    /// The set with these bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A read does not block: bytes, the end of the file or an error are there.
    public static let readable = Readiness(rawValue: 1)
    /// A write does not block.
    public static let writable = Readiness(rawValue: 2)
    /// Both directions are over (EPOLLHUP).
    public static let hangup = Readiness(rawValue: 4)
    /// An error is pending on the descriptor (EPOLLERR); `Socket.takeError` has it, and so has the next transfer.
    public static let error = Readiness(rawValue: 8)
    /// The peer ended its sending direction (EPOLLRDHUP); what it sent before may still be unread.
    public static let readHangup = Readiness(rawValue: 16)

    init(events: UInt32) {
        var bits: UInt8 = 0
        if events & clinux_EPOLLIN != 0 { bits |= Readiness.readable.rawValue }
        if events & clinux_EPOLLOUT != 0 { bits |= Readiness.writable.rawValue }
        if events & clinux_EPOLLHUP != 0 { bits |= Readiness.hangup.rawValue }
        if events & clinux_EPOLLERR != 0 { bits |= Readiness.error.rawValue }
        if events & clinux_EPOLLRDHUP != 0 { bits |= Readiness.readHangup.rawValue }
        rawValue = bits
    }
}

/// Told what its descriptor is ready for.
public protocol EventHandler: AnyObject {
    /// The registered descriptor is ready. Called on the loop's thread, never for a registration that has ended.
    func ready(_ readiness: Readiness, loop: EventLoop)
}

/// Told when a timer is due.
public protocol TimerHandler: AnyObject {
    /// The timer scheduled with `tag` is due; it is over, and may be scheduled anew. Called on the loop's thread.
    func timerFired(tag: Int, loop: EventLoop)
}

/// Told when all events of a tick were handled: the moment to send what they produced.
public protocol TickHandler: AnyObject {
    /// The tick for which `atTickEnd` was called ends. Called on the loop's thread, once for each such call.
    func tickEnded(loop: EventLoop)
}

/// A descriptor's place in a loop; of no use once it was deregistered.
public struct Registration: Hashable, Sendable {
    let slot: UInt32
    let generation: UInt32

    /// What the kernel hands back with each event.
    var token: UInt64 { UInt64(generation) << 32 | UInt64(slot) }
}

/// A scheduled timer; of no use once it fired or was cancelled.
public struct TimerID: Hashable, Sendable {
    let slot: UInt32
    let generation: UInt32
}
